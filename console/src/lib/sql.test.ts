import { expect, test } from 'vitest';

import { tokens } from './sql';

const kinds = (sql: string) =>
  tokens(sql)
    .filter((token) => token.kind !== 'plain')
    .map((token) => [token.kind, token.text]);

test('colours what it knows', () => {
  expect(kinds(`SELECT name, 42 FROM "select" WHERE id = $1 AND note = 'it''s' -- from`)).toEqual([
    ['keyword', 'SELECT'],
    ['number', '42'],
    ['keyword', 'FROM'],
    ['keyword', 'WHERE'],
    ['parameter', '$1'],
    ['keyword', 'AND'],
    ['string', `'it''s'`],
    ['comment', '-- from'],
  ]);
});

test('dollar quotes and block comments', () => {
  expect(kinds('DO $f$ SELECT $x$ $f$ /* select */')).toEqual([
    ['keyword', 'DO'],
    ['string', '$f$ SELECT $x$ $f$'],
    ['comment', '/* select */'],
  ]);
});

test.each([
  `'never closed`,
  '"never closed',
  '/* never closed',
  '$a$ never closed $b$',
  `'\\`,
  '<script>alert(1)</script>',
  '\u0000\u001b[31m',
  `${"'".repeat(5_000)}`,
  `${'$a'.repeat(5_000)}`,
  'x'.repeat(30_000),
  '',
])('loses no character of %j', (sql) => {
  expect(
    tokens(sql)
      .map((token) => token.text)
      .join(''),
  ).toBe(sql);
});

test('stays quick on hostile text', () => {
  const began = performance.now();
  for (const piece of ["'", '$', '$a$', '/*', '"', '--', "e'\\", '1e']) tokens(piece.repeat(6_000));
  expect(performance.now() - began).toBeLessThan(2_000);
});
