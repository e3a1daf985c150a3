import { afterEach, expect, test } from 'vitest';

import { keepDraft, keptDraft } from './keptDraft';

afterEach(() => sessionStorage.clear());

test('a draft is kept for who wrote it', () => {
  keepDraft('usr_a', { text: 'version: 1\n', base: 3 });
  expect(keptDraft('usr_a')).toEqual({ text: 'version: 1\n', base: 3 });
  expect(keptDraft('usr_b')).toBeUndefined();
  keepDraft('usr_a', undefined);
  expect(keptDraft('usr_a')).toBeUndefined();
});

test.each(['', '{', '[]', '3', '{"person":"usr_a"}', '{"person":"usr_a","text":1,"base":1}', '{"person":"usr_a","text":"x","base":"1"}'])(
  '%j is no draft',
  (kept) => {
    sessionStorage.setItem('hoop.rules.draft', kept);
    expect(keptDraft('usr_a')).toBeUndefined();
  },
);
