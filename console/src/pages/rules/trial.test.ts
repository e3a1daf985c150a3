import { expect, test } from 'vitest';

import type { TriedStatement, TriedText } from '../../api/calls';
import { readStatement, type Statement } from '../../replay/statement';
import { carry, type CarriedStatement, isCarried, ruleIn } from './carried';
import { compare, facts, ruleToTry, ruling, summary, thenInShort, verdict, verdictInShort } from './trial';

const sent = (id: number, raw: object): Statement => {
  const read = readStatement({ stream: 0, id, at: '', form: 'query', text: 'select 1', ...raw }, id);
  if (!read) throw new Error('it is an object');
  return read;
};

const READ: TriedStatement = {
  at: 0,
  classes: ['read'],
  verbs: ['select'],
  tables: ['clinic.patients'],
  unknown_functions: [],
  unbounded: false,
  opaque: false,
  spelling: 'select * from clinic.patients',
  allowed: true,
  rule: 'read',
  missed: [],
};
const runs: TriedText = { statements: [READ], statements_omitted: 0 };
const refused: TriedText = {
  statements: [READ, { ...READ, at: 1, allowed: false, rule: 'no-billing' }],
  statements_omitted: 0,
  refused_at: 1,
  refusal: { code: 'HOOP-2030', message: 'no' },
};
const RULE = { name: 'analysts', break_glass: false, statements: 2 };
const denied = (code: string, message = 'no') => ({ code, message });
const carried = (text: string, refusal?: { code: string; message: string }): CarriedStatement => ({ text, times: 1, denied: refusal });

test('what was sent is carried once for each outcome; what was only executed is not', () => {
  const no = { denied: denied('HOOP-2030') };
  const { statements, leftOut } = carry([
    sent(1, {}),
    sent(2, {}),
    sent(3, no),
    sent(4, { form: 'prepare', text: 'select $1' }),
    sent(5, { form: 'bind', text: 'select $1' }),
    sent(6, { form: 'execute', text: 'select $1' }),
    sent(7, { form: 'log_in', text: 'clinic' }),
    sent(8, { text: ' ' }),
  ]);
  expect(statements).toEqual([
    { text: 'select 1', times: 2, denied: undefined },
    { text: 'select 1', times: 1, denied: no.denied },
    { text: 'select $1', times: 1, denied: undefined },
  ]);
  expect(leftOut).toBe(0);
  expect(isCarried(sent(1, { form: 'function_call', text: 'x' }))).toBe(false);
});

test('what is too much for one trial is left out and counted', () => {
  const many = Array.from({ length: 510 }, (_, id) => sent(id, { text: `select ${id}` }));
  expect(carry(many)).toMatchObject({ leftOut: 10 });
  expect(carry(many).statements).toHaveLength(500);
  const long = carry([sent(1, { text: 'ß'.repeat(32 * 1024) }), sent(2, { text: 'ß'.repeat(32 * 1024 + 1) })]);
  expect([long.statements.length, long.leftOut]).toEqual([1, 1]);
  const large = carry(Array.from({ length: 17 }, (_, id) => sent(id, { text: `${String(id).padStart(2, '0')}${'x'.repeat(64 * 1024 - 2)}` })));
  expect([large.statements.length, large.leftOut]).toEqual([16, 1]);
});

test.each([
  ['rule dba-prod: member of dba', 'dba-prod'],
  ['break-glass rule fire.1: member of dba', 'fire.1'],
  ['capability cap_1 while the gateway was down', undefined],
  ['member of rule x: y', undefined],
])('the rule in %j', (because, rule) => expect(ruleIn(because)).toBe(rule));

