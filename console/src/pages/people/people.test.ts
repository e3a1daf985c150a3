import { expect, test } from 'vitest';

import type { User } from '../../api/calls';
import { readDocument } from '../rules/document';
import { groupLines, namings, sourceWord } from './words';

const DOCUMENT = readDocument({
  rules: [
    { name: 'dba-prod', subjects: { groups: ['dba'] }, connections: { names: ['clinic', '*'] } },
    {
      name: 'finance',
      enabled: false,
      subjects: { users: ['dba'], groups: ['finance'] },
      connections: { labels: { env: ['prod', 'stage'] } },
      conditions: { approval: { approvers: { groups: ['leads', 'dba'] }, count: 1, longest: '4h' } },
    },
  ],
  break_glass: [{ name: 'fire', subjects: { groups: ['dba'] }, connections: { names: ['vault'] }, reviewers: { groups: ['leads'] } }],
});
const user = (name: string, groups: string[]): User => ({ id: name, name, groups, role: 'user', source: 'builtin', active: true, locked: false });

test('every place that names a group is found', () => {
  expect(namings(DOCUMENT, 'dba')).toEqual([
    { rule: 'dba-prod', as: 'may open', enabled: true, what: ['clinic', 'every connection'] },
    { rule: 'finance', as: 'approves', enabled: false, what: ['env=prod or stage'] },
    { rule: 'fire', as: 'in emergencies', enabled: true, what: ['vault'] },
  ]);
  expect(namings(DOCUMENT, 'leads').map(({ as }) => as)).toEqual(['approves', 'reviews']);
  expect(namings(DOCUMENT, 'clinic')).toEqual([]);
  expect(namings(readDocument(null), 'dba')).toEqual([]);
});

test('groups are those of people and of rules; no name is special', () => {
  const people = [user('ada', ['dba', '__proto__']), user('bob', ['dba'])];
  expect(groupLines(people, DOCUMENT)).toEqual([
    { name: '__proto__', members: 1, rules: 0 },
    { name: 'dba', members: 2, rules: 3 },
    { name: 'finance', members: 0, rules: 1 },
    { name: 'leads', members: 0, rules: 2 },
  ]);
  expect(groupLines([], readDocument({}))).toEqual([]);
});

test('where an account comes from', () => expect(['builtin', 'oidc'].map(sourceWord)).toEqual(['built-in', 'OIDC']));
