/**
 * The lines of a replay: statements, and among them, where they happened, what else did; at the end, how it ended.
 */
import type { Timeline } from '../api/calls';
import { isPreparation, type Statement } from './statement';

export type Note = NonNullable<Timeline['notes']>[number];

/** How the recording ends: `sealed`, `interrupted`, `cut_off`, `live`, and the agent's words for it. */
export interface End {
  readonly how: string;
  readonly reason?: string | undefined;
  readonly missing?: string | undefined;
}

export type Row =
  /** `place` is the statement's among those shown. */
  | { readonly kind: 'statement'; readonly statement: Statement; readonly place: number }
  | { readonly kind: 'note'; readonly note: Note }
  | { readonly kind: 'end'; readonly end: End };

/** Each note once, in order. */
export function mergeNotes(known: readonly Note[], arrived: readonly Note[]): Note[] {
  const notes = new Map([...known, ...arrived].map((note) => [note.number, note]));
  return [...notes.values()].sort((a, b) => a.number - b.number);
}

/** A note as it comes while a session lives; `undefined` if it is none. */
export function readNote(raw: unknown): Note | undefined {
  if (typeof raw !== 'object' || raw === null) return undefined;
  const { number, before, at, kind, text } = raw as Partial<Note>;
  if (typeof number !== 'number' || typeof before !== 'number') return undefined;
  return { number, before, at: String(at ?? ''), kind: String(kind ?? 'note'), text: String(text ?? '') };
}

/** `all` is every statement so far, so that a note finds its place also where those around it are not shown. */
export function rowsOf(all: readonly Statement[], whole: boolean, notes: readonly Note[], end: End | undefined): Row[] {
  const rows: Row[] = [];
  let place = 0;
  let next = 0;
  const notesUpTo = (index: number) => {
    for (let note = notes[next]; note && note.before <= index; note = notes[++next]) rows.push({ kind: 'note', note });
  };
  all.forEach((statement, index) => {
    notesUpTo(index);
    if (whole || !isPreparation(statement)) rows.push({ kind: 'statement', statement, place: place++ });
  });
  notesUpTo(Infinity);
  if (end) rows.push({ kind: 'end', end });
  return rows;
}

export const isGap = (note: Note): boolean => note.kind === 'gap';

const LABELS: Record<string, string> = {
  opened: 'Connection opened',
  closed: 'Connection closed',
  notice: 'Server’s notice',
  notification: 'Notification',
  setting: 'Setting',
  error: 'Server’s error',
};

/** A note in words. A gap is named as what it is. */
export function noteLabel(note: Note): string {
  return isGap(note) ? 'Something is missing here' : (LABELS[note.kind] ?? note.kind);
}

/** The last line, and whether all is well. */
export function endLines(end: End): { whole: boolean; title: string; lines: readonly string[] } {
  const lines = [
    ...(end.reason ? [end.reason] : []),
    ...(end.missing ? [`What may be missing: ${end.missing}`] : []),
  ];
  if (end.how === 'sealed') return { whole: true, title: 'The session ended, and the recording is sealed', lines };
  if (end.how === 'interrupted') return { whole: false, title: 'The recording was interrupted: its end may be missing', lines };
  return { whole: false, title: 'The recording is cut off: what follows was lost or has not arrived', lines };
}
