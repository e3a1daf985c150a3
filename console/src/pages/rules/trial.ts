/** What a trial of rules says, in plain words. Pure. */
import type { TriedRule, TriedStatement, TriedText } from '../../api/calls';
import { counted } from '../../lib/format';
import type { CarriedStatement } from './carried';

const CLASSES: Record<string, string> = {
  session: 'changes its own session or transaction',
  read: 'reads rows',
  write: 'changes or locks rows',
  ddl: 'changes tables, views or functions',
  privilege: 'changes who may do what, or who one is',
  server: 'reaches beyond the tables, or runs what is not known',
};

/** Why a rule that allows does not allow this, by the condition that is not met. */
const MISSES: Record<string, string> = {
  classes: 'the statement may do more than its classes',
  verbs: 'the statement has other verbs',
  tables: 'the statement touches, or may touch, other tables',
  columns: 'the statement touches, or may touch, other columns',
  text: 'the statement is spelled otherwise',
};

/** The code of a refusal that an approval would lift. */
const NEEDS_APPROVAL = 'HOOP-2034';

/** A fact about a statement, with the words that a rule would use. */
export interface Fact {
  name: string;
  /** A line each. */
  lines: { words: string; code?: string }[];
}

/** What was read of a statement. */
export function facts(statement: TriedStatement): Fact[] {
  const { classes, verbs, tables, unknown_functions, unbounded, opaque, spelling, missed } = statement;
  const misses = missed.map(({ rule, condition }) => ({ code: rule, words: MISSES[condition] ?? condition }));
  const asked = (statement.conditions ?? []).map(({ rule, when, answer }) => ({ code: rule, words: `${when} ${answer}` }));
  const before: Fact[] = [
    ...(misses.length > 0 ? [{ name: 'No fit', lines: misses }] : []),
    ...(asked.length > 0 ? [{ name: 'Conditions', lines: asked }] : []),
  ];
  if (opaque) {
    const words = 'not understood, or it runs code that is not in its text: counts as anything, on any table';
    return [...before, { name: 'Does', lines: [{ words }] }];
  }
  return [
    ...before,
    { name: 'Does', lines: classes.map((name) => ({ code: name, words: CLASSES[name] ?? '' })) },
    ...(verbs.length > 0 ? [{ name: 'Verbs', lines: [{ words: '', code: verbs.join(', ') }] }] : []),
    { name: 'Tables', lines: tablesOf(tables ?? undefined) },
    ...(unknown_functions.length > 0
      ? [{ name: 'Functions', lines: [{ code: unknown_functions.join(', '), words: 'not known: may do anything, on any table' }] }]
      : []),
    ...(unbounded ? [{ name: 'WHERE', lines: [{ words: 'none that names a column: may change every row' }] }] : []),
    { name: 'Spelled', lines: [{ words: '', code: spelling }] },
  ];
}

function tablesOf(tables: readonly string[] | undefined): Fact['lines'] {
  if (tables === undefined) return [{ words: 'not certain: may be any' }];
  if (tables.length === 0) return [{ words: 'none' }];
  const vague = tables.some((table) => !table.includes('.'));
  return [{ code: tables.join(', '), words: vague ? 'without its schema a table may be any schema’s' : '' }];
}

/** Which rule decides a statement, and how. */
export function ruling(statement: Pick<TriedStatement, 'allowed' | 'rule' | 'asks' | 'warns'>): string {
  if (statement.asks) return `waits for an approval: asked for by ${statement.asks}`;
  if (statement.allowed && statement.warns && statement.warns.length > 0) {
    return `${ruling({ ...statement, warns: [] })}, with a warning by ${statement.warns.join(', ')}`;
  }
  if (statement.rule) return statement.allowed ? `allowed by ${statement.rule}` : `refused by ${statement.rule}`;
  return statement.allowed ? 'allowed: there are no statement rules' : 'refused: no statement rule fits';
}

/** What becomes of a whole text. */
export function verdict(text: TriedText, rule: TriedRule): string {
  if (text.refusal?.code === NEEDS_APPROVAL) return 'It would wait for an approval of exactly this text';
  if (text.refusal) return 'It would be refused';
  if (rule.break_glass) return 'It would run: in emergencies any statement may';
  if (rule.statements === 0) return `It would run: ${rule.name} has no statement rules`;
  return text.statements.length === 0 ? 'It would run: there is no statement in it' : 'It would run';
}

/** The same in a line of a table. */
export function verdictInShort(text: TriedText): string {
  if (!text.refusal) {
    const by = new Set(text.statements.map(({ rule }) => rule).filter((rule) => typeof rule === 'string'));
    return by.size === 0 ? 'runs' : `runs, by ${[...by].join(', ')}`;
  }
  if (text.unreadable) return 'refused: cannot be read';
  const refusing = text.statements.find(({ at }) => at === text.refused_at);
  return refusing ? ruling(refusing) : `refused (${text.refusal.code})`;
}

/** Codes of refusals by statement rules: others were about something else. */
const BY_STATEMENT_RULES = new Set(['HOOP-2030', 'HOOP-2031', NEEDS_APPROVAL]);

export type Change = 'refused now' | 'runs now';

export interface Compared {
  statement: CarriedStatement;
  now: TriedText;
  /** It was decided otherwise then. */
  change: Change | undefined;
}

/** Then and now, what differs first. */
export function compare(statements: readonly CarriedStatement[], tried: readonly TriedText[]): Compared[] {
  const all = statements.flatMap((statement, index): Compared[] => {
    const now = tried[index];
    return now ? [{ statement, now, change: changeOf(statement, now) }] : [];
  });
  return [...all.filter(({ change }) => change), ...all.filter(({ change }) => !change)];
}

function changeOf({ denied }: CarriedStatement, now: TriedText): Change | undefined {
  if (denied && !BY_STATEMENT_RULES.has(denied.code)) return undefined;
  if (Boolean(denied) === Boolean(now.refusal)) return undefined;
  return now.refusal ? 'refused now' : 'runs now';
}

export function thenInShort({ denied }: CarriedStatement): string {
  if (!denied) return 'ran';
  if (!BY_STATEMENT_RULES.has(denied.code)) return 'refused, for another reason';
  if (denied.code === 'HOOP-2031') return 'refused: could not be read';
  const rule = /^statement rule (\S+) (?:does not allow|wants an approval)/.exec(denied.message)?.[1];
  return rule === undefined ? 'refused: no statement rule fitted' : `refused by ${rule}`;
}

/** How many differ, in a sentence. */
export function summary(compared: readonly Compared[]): string {
  const differing = (change: Change) => compared.filter((one) => one.change === change).length;
  const [refused, runs] = [differing('refused now'), differing('runs now')];
  if (refused + runs === 0) return 'Each would be decided as it was.';
  const parts = [
    ...(refused > 0 ? [`${counted(refused, 'statement')} that ran would be refused`] : []),
    ...(runs > 0 ? [`${counted(runs, 'statement')} that ${runs === 1 ? 'was' : 'were'} refused would run`] : []),
  ];
  return `${parts.join(', ')}.`;
}

/** The access rule to begin with: the one wanted, else the first that has statement rules. */
export function ruleToTry(rules: readonly TriedRule[], wanted: string | undefined): TriedRule | undefined {
  return rules.find(({ name }) => name === wanted) ?? rules.find(({ statements }) => statements > 0) ?? rules[0];
}
