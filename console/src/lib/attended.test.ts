import { afterEach, expect, test, vi } from 'vitest';

import { isAttended } from './attended';

afterEach(() => vi.useRealTimers());

test('a page that nobody touches is unattended, until somebody does', () => {
  vi.useFakeTimers({ now: Date.now() });
  window.dispatchEvent(new Event('keydown'));
  expect(isAttended()).toBe(true);
  vi.advanceTimersByTime(5 * 60_000 - 1);
  expect(isAttended()).toBe(true);
  vi.advanceTimersByTime(1);
  expect(isAttended()).toBe(false);
  window.dispatchEvent(new Event('scroll'));
  expect(isAttended(), 'a page that scrolls by itself is nobody').toBe(false);
  window.dispatchEvent(new Event('pointermove'));
  expect(isAttended()).toBe(true);
});
