/**
 * The rows of one answer. Only those in view are in the document, so that a hundred thousand scroll as ten do;
 * a long cell is cut, and shown whole in the panel beneath once chosen.
 */
import { Code, Paper, ScrollArea, Stack, Text } from '@mantine/core';
import { useVirtualizer } from '@tanstack/react-virtual';
import { useMemo, useRef, useState } from 'react';

import { visible } from '../lib/visible';
import { Visible } from '../ui/Visible';
import { keepScrollKeys } from './keys';
import classes from './Replay.module.css';
import type { Cell } from './statement';

const ROW_HEIGHT = 28;
const CELL_SHOWN = 300;
const SAMPLE = 50;
const WIDEST = 40;
/** Left and right together, as in the style sheet, and a little for bold heads. */
const CELL_PADDING = 24;

interface Props {
  columns: readonly string[];
  rows: readonly (readonly Cell[])[];
}

export function ResultTable({ columns, rows }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [chosen, setChosen] = useState<{ row: number; column: number }>();
  const names = useMemo(() => headings(columns, rows), [columns, rows]);
  const template = useMemo(() => widths(names, rows), [names, rows]);
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => box.current,
    estimateSize: () => ROW_HEIGHT,
    overscan: 12,
    initialRect: { width: 800, height: 320 },
  });
  const cell = chosen ? rows[chosen.row]?.[chosen.column] : undefined;
  return (
    <Stack gap="xs">
      <div className={classes.table} ref={box} tabIndex={0} onKeyDown={keepScrollKeys} role="table" aria-label="Result" aria-rowcount={rows.length + 1}>
        <div className={classes.head} role="row" style={{ gridTemplateColumns: template }}>
          {names.map((name, column) => (
            <div key={column} role="columnheader" className={classes.cell}>
              <Visible text={name} oneLine />
            </div>
          ))}
        </div>
        <div role="rowgroup" className={classes.body} style={{ height: virtual.getTotalSize() }}>
          {virtual.getVirtualItems().map((item) => (
            <div
              key={item.index}
              role="row"
              aria-rowindex={item.index + 2}
              className={classes.row}
              style={{ gridTemplateColumns: template, transform: `translateY(${item.start}px)`, height: ROW_HEIGHT }}
            >
              {names.map((_, column) => (
                <ResultCell
                  key={column}
                  value={rows[item.index]?.[column] ?? null}
                  chosen={chosen?.row === item.index && chosen.column === column}
                  onChoose={() => setChosen({ row: item.index, column })}
                />
              ))}
            </div>
          ))}
        </div>
      </div>
      {cell !== undefined && chosen ? (
        <Paper withBorder p="xs">
          <Text size="xs" c="dimmed">
            Row {chosen.row + 1}, <Visible text={names[chosen.column] ?? ''} oneLine />
          </Text>
          <ScrollArea.Autosize mah={200}>
            {cell === null ? <Code>NULL</Code> : <pre className={classes.whole}>{<Visible text={cell} />}</pre>}
          </ScrollArea.Autosize>
        </Paper>
      ) : null}
    </Stack>
  );
}

interface CellProps {
  value: Cell;
  chosen: boolean;
  onChoose: () => void;
}

function ResultCell({ value, chosen, onChoose }: CellProps) {
  return (
    <div role="cell" className={classes.cell} data-chosen={chosen || undefined} onClick={onChoose}>
      {value === null ? (
        <span className={classes.null}>NULL</span>
      ) : (
        <>
          <Visible text={value.slice(0, CELL_SHOWN)} oneLine />
          {value.length > CELL_SHOWN ? '…' : ''}
        </>
      )}
    </div>
  );
}

/** Rows may have more cells than there are columns (a target may lie): every cell gets a place. */
function headings(columns: readonly string[], rows: readonly (readonly Cell[])[]): string[] {
  const widest = rows.reduce((most, row) => Math.max(most, row.length), columns.length);
  return Array.from({ length: widest }, (_, column) => columns[column] ?? `(${column + 1})`);
}

/** Characters as shown, as far as it matters. */
function widthOf(text: string): number {
  return visible(text.slice(0, WIDEST), true).length;
}

function widths(names: readonly string[], rows: readonly (readonly Cell[])[]): string {
  return names
    .map((name, column) => {
      const lengths = rows.slice(0, SAMPLE).map((row) => widthOf(row[column] ?? 'NULL'));
      const longest = Math.max(4, widthOf(name), ...lengths);
      return `calc(${Math.min(WIDEST, longest)}ch + ${CELL_PADDING}px)`;
    })
    .join(' ');
}
