import { expect, test } from 'vitest';

import { safeReturnPath } from './returnPath';

const ORIGIN = 'https://hoop.example';

test.each(['/sessions?state=past', '/sessions/ses_abc', '/cli?port=4000&state=1&challenge=x', '/audit#top'])(
  'goes to %s',
  (path) => expect(safeReturnPath(path, ORIGIN)).toBe(path),
);

test.each([
  '//evil.example',
  '/\\evil.example',
  '\\\\evil.example',
  '/\t/evil.example',
  '/\n/evil.example',
  'https://evil.example/',
  'https:evil.example',
  'javascript:alert(1)',
  'data:text/html,x',
  'sessions',
  ' /sessions',
  '',
  '/..//evil.example',
  '/x/..//evil.example',
  '/login?return=/login',
  '/api/v1/oidc/start',
  `/${'a'.repeat(3_000)}`,
  undefined,
  null,
  7,
  ['/sessions'],
])('refuses %j', (path) => expect(safeReturnPath(path, ORIGIN)).toBe('/connections'));
