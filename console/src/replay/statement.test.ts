import { expect, test } from 'vitest';

import { merge } from './merge';
import { headline, isPreparation, outcome, parameterName, readStatement, type Statement } from './statement';
import { pause } from './usePlayer';

const read = (raw: object): Statement => {
  const statement = readStatement({ stream: 0, id: 1, at: '2026-11-22T12:00:00.000000Z', form: 'query', text: 'select 1', ...raw }, 0);
  if (!statement) throw new Error('it is an object');
  return statement;
};

test('reads what the gateway sends', () => {
  const statement = read({
    parameters: ['1', null],
    columns: ['a'],
    rows: [['x'], [null]],
    rows_omitted: 3,
    tag: 'SELECT 5',
    rows_count: 5,
    copied_in: 0,
    copied_out: 0,
    duration_us: 1200,
    error: null,
    denied: null,
    curtailed: 4096,
  });
  expect(statement).toMatchObject({ key: '0:1', rowsCount: 5, rowsOmitted: 3, durationUs: 1200, curtailed: 4096, error: undefined });
  expect(outcome(statement)).toBe('done');
});

test.each([null, 7, 'x', [], undefined])('%j is no statement', (raw) => expect(readStatement(raw, 0)).toBeUndefined());

test('fields of a wrong kind are missing, not guessed', () => {
  const statement = read({ text: 7, rows: 'x', columns: [1], parameters: {}, error: 'boom', duration_us: 'NaN', rows_count: Infinity });
  expect(statement).toMatchObject({ text: '', rows: [], columns: ['?'], parameters: [], error: undefined, rowsCount: 0 });
  expect(headline(statement)).toBe('(query)');
});

test('how it ended', () => {
  expect(outcome(read({}))).toBe('open');
  expect(outcome(read({ error: { code: '42P01', message: 'no' } }))).toBe('failed');
  expect(outcome(read({ denied: { code: 'HOOP-2005', message: 'no' } }))).toBe('denied');
  expect(outcome(read({ form: 'bind' }))).toBe('done');
  expect(isPreparation(read({ form: 'prepare' }))).toBe(true);
  expect(isPreparation(read({ form: 'prepare', error: { code: '42601', message: 'no' } }))).toBe(false);
});

test('values are numbered, and of a request to an API said to be what they are', () => {
  const names = (form: string) => [0, 1, 2].map((index) => parameterName(read({ form }), index));
  expect(names('execute')).toEqual(['$1', '$2', '$3']);
  expect(names('api')).toEqual(['path', 'sets', 'sets']);
});

test('a statement that comes again takes its place', () => {
  const first = [read({ id: 1 }), read({ id: 2 })];
  const merged = merge(first, [read({ id: 2, tag: 'SELECT 1' }), read({ id: 1, stream: 1 }), read({ id: 3 })]);
  expect(merged.map((statement) => statement.key)).toEqual(['0:1', '0:2', '1:1', '0:3']);
  expect(merged[1]?.tag).toBe('SELECT 1');
  expect(first[1]?.tag).toBeUndefined();
});

test('nobody watches a lunch', () => {
  const early = read({});
  expect(pause(early, read({ at: '2026-11-22T13:00:00Z' }), 1)).toBe(2_000);
  expect(pause(early, read({ at: '2026-11-22T12:00:01Z' }), 4)).toBe(250);
  expect(pause(early, read({ at: 'never' }), 1)).toBe(60);
  expect(pause(early, undefined, 1)).toBe(60);
});
