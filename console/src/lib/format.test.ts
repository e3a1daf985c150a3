import { expect, test } from 'vitest';

import { bytes, counted, dateTime, duration, micros, offset, relative, span } from './format';

test.each([
  [0, '0 bytes'],
  [1, '1 byte'],
  [1_023, '1,023 bytes'],
  [1_024, '1 KiB'],
  [1_536, '1.5 KiB'],
  [5 * 1024 ** 3, '5 GiB'],
  [2 ** 60, '1,024 PiB'],
])('%d bytes', (value, text) => expect(bytes(value)).toBe(text));

test.each([
  [7, '7 µs'],
  [1_250, '1.3 ms'],
  [2_500_000, '2.5 s'],
  [61_000_000, '1 min 1 s'],
])('%d microseconds', (value, text) => expect(duration(value)).toBe(text));

test.each([
  [-5, '0 s'],
  [0, '0 s'],
  [59.9, '59 s'],
  [3_600, '1 h'],
  [3_605, '1 h'],
  [3_900, '1 h 5 min'],
  [183_600, '2 d 3 h'],
])('a span of %d seconds', (value, text) => expect(span(value)).toBe(text));

test.each([
  [0, '+0:00.000'],
  [1_250_999, '+0:01.250'],
  [-2_000, '-0:00.002'],
  [3_725_004_000, '+1:02:05.004'],
])('an offset of %d', (value, text) => expect(offset(value)).toBe(text));

test('microseconds are kept', () => {
  expect(micros('2026-11-22T12:00:00.123456Z') - micros('2026-11-22T12:00:00.123Z')).toBe(456);
  expect(micros('2026-11-22T12:00:00Z') % 1_000_000).toBe(0);
});

test('what is no time is shown as it came', () => {
  expect(dateTime('soon')).toBe('soon');
  expect(relative('soon', 0)).toBe('soon');
  expect(micros('soon')).toBeNaN();
});

test('how long ago', () => {
  const now = Date.parse('2026-11-22T12:00:00Z');
  expect(relative('2026-11-22T11:58:00Z', now)).toBe('2 min ago');
  expect(relative('2026-11-22T15:10:00Z', now)).toBe('in 3 h');
  expect(relative('2026-11-22T12:00:01Z', now)).toBe('just now');
});

test('one and many', () => {
  expect(counted(1, 'row')).toBe('1 row');
  expect(counted(0, 'row')).toBe('0 rows');
  expect(counted(1_234, 'entry', 'entries')).toBe('1,234 entries');
});
