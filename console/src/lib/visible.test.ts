import { expect, test } from 'vitest';

import { pieces, visible } from './visible';

// The table of `hoop_recording::visible`: the two must agree.
test.each([
  ['\u001b]52;c;cm0gLXJm\u0007', '\\x1b]52;c;cm0gLXJm\\x07'],
  ['\u001b]8;;http://evil\u001b\\x', '\\x1b]8;;http://evil\\x1b\\x'],
  ['\u001bP+q\u001b\\', '\\x1bP+q\\x1b\\'],
  ['\u009b2J', '\\u{9b}2J'],
  ['a\r\nb', 'a\\r\\nb'],
  ['user\u202enimda', 'user\\u{202e}nimda'],
  ['a\u200bb\u0000', 'a\\u{200b}b\\x00'],
  ['a\u{e0041}b', 'a\\u{e0041}b'],
  ['\ud800x', '\\u{d800}x'],
  ['Grüße 患者 😀', 'Grüße 患者 😀'],
  ['', ''],
])('%j on one line', (hostile, shown) => {
  expect(visible(hostile, true)).toBe(shown);
});

test('lines and tabs stay where lines are wanted', () => {
  expect(visible('a\n\tb\r\u001b')).toBe('a\n\tb\\r\\x1b');
});

test('no control or deceptive character is left of any in the basic plane', () => {
  const all = Array.from({ length: 0x3000 }, (_, point) => String.fromCharCode(point)).join('');
  expect(visible(all, true)).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f]/u);
});

test('what was escaped can be told from what looked like it', () => {
  expect(pieces('\\x1b\u001b', true)).toEqual([
    { text: '\\x1b', escaped: false },
    { text: '\\x1b', escaped: true },
  ]);
});
