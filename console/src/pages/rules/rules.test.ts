import { expect, test } from 'vitest';

import { matches, period, readDocument, summaries } from './document';
import { NEW_RULE, type NewRule, periodProblem, problems, ruleLines, withRule } from './newRule';
import { around, lineCount, lineRange, placeIn } from './place';

const RULE: NewRule = { ...NEW_RULE, name: 'dba-prod', groups: 'dba, no', connections: 'clinic', labels: 'env=prod\nenv=stage\nteam=a b' };

test('a place is read from where a message begins, and nowhere else', () => {
  expect(placeIn('line 3, column 7: unknown field `x`')).toEqual({ place: { line: 3, column: 7 }, rest: 'unknown field `x`' });
  expect(placeIn('line 3, column 7: rule r: it ends at line 4, column 1: so').rest).toBe('rule r: it ends at line 4, column 1: so');
  for (const other of ['no place', 'rule r: line 3, column 7: x', 'line x, column 1: y', 'line 99999999999, column 1: y']) {
    expect(placeIn(other)).toEqual({ place: undefined, rest: other });
  }
});

test('a line and what stands in it', () => {
  const text = 'version: 1\nrules:\n- näme: 😀x\n';
  expect(lineRange(text, 1)).toEqual([0, 10]);
  expect(text.slice(...lineRange(text, 3))).toBe('- näme: 😀x');
  expect(lineRange(text, 99)).toEqual([text.length, text.length]);
  expect(around(text, { line: 3, column: 10 })).toEqual({ before: '- näme: 😀', wrong: 'x', after: '' });
  expect(around(text, { line: 3, column: 9 })).toEqual({ before: '- näme: ', wrong: '😀', after: 'x' });
  expect(around(text, { line: 2, column: 1 })).toEqual({ before: '', wrong: 'rules', after: ':' });
  expect(around(text, { line: 3, column: 99 })).toEqual({ before: '- näme: 😀x', wrong: '', after: '' });
  const long = around(`${'a '.repeat(100)}wrong-word${' b'.repeat(100)}`, { line: 1, column: 201 });
  expect(long).toEqual({ before: `…${'a '.repeat(30)}`, wrong: 'wrong-word', after: `${' b'.repeat(30)}…` });
  expect([lineCount(''), lineCount(text)]).toEqual([1, 4]);
});

test('a rule in words', () => {
  const document = readDocument({
    version: 1,
    rules: [
      {
        name: 'on-call',
        description: 'At night',
        subjects: { groups: ['oncall'], users: ['ada'], service_accounts: ['ci'] },
        connections: { names: ['clinic'], labels: { env: ['prod', 'stage'], team: ['a'] } },
        conditions: {
          mfa: { max_age: '15m', methods: ['passkey'] },
          times: [{ from: '20:00', to: '06:00', zone: 'Europe/Berlin' }, { days: ['sat', 'sun'], from: '00:00', to: '24:00', zone: 'UTC' }],
          networks: ['10.0.0.0/8'],
          reason: true,
          approval: { approvers: { groups: ['leads'] }, count: 2, longest: '4h' },
          end_to_end_only: true,
        },
        limits: { duration: '8h', idle: '30m', sessions: 2, recording: 'strict', retention: '7y' },
        become: 'clinic_ro',
        allow_replication: true,
      },
      { name: 'ci', enabled: false, subjects: { service_accounts: ['ci'] }, connections: { names: ['*'] }, conditions: { mfa: { max_age: '12h' } }, limits: {} },
    ],
    break_glass: [
      { name: 'fire', subjects: { groups: ['dba'] }, connections: { names: ['*'] }, mfa: { max_age: '5m' }, limits: { duration: '1h', idle: '15m' }, review_before_next_use: true },
    ],
  });
  const [onCall, ci, fire] = summaries(document);
  expect(onCall).toEqual({
    name: 'on-call',
    description: 'At night',
    enabled: true,
    emergency: false,
    who: ['group oncall', 'ada', 'service account ci'],
    what: ['clinic', 'those with env=prod or stage and team=a'],
    conditions: [
      'a second factor of the last 15 min (passkey)',
      'a reason',
      'the approval of 2 of group leads, good for 4 h',
      'daily 20:00–06:00 Europe/Berlin',
      'sat, sun 00:00–24:00 UTC',
      'from 10.0.0.0/8',
      'end to end only',
    ],
    limits: ['8 h long', '30 min idle', '2 at once', 'recorded strictly', 'recording kept for 7y', 'replication allowed', 'as clinic_ro at the target'],
  });
  expect(ci).toMatchObject({ enabled: false, conditions: [], limits: [], what: ['every connection'] });
  expect(fire).toMatchObject({
    emergency: true,
    conditions: ['a second factor of the last 5 min', 'a reason', 'a review by admins before the next use'],
    limits: ['1 h long', '15 min idle', 'recorded strictly'],
  });
  expect(onCall && matches(onCall, ' PASSKEY')).toBe(true);
  expect(onCall && matches(onCall, 'finance')).toBe(false);
  expect(summaries(readDocument(undefined))).toEqual([]);
  expect(period('what')).toBe('what');
});

