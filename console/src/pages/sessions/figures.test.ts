import { expect, test } from 'vitest';

import { atLeast } from './figures';

test('the figures of an interrupted session are the least', () => {
  expect(atLeast({ state: 'interrupted' }, '7,746')).toBe('≥ 7,746');
  for (const state of ['opening', 'live', 'ending', 'ended'] as const) expect(atLeast({ state }, '3')).toBe('3');
});
