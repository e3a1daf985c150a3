import { expect, test } from 'vitest';

import { labelsProblem, labelValues, ownLabelsProblem, readLabels, writeLabels } from './labels';

test('lines are labels, and labels lines', () => {
  const text = 'env=prod\ndata.kind=Patient records / EU:1';
  expect(Object.fromEntries(readLabels(text))).toEqual({ env: 'prod', 'data.kind': 'Patient records / EU:1' });
  expect(writeLabels(Object.fromEntries(readLabels(text)))).toBe(text);
  expect(readLabels(' env = prod \n\n')).toEqual([['env', 'prod']]);
  expect(ownLabelsProblem(text)).toBeUndefined();
  expect(ownLabelsProblem('')).toBeUndefined();
});

test.each(['env', 'env=', '=prod', 'Env=prod', 'env=a=b', 'e v=x', 'env=-x', 'env=a,b', 'env=p\u202erod', 'env=pаypal', `env=${'x'.repeat(129)}`])(
  '%j is no label',
  (line) => expect(labelsProblem(`team=dba\n${line}`)).toBeTypeOf('string'),
);

test('a connection has one value for a key, a rule may name more', () => {
  expect(ownLabelsProblem('env=a\nenv=b')).toBe('env stands there twice.');
  expect(labelsProblem('env=a\nenv=b')).toBeUndefined();
  expect(labelValues('env=a\nteam=x\nenv=b\nenv=a')).toEqual({ env: ['a', 'b'], team: ['x'] });
});