test('what was read, in words', () => {
  const told = (change: Partial<TriedStatement>) =>
    Object.fromEntries(facts({ ...READ, ...change }).map(({ name, lines }) => [name, lines.map(({ code, words }) => [code, words].filter(Boolean).join(': ')).join(' | ')]));
  expect(told({})).toEqual({ Does: 'read: reads rows', Verbs: 'select', Tables: 'clinic.patients', Spelled: READ.spelling });
  expect(told({ tables: ['claims'] })['Tables']).toBe('claims: without its schema a table may be any schema’s');
  expect(told({ tables: [] })['Tables']).toBe('none');
  expect(told({ tables: null })['Tables']).toBe('not certain: may be any');
  expect(told({ unknown_functions: ['f'] })['Functions']).toBe('f: not known: may do anything, on any table');
  expect(told({ unbounded: true })['WHERE']).toBe('none that names a column: may change every row');
  expect(Object.keys(told({ opaque: true, classes: ['server'], unbounded: true }))).toEqual(['Does']);
  expect(told({ missed: [{ rule: 'read', condition: 'classes' }, { rule: 'notes', condition: 'new' }] })['No fit']).toBe(
    'read: the statement may do more than its classes | notes: new',
  );
  const conditions = [{ rule: 'own', when: 'data.ward.own', holds: false, answer: 'does not hold: it has no value' }];
  expect(told({ conditions })['Conditions']).toBe('own: data.ward.own does not hold: it has no value');
  expect(told({ classes: ['from_the_future'] })['Does']).toBe('from_the_future');
});

test('what is decided, in words', () => {
  expect(ruling(READ)).toBe('allowed by read');
  expect(ruling({ allowed: false, rule: 'x' })).toBe('refused by x');
  expect(ruling({ allowed: false })).toBe('refused: no statement rule fits');
  expect(ruling({ allowed: true, rule: null })).toBe('allowed: there are no statement rules');
  expect(ruling({ allowed: false, rule: 'all', asks: 'fix' })).toBe('waits for an approval: asked for by fix');
  expect(ruling({ allowed: true, rule: 'all', warns: ['a', 'b'] })).toBe('allowed by all, with a warning by a, b');
  expect(verdict(refused, RULE)).toBe('It would be refused');
  expect(verdict(runs, RULE)).toBe('It would run');
  expect(verdict({ ...runs, statements: [] }, RULE)).toBe('It would run: there is no statement in it');
  expect(verdict(runs, { ...RULE, statements: 0 })).toBe('It would run: analysts has no statement rules');
  expect(verdict(runs, { ...RULE, break_glass: true })).toBe('It would run: in emergencies any statement may');
  expect(verdictInShort(runs)).toBe('runs, by read');
  expect(verdictInShort({ ...runs, statements: [{ ...READ, rule: null }] })).toBe('runs');
  expect(verdictInShort(refused)).toBe('refused by no-billing');
  expect(verdictInShort({ ...runs, refusal: { code: 'HOOP-2033', message: 'no' } })).toBe('refused (HOOP-2033)');
  expect(verdictInShort({ ...refused, unreadable: 'it holds a zero byte' })).toBe('refused: cannot be read');
});

test('then and now: what differs comes first, and refusals for other reasons are not compared', () => {
  const statements = [
    carried('same'),
    carried('refused now'),
    carried('another reason', denied('HOOP-2005')),
    carried('runs now', denied('HOOP-2030')),
    carried('refused still', denied('HOOP-2031')),
  ];
  const compared = compare(statements, [runs, refused, runs, runs, refused]);
  expect(compared.map(({ statement, change }) => [statement.text, change])).toEqual([
    ['refused now', 'refused now'],
    ['runs now', 'runs now'],
    ['same', undefined],
    ['another reason', undefined],
    ['refused still', undefined],
  ]);
  expect(summary(compared)).toBe('1 statement that ran would be refused, 1 statement that was refused would run.');
  expect(summary(compare(statements, []))).toBe('Each would be decided as it was.');
  expect(statements.map(thenInShort)).toEqual(['ran', 'ran', 'refused, for another reason', 'refused: no statement rule fitted', 'refused: could not be read']);
  expect(thenInShort(carried('x', denied('HOOP-2030', 'statement rule no-billing does not allow this statement (read)')))).toBe('refused by no-billing');
});

test('the access rule to begin with', () => {
  const rules = [{ ...RULE, name: 'a', statements: 0 }, RULE, { ...RULE, name: 'b' }];
  expect(ruleToTry(rules, 'b')?.name).toBe('b');
  expect(ruleToTry(rules, 'gone')?.name).toBe('analysts');
  expect(ruleToTry(rules.slice(0, 1), undefined)?.name).toBe('a');
  expect(ruleToTry([], 'a')).toBeUndefined();
});
