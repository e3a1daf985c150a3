/** Foreign text on the page: always as text nodes, with what cannot be seen shown as marked escapes. */
import { pieces } from '../lib/visible';
import classes from './Visible.module.css';

export function Visible({ text, oneLine = false }: { text: string; oneLine?: boolean }) {
  return (
    <span className={classes.foreign}>
      {pieces(text, oneLine).map((piece, index) =>
        piece.escaped ? (
          <span key={index} className={classes.escape} title="A character that cannot be seen">
            {piece.text}
          </span>
        ) : (
          piece.text
        ),
      )}
    </span>
  );
}
