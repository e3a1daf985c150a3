import { expect, test } from 'vitest';

import { endLines, mergeNotes, type Note, noteLabel, type Row, rowsOf } from './rows';
import { readStatement, type Statement } from './statement';

const note = (number: number, before: number, kind = 'notice'): Note => ({
  number,
  before,
  kind,
  at: '2026-11-22T12:00:00.000000Z',
  text: `note ${number}`,
});

const statement = (id: number, form = 'query'): Statement => {
  const read = readStatement({ stream: 0, id, at: '', form, text: `select ${id}` }, id);
  if (!read) throw new Error('it is an object');
  return read;
};

const told = (row: Row) => (row.kind === 'statement' ? `${row.statement.text} at ${row.place}` : row.kind === 'note' ? row.note.text : row.end.how);

test('notes stand where they happened, also beside what is not shown', () => {
  const all = [statement(0), statement(1, 'prepare'), statement(2)];
  const notes = [note(0, 0), note(1, 1), note(2, 2), note(3, 3), note(4, 99)];
  const end = { how: 'sealed' };
  expect(rowsOf(all, false, notes, end).map(told)).toEqual(['note 0', 'select 0 at 0', 'note 1', 'note 2', 'select 2 at 1', 'note 3', 'note 4', 'sealed']);
  expect(rowsOf(all, true, notes, undefined).map(told)).toEqual(['note 0', 'select 0 at 0', 'note 1', 'select 1 at 1', 'note 2', 'select 2 at 2', 'note 3', 'note 4']);
  expect(rowsOf([], false, [note(0, 0)], undefined).map(told)).toEqual(['note 0']);
});

test('a note that comes again stands once', () => {
  expect(mergeNotes([note(0, 0), note(2, 1)], [note(1, 0), note(2, 1)]).map(({ number }) => number)).toEqual([0, 1, 2]);
});

test('what is missing is said', () => {
  expect(noteLabel(note(0, 0, 'gap'))).toBe('Something is missing here');
  expect(noteLabel(note(0, 0, 'from_the_future'))).toBe('from_the_future');
  expect(endLines({ how: 'sealed', reason: 'killed by grace' })).toEqual({
    whole: true,
    title: 'The session ended, and the recording is sealed',
    lines: ['killed by grace'],
  });
  expect(endLines({ how: 'interrupted', reason: 'power', missing: 'the last second' }).lines).toEqual(['power', 'What may be missing: the last second']);
  expect(endLines({ how: 'anything' }).whole).toBe(false);
});
