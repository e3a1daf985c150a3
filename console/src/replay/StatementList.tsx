/**
 * The timeline: one line a statement, only those in view in the document, the chosen one kept in view. Notes and the end
 * stand among them; they are read, not chosen.
 */
import { useVirtualizer } from '@tanstack/react-virtual';
import { useEffect, useMemo, useRef } from 'react';

import { counted, duration, micros, offset } from '../lib/format';
import { Visible } from '../ui/Visible';
import classes from './Replay.module.css';
import { type End, endLines, isGap, type Note, noteLabel, type Row } from './rows';
import { headline, isOfApi, isOfHost, type Outcome, outcome, type Statement, tellsRows } from './statement';

const LINE_HEIGHT = 44;
const NOTE_HEIGHT = 26;
const TEXT_SHOWN = 200;

const WORDS: Record<Outcome, string> = { done: 'done', failed: 'failed', denied: 'refused', open: 'no answer' };

interface Props {
  rows: readonly Row[];
  startedAt: string;
  at: number;
  onChoose: (at: number) => void;
  onEnd: (() => void) | undefined;
}

export function StatementList({ rows, startedAt, at, onChoose, onEnd }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => box.current,
    estimateSize: (index) => heightOf(rows[index]),
    overscan: 10,
    initialRect: { width: 400, height: 520 },
  });
  const items = virtual.getVirtualItems();
  const lastShown = items.at(-1)?.index ?? 0;
  useEffect(() => {
    if (lastShown >= rows.length - 1) onEnd?.();
  }, [lastShown, rows.length, onEnd]);
  const chosen = useMemo(() => rows.findIndex((row) => row.kind === 'statement' && row.place === at), [rows, at]);
  useEffect(() => {
    // What led to the first statement stands above it.
    if (chosen >= 0) virtual.scrollToIndex(at === 0 ? 0 : chosen, { align: 'auto' });
  }, [at, chosen, virtual]);
  const began = micros(startedAt);
  return (
    <div
      ref={box}
      className={classes.list}
      role="listbox"
      tabIndex={0}
      aria-label="Statements"
      aria-activedescendant={chosen >= 0 ? `statement-${at}` : undefined}
    >
      <div className={classes.body} style={{ height: virtual.getTotalSize() }}>
        {items.map((item) => {
          const row = rows[item.index];
          const transform = `translateY(${item.start}px)`;
          if (row?.kind === 'statement') {
            return (
              <div
                key={item.index}
                id={`statement-${row.place}`}
                role="option"
                aria-selected={row.place === at}
                className={classes.line}
                data-outcome={outcome(row.statement)}
                style={{ transform, height: LINE_HEIGHT }}
                onClick={() => onChoose(row.place)}
              >
                <Line statement={row.statement} began={began} />
              </div>
            );
          }
          return row ? (
            <div key={item.index} data-index={item.index} ref={virtual.measureElement} className={classes.aside} style={{ transform }}>
              {row.kind === 'note' ? <NoteLine note={row.note} began={began} /> : <EndLine end={row.end} />}
            </div>
          ) : null;
        })}
      </div>
    </div>
  );
}

function heightOf(row: Row | undefined): number {
  return row?.kind === 'note' && !isGap(row.note) ? NOTE_HEIGHT : LINE_HEIGHT;
}

function NoteLine({ note, began }: { note: Note; began: number }) {
  const when = offset(micros(note.at) - began);
  if (isGap(note)) {
    return (
      <div className={classes.missing} role="note">
        <strong>{noteLabel(note)}</strong>
        <span>
          <Visible text={note.text} oneLine />
        </span>
        <span className={classes.facts}>{when}</span>
      </div>
    );
  }
  return (
    <div className={classes.note} role="note" title={note.text}>
      {when} · {noteLabel(note)}: <Visible text={note.text} oneLine />
    </div>
  );
}

function EndLine({ end }: { end: End }) {
  const { whole, title, lines } = endLines(end);
  return (
    <div className={whole ? classes.sealed : classes.missing} role="note">
      <strong>{title}</strong>
      {lines.map((line) => (
        <span key={line}>
          <Visible text={line} oneLine />
        </span>
      ))}
    </div>
  );
}

function Line({ statement, began }: { statement: Statement; began: number }) {
  const ended = outcome(statement);
  const facts = [
    offset(micros(statement.at) - began),
    statement.durationUs === undefined ? undefined : duration(statement.durationUs),
    tellsRows(statement) ? counted(statement.rowsCount, 'row') : undefined,
    ended === 'done' ? undefined : ended === 'open' && (isOfHost(statement) || isOfApi(statement)) ? 'not ended' : WORDS[ended],
    statement.curtailed === undefined ? undefined : 'curtailed',
    statement.masked.length === 0 ? undefined : 'masked',
  ];
  return (
    <>
      <span className={classes.headline}>
        <Visible text={headline(statement).slice(0, TEXT_SHOWN)} oneLine />
      </span>
      <span className={classes.facts}>{facts.filter((fact) => fact !== undefined).join(' · ')}</span>
    </>
  );
}
