/** Statement text, lightly coloured, always as text nodes. Very long text is cut until asked for. */
import { Button } from '@mantine/core';
import { useMemo, useState } from 'react';

import { counted } from '../lib/format';
import { tokens } from '../lib/sql';
import { Visible } from '../ui/Visible';
import { keepScrollKeys } from './keys';
import classes from './Replay.module.css';

const SHOWN = 8_000;

export function Sql({ text }: { text: string }) {
  const [whole, setWhole] = useState(false);
  const shown = whole ? text : text.slice(0, SHOWN);
  const runs = useMemo(() => tokens(shown), [shown]);
  return (
    <>
      <pre className={classes.sql} tabIndex={0} onKeyDown={keepScrollKeys} aria-label="Statement text">
        {runs.map((run, index) => (
          <span key={index} className={run.kind === 'plain' ? undefined : classes[run.kind]}>
            <Visible text={run.text} />
          </span>
        ))}
      </pre>
      {text.length > shown.length ? (
        <Button variant="subtle" size="compact-xs" onClick={() => setWhole(true)}>
          Show all of it ({counted(text.length, 'character')})
        </Button>
      ) : null}
    </>
  );
}
