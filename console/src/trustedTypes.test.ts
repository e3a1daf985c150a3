import { expect, test } from 'vitest';

import { installPolicy, withoutMarkup } from './trustedTypes';

test('styles pass, markup does not', () => {
  expect(withoutMarkup('@media (max-width: 1px) { .a > .b { color: red } }')).toContain('@media');
  expect(withoutMarkup('<img src=x onerror=alert(1)>')).toBeNull();
});

test('a browser without trusted types is left alone', () => {
  expect(() => installPolicy({})).not.toThrow();
});