test('a good new rule has no problem', () => expect(problems(RULE, ['other'])).toEqual({}));

test.each([
  [{ name: 'Prod' }, 'name'],
  [{ name: 'other' }, 'name'],
  [{ groups: '', users: ' ' }, 'groups'],
  [{ groups: 'a;b' }, 'groups'],
  [{ users: 'ada lovelace' }, 'users'],
  [{ connections: '', labels: '' }, 'connections'],
  [{ connections: '*, clinic' }, 'connections'],
  [{ connections: '*' }, 'connections'],
  [{ connections: 'pg-*' }, 'connections'],
  [{ labels: 'env' }, 'labels'],
  [{ mfaAge: '' }, 'mfaAge'],
  [{ duration: '8 hours' }, 'duration'],
  [{ idle: '0m' }, 'idle'],
  [{ approval: true }, 'approverGroups'],
  [{ approval: true, approverGroups: 'leads', count: 11 }, 'count'],
  [{ approval: true, approverUsers: 'a b' }, 'approverUsers'],
] as [Partial<NewRule>, string][])('%j is refused at its field', (change, field) => {
  expect(Object.keys(problems({ ...RULE, ...change }, ['other']))).toEqual([field]);
});

test.each(['', '8', '8 h', '1.5h', '8H', '-8h', '1h30m', '31d', '721h', '0d', '9999999999s', '٣h'])('%j is no length of time', (text) =>
  expect(periodProblem(text)).toBeTypeOf('string'),
);

test.each(['90s', '30m', '8h', '30d', ' 8h '])('%j is one', (text) => expect(periodProblem(text)).toBeUndefined());

test('a rule as YAML: what was typed is quoted', () => {
  const approval = { approval: true, reason: true, count: 2, approverGroups: 'leads', approverUsers: 'grace' };
  expect(ruleLines({ ...RULE, ...approval }).join('\n')).toBe(`- name: "dba-prod"
  subjects:
    groups: ["dba", "no"]
  connections:
    names: ["clinic"]
    labels:
      "env": ["prod", "stage"]
      "team": ["a b"]
  conditions:
    mfa:
      max_age: 12h
    reason: true
    approval:
      approvers:
        groups: ["leads"]
        users: ["grace"]
      count: 2
  limits:
    duration: 8h
    idle: 30m`);
});

const at = (indent: string) =>
  ruleLines(RULE)
    .map((line) => `${indent}${line}\n`)
    .join('');

test.each([
  ['nothing', '', `version: 1\nrules:\n${at('  ')}`],
  ['no rules', 'version: 1\nrules: []\n', `version: 1\nrules:\n${at('  ')}`],
  ['no rules but emergencies', 'version: 1\nrules: [] # none\nbreak_glass:\n- name: x\n', `version: 1\nrules:  # none\n${at('  ')}break_glass:\n- name: x\n`],
  ['a list at the margin', 'version: 1\nrules:\n- name: a\n  x: |\n    b\n\n# end\nbreak_glass:\n- name: c\n', `version: 1\nrules:\n- name: a\n  x: |\n    b\n${at('')}\n# end\nbreak_glass:\n- name: c\n`],
  ['an indented list', 'version: 1\nrules: # all\n  # first\n  - name: a\n', `version: 1\nrules: # all\n  # first\n  - name: a\n${at('  ')}`],
  ['rules before the version', 'rules:\n  -\n    name: a\nversion: 1\n\n\n', `rules:\n  -\n    name: a\n${at('  ')}version: 1\n`],
])('a rule is put after the last one: %s', (_, before, after) => expect(withRule(before, RULE)).toBe(after));

test.each(['version: 1\nrules: [{name: a}]\n', 'version: 1\nrules:\n  [{name: a}]\n', '{version: 1, rules: []}', 'version: 1\n', '  rules:\n  - a'])(
  'what is written otherwise is left alone: %j',
  (yaml) => expect(withRule(yaml, RULE)).toBeUndefined(),
);
