import { expect, test } from 'vitest';

import type { AccessRequest } from '../../api/calls';
import { periodSeconds } from '../../lib/period';
import { oneLine, statedProblem } from '../../lib/stated';
import { actions, approvals, approvalWanted, deadline, secondsLeft, spans, standing } from './standing';

const ASKED: AccessRequest = {
  id: 'req_1',
  kind: 'access',
  state: 'pending',
  person: 'ada',
  connection: 'billing',
  rule: 'four-eyes',
  reason: 'ticket 1',
  duration_seconds: 3_600,
  needed: 2,
  decisions: [],
  created_at: '2026-11-22T12:00:00Z',
  decide_until: '2026-11-23T12:00:00Z',
  may_decide: false,
  may_review: false,
};
const END = { ends_at: '2026-11-22T13:00:00Z' };
const FIRE: AccessRequest = { ...ASKED, ...END, kind: 'break_glass', state: 'approved', needed: 0, incident: 'INC-1' };
const REVIEW = { by: 'grace', at: '2026-11-22T14:00:00Z', finding: 'right' };
const ADA = { name: 'ada', role: 'user' };
const GRACE = { name: 'grace', role: 'admin' };
const MARY = { name: 'mary', role: 'user' };

test.each<[Partial<AccessRequest>, string]>([
  [{}, 'waits for approval'],
  [{ ...END, state: 'approved' }, 'in force'],
  [{ state: 'denied' }, 'denied'],
  [{ state: 'expired' }, 'not decided in time'],
  [{ ...END, state: 'expired' }, 'over'],
  [{ state: 'ended' }, 'withdrawn'],
  [{ ...END, state: 'ended' }, 'ended'],
  [{ ...FIRE }, 'in force'],
  [{ ...FIRE, state: 'expired' }, 'review due'],
  [{ ...FIRE, state: 'ended' }, 'review due'],
  [{ ...FIRE, state: 'ended', review: REVIEW }, 'reviewed'],
])('%j stands so', (change, words) => expect(standing({ ...ASKED, ...change })).toBe(words));

test('time runs to the decision, then to the end, then not at all', () => {
  const at = Date.parse('2026-11-22T12:59:59.500Z');
  expect(deadline(ASKED)).toBe(ASKED.decide_until);
  expect(secondsLeft({ ...ASKED, ...END, state: 'approved' }, at)).toBe(1);
  expect(secondsLeft({ ...ASKED, ...END, state: 'approved' }, at + 60_000)).toBe(0);
  expect(secondsLeft({ ...ASKED, state: 'approved' }, at)).toBeUndefined();
  expect(secondsLeft({ ...ASKED, ...END, state: 'ended' }, at)).toBeUndefined();
  expect(secondsLeft({ ...ASKED, decide_until: 'soon' }, at)).toBeUndefined();
});

test('who may do what', () => {
  expect(actions(ASKED, ADA)).toEqual({ decide: false, extend: false, review: false, end: 'Withdraw' });
  expect(actions({ ...ASKED, state: 'approved' }, ADA).end).toBe('Give back');
  expect(actions(ASKED, MARY).end).toBeUndefined();
  expect(actions({ ...ASKED, may_decide: true }, MARY)).toEqual({ decide: true, extend: false, review: false, end: undefined });
  expect(actions(ASKED, GRACE).end).toBe('Revoke');
  const decided = { ...ASKED, decisions: [{ by: 'mary', approves: true, at: '' }] };
  expect(actions(decided, MARY)).toMatchObject({ decide: false, end: undefined });
  expect(actions({ ...decided, state: 'approved' }, MARY).end).toBe('Revoke');
  expect(approvals({ ...decided, decisions: [...decided.decisions, { by: 'bob', approves: false, at: '' }] })).toBe(1);
  for (const state of ['denied', 'expired', 'ended'] as const) expect(actions({ ...ASKED, state }, GRACE).end, state).toBeUndefined();
  expect(actions(FIRE, ADA)).toEqual({ decide: false, extend: false, review: false, end: 'End now' });
  expect(actions({ ...FIRE, may_review: true }, MARY)).toEqual({ decide: false, extend: true, review: false, end: 'End now' });
  expect(actions({ ...FIRE, may_review: true, state: 'expired' }, MARY)).toMatchObject({ extend: false, review: true, end: undefined });
});

test('the approval that a connection needs', () => {
  expect(approvalWanted({ needs: ['a reason', 'the approval of 2, for at most 4h'] })).toEqual({ approvers: 2, longest: 14_400 });
  expect(approvalWanted({ needs: ['the approval of 1, for at most ever'] })).toEqual({ approvers: 1, longest: undefined });
  expect(approvalWanted({ needs: ['a reason'] })).toBeUndefined();
  expect(approvalWanted({})).toBeUndefined();
  expect(spans(3_600)).toEqual([900, 1_800, 3_600]);
  expect(spans(600)).toEqual([600]);
  expect(spans(undefined)).toContain(28_800);
});

test.each(['', 'h', '4', '-4h', '4 h', '4h30m', '1.5h', '9999999999h', '4w'])('%j is no period', (text) =>
  expect(periodSeconds(text)).toBeUndefined(),
);

test('periods', () => {
  expect(['90s', '15m', '8h', '2d'].map(periodSeconds)).toEqual([90, 900, 28_800, 172_800]);
});

test('what is stated for the record', () => {
  expect(statedProblem('ticket 4711', 'Say why.')).toBeUndefined();
  expect(statedProblem('  ', 'Say why.')).toBe('Say why.');
  expect(statedProblem('ü'.repeat(500), '')).toBeUndefined();
  expect(statedProblem('ü'.repeat(501), '')).toMatch(/1000 bytes/);
  for (const bad of ['a\nb', 'a\u0000', '\u001b[31m', 'a\u0085b']) expect(statedProblem(bad, ''), bad).toBeTypeOf('string');
  expect(statedProblem(oneLine('first\r\nsecond\tthird'), '')).toBeUndefined();
  expect(oneLine('a\n\nb')).toBe('a b');
});
