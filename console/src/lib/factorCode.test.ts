import { describe, expect, it } from 'vitest';

import { factorCode } from './factorCode';

describe('what is typed as second factor', () => {
  it.each([
    ['123 456', true, '123456'],
    ['1234567', true, '123456'],
    ['bcdf-ghjk lmnp', true, 'BCDF-GHJK-LMNP'],
    ['BCDFGHJKLMNPQRSTVW', true, 'BCDF-GHJK-LMNP-QRST'],
    ['bcdf', false, ''],
    ['12a34', false, '1234'],
    ['', true, ''],
  ])('%j (%j) is %j', (typed, orRecoveryCode, sent) => {
    expect(factorCode(typed, orRecoveryCode)).toBe(sent);
  });
});
