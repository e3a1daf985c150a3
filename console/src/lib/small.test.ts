import { expect, test } from 'vitest';

import { isLoopback, loopbackPort } from './loopback';
import { localToRfc3339 } from './localTime';
import { groupProblem, slugProblem, splitGroups, userProblem } from './names';
import { otpauthSecret } from './otpauth';
import { parseSearch, stringifySearch } from './search';
import { isWholeUserCode, userCode } from './userCode';

test.each(['', '0', '65536', '-1', '4000x', '0x10', ' 80', '1e3', '99999999', undefined])('%j is no port', (text) =>
  expect(loopbackPort(text)).toBeUndefined(),
);

test('a command line is answered on its own port of this computer alone', () => {
  expect(isLoopback('http://127.0.0.1:4000/callback?code=x', 4000)).toBe(true);
  for (const other of [
    'http://127.0.0.1:4001/callback',
    'https://127.0.0.1:4000/callback',
    'http://localhost:4000/callback',
    'http://127.0.0.1.evil.example:4000/',
    'http://evil@127.0.0.1:4000/',
    'http://127.0.0.1:4000@evil.example/',
    'javascript:alert(1)//127.0.0.1:4000',
    '/callback',
  ]) {
    expect(isLoopback(other, 4000), other).toBe(false);
  }
});

test('a user code is typed in any way', () => {
  expect(userCode('abcd efgh')).toBe('ABCD-EFGH');
  expect(userCode('ab')).toBe('AB');
  expect(userCode('abcd-efgh-ijkl')).toBe('ABCD-EFGH');
  expect(isWholeUserCode('ABCD-EFG')).toBe(false);
  expect(isWholeUserCode('ABCD-EFG2')).toBe(true);
});

test('names are checked as the gateway does', () => {
  for (const bad of ['', 'Prod', 'a b', '-rf', '../x', "a'b", 'a\u202eb', 'pаypal', 'x'.repeat(64)]) {
    expect(slugProblem(bad), bad).toBeTypeOf('string');
  }
  expect(slugProblem('pg-prod.eu_1')).toBeUndefined();
  expect(userProblem('Ada.Lovelace+ops@example.org')).toBeUndefined();
  expect(userProblem('ada lovelace')).toBeTypeOf('string');
  expect(groupProblem('DBA / on-call')).toBeUndefined();
  expect(groupProblem('a,b')).toBeTypeOf('string');
  expect(splitGroups(' dba, oncall,, dba ')).toEqual(['dba', 'oncall']);
});

test('the secret of an authenticator', () => {
  expect(otpauthSecret('otpauth://totp/hoop:ada?secret=jbswy3dpehpk3pxp&issuer=hoop')).toBe('JBSW Y3DP EHPK 3PXP');
  expect(otpauthSecret('otpauth://totp/hoop:ada?issuer=hoop')).toBeUndefined();
});

test('parameters stay the text they are', () => {
  expect(parseSearch('?state=12345678901234567890&x=true&y=a+b')).toEqual({
    state: '12345678901234567890',
    x: 'true',
    y: 'a b',
  });
  expect(stringifySearch({ state: 'past', user: undefined, connection: '', n: 1 })).toBe('?state=past');
  expect(stringifySearch({})).toBe('');
});

test('a local time', () => {
  expect(localToRfc3339('2026-11-22T13:00')).toMatch(/^2026-11-2[12]T\d\d:\d\d:00\.000Z$/);
  expect(localToRfc3339('yesterday')).toBeUndefined();
  expect(localToRfc3339(undefined)).toBeUndefined();
});
