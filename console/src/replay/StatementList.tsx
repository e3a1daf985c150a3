/** The timeline: one line a statement, only those in view in the document, the chosen one kept in view. */
import { useVirtualizer } from '@tanstack/react-virtual';
import { useEffect, useRef } from 'react';

import { counted, duration, micros, offset } from '../lib/format';
import { Visible } from '../ui/Visible';
import classes from './Replay.module.css';
import { headline, type Outcome, outcome, type Statement, tellsRows } from './statement';

const LINE_HEIGHT = 44;
const TEXT_SHOWN = 200;

const WORDS: Record<Outcome, string> = { done: 'done', failed: 'failed', denied: 'refused', open: 'no answer' };

interface Props {
  statements: readonly Statement[];
  startedAt: string;
  at: number;
  onChoose: (at: number) => void;
  onEnd: (() => void) | undefined;
}

export function StatementList({ statements, startedAt, at, onChoose, onEnd }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: statements.length,
    getScrollElement: () => box.current,
    estimateSize: () => LINE_HEIGHT,
    overscan: 10,
    initialRect: { width: 400, height: 520 },
  });
  const items = virtual.getVirtualItems();
  const lastShown = items.at(-1)?.index ?? 0;
  useEffect(() => {
    if (lastShown >= statements.length - 1) onEnd?.();
  }, [lastShown, statements.length, onEnd]);
  useEffect(() => {
    if (statements.length > 0) virtual.scrollToIndex(at, { align: 'auto' });
  }, [at, virtual, statements.length]);
  const began = micros(startedAt);
  return (
    <div
      ref={box}
      className={classes.list}
      role="listbox"
      tabIndex={0}
      aria-label="Statements"
      aria-activedescendant={statements.length > 0 ? `statement-${at}` : undefined}
    >
      <div className={classes.body} style={{ height: virtual.getTotalSize() }}>
        {items.map((item) => {
          const statement = statements[item.index];
          return statement ? (
            <div
              key={item.index}
              id={`statement-${item.index}`}
              role="option"
              aria-selected={item.index === at}
              className={classes.line}
              data-outcome={outcome(statement)}
              style={{ transform: `translateY(${item.start}px)`, height: LINE_HEIGHT }}
              onClick={() => onChoose(item.index)}
            >
              <Line statement={statement} began={began} />
            </div>
          ) : null;
        })}
      </div>
    </div>
  );
}

function Line({ statement, began }: { statement: Statement; began: number }) {
  const ended = outcome(statement);
  const facts = [
    offset(micros(statement.at) - began),
    statement.durationUs === undefined ? undefined : duration(statement.durationUs),
    tellsRows(statement) ? counted(statement.rowsCount, 'row') : undefined,
    ended === 'done' ? undefined : WORDS[ended],
    statement.curtailed === undefined ? undefined : 'curtailed',
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
