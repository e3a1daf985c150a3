/** A text with its line numbers, one of them marked. Nothing cleverer: the gateway reads the text, not the console. */
import { useImperativeHandle, useMemo, useRef, type Ref } from 'react';

import { lineCount, lineRange } from './place';
import classes from './Rules.module.css';

const LINE_HEIGHT = 20;

export interface TextHandle {
  /** Selects a line and brings it into view. */
  show: (line: number) => void;
}

interface Props {
  label: string;
  text: string;
  wrongLine: number | undefined;
  readOnly: boolean;
  onChange: (text: string) => void;
  handle: Ref<TextHandle>;
}

export function TextEditor({ label, text, wrongLine, readOnly, onChange, handle }: Props) {
  const area = useRef<HTMLTextAreaElement>(null);
  const gutter = useRef<HTMLPreElement>(null);
  useImperativeHandle(handle, () => ({
    show: (line) => {
      area.current?.focus();
      area.current?.setSelectionRange(...lineRange(area.current.value, line));
      area.current?.scrollTo({ top: Math.max(0, (line - 4) * LINE_HEIGHT) });
    },
  }));
  return (
    <div className={classes.editor}>
      <Gutter lines={lineCount(text)} marked={wrongLine} ref={gutter} />
      <textarea
        ref={area}
        className={classes.text}
        aria-label={label}
        aria-invalid={wrongLine !== undefined}
        wrap="off"
        spellCheck={false}
        autoCapitalize="off"
        autoComplete="off"
        readOnly={readOnly}
        value={text}
        onChange={(event) => onChange(event.currentTarget.value)}
        onScroll={(event) => gutter.current?.scrollTo({ top: event.currentTarget.scrollTop })}
      />
    </div>
  );
}

function Gutter({ lines, marked, ref }: { lines: number; marked: number | undefined; ref: Ref<HTMLPreElement> }) {
  const numbers = useMemo(() => Array.from({ length: lines }, (_, index) => index + 1), [lines]);
  const at = marked !== undefined && marked <= lines ? marked : undefined;
  return (
    <pre className={classes.gutter} ref={ref} aria-hidden="true">
      {at === undefined ? (
        numbers.join('\n')
      ) : (
        <>
          {numbers.slice(0, at - 1).map((number) => `${number}\n`).join('')}
          <mark>{at}</mark>
          {numbers.slice(at).map((number) => `\n${number}`).join('')}
        </>
      )}
    </pre>
  );
}
