/**
 * The lines that a terminal showed, as people read them, to be searched. Not the screen: a line is what was written until the
 * cursor left it, with what was typed over or deleted on it done. Pure.
 */
import type { Frame } from './cast';

export interface ShownLine {
  readonly text: string;
  /** When its last character was drawn, and in which frame. */
  readonly at: number;
  readonly frame: number;
}

export interface Hit extends ShownLine {
  /** Where in the line. */
  readonly from: number;
  readonly to: number;
}

export const MOST_HITS = 500;
/** A line that is never left is cut. */
const LONGEST = 4_000;
/** What the gateway lets through (`hoop_recording::terminal::Harmless`): control sequences, character sets, single ones. */
const SEQUENCE = /\u001b(?:\[([0-9;:?]*)([@-~])|[()*+][0-9A-Za-z]|([78DEHM=>c]))|[\b\r\n\t\u000e\u000f]|[^\u001b\b\r\n\t\u000e\u000f]+/g;
const LEAVES = new Set(['A', 'B', 'E', 'F', 'H', 'J', 'S', 'T', 'd', 'f', 'h', 'l', 'r', 'u']);

export function linesOf(frames: readonly Frame[]): ShownLine[] {
  const lines: ShownLine[] = [];
  let line: string[] = [];
  let cursor = 0;
  let last: Frame | undefined;
  let lastIndex = 0;
  const leave = () => {
    const text = line.join('').trimEnd();
    if (text !== '' && last) lines.push({ text, at: last.at, frame: lastIndex });
    line = [];
    cursor = 0;
  };
  const write = (text: string, frame: Frame, index: number) => {
    for (const character of text) {
      if (line.length >= LONGEST) leave();
      while (line.length < cursor) line.push(' ');
      line[cursor++] = character;
    }
    last = frame;
    lastIndex = index;
  };
  frames.forEach((frame, index) => {
    if (frame.kind !== 'text') return;
    for (const [piece, numbers = '', final, single] of frame.text.matchAll(SEQUENCE)) {
      const by = Math.min(LONGEST, Number.parseInt(numbers, 10) || 1);
      if (piece === '\n' || piece === '\r') leave();
      else if (piece === '\b') cursor = Math.max(0, cursor - 1);
      else if (piece === '\t') cursor = Math.min(LONGEST, (Math.floor(cursor / 8) + 1) * 8);
      else if (final === 'D') cursor = Math.max(0, cursor - by);
      else if (final === 'C') cursor = Math.min(LONGEST, cursor + by);
      else if (final === 'K' && numbers === '') line.length = Math.min(line.length, cursor);
      else if (final === 'P') line.splice(cursor, by);
      else if (final !== undefined ? LEAVES.has(final) : single !== undefined && !'=>'.includes(single)) leave();
      else if (!piece.startsWith('\u001b') && piece >= ' ') write(piece, frame, index);
    }
  });
  leave();
  return lines;
}

/** Where the words stand, small and capital letters alike; at most {@link MOST_HITS}, and one more if there are more. */
export function find(lines: readonly ShownLine[], words: string): Hit[] {
  const wanted = words.trim().toLowerCase();
  const hits: Hit[] = [];
  if (wanted === '') return hits;
  for (const line of lines) {
    const from = line.text.toLowerCase().indexOf(wanted);
    if (from < 0) continue;
    hits.push({ ...line, from, to: from + wanted.length });
    if (hits.length > MOST_HITS) break;
  }
  return hits;
}
