/**
 * A rule from the small form, as YAML, put into a document that people may have written by hand: the text around it stays
 * as it is. The gateway reads and checks the whole; this need only be right for what it says it can do.
 */
import { labelsProblem, labelValues } from '../../lib/labels';
import { groupProblem, slugProblem, splitGroups, userProblem } from '../../lib/names';

/** As typed. Lists are separated by commas, labels stand one a line. */
export interface NewRule {
  name: string;
  groups: string;
  users: string;
  connections: string;
  labels: string;
  reason: boolean;
  mfaAge: string;
  duration: string;
  idle: string;
  approval: boolean;
  count: number;
  approverGroups: string;
  approverUsers: string;
}

/** What the gateway takes where nothing is said. */
export const NEW_RULE: NewRule = {
  name: '',
  groups: '',
  users: '',
  connections: '',
  labels: '',
  reason: false,
  mfaAge: '12h',
  duration: '8h',
  idle: '30m',
  approval: false,
  count: 1,
  approverGroups: '',
  approverUsers: '',
};

export type Problems = Partial<Record<keyof NewRule, string>>;

export function problems(rule: NewRule, taken: readonly string[]): Problems {
  const found: Problems = {};
  const put = (key: keyof NewRule, problem: string | undefined) => {
    if (problem !== undefined) found[key] = problem;
  };
  const nobody = (groups: string, users: string) => (`${groups}${users}`.trim() === '' ? 'Name a group or a person.' : undefined);
  put('name', taken.includes(rule.name) ? 'Another rule has this name.' : slugProblem(rule.name));
  put('groups', nobody(rule.groups, rule.users) ?? each(rule.groups, groupProblem));
  put('users', each(rule.users, userProblem));
  const nothing = `${rule.connections}${rule.labels}`.trim() === '' ? 'Name a connection, or labels; * for all.' : undefined;
  put('connections', nothing ?? connectionsProblem(rule));
  put('labels', labelsProblem(rule.labels));
  for (const key of ['mfaAge', 'duration', 'idle'] as const) put(key, periodProblem(rule[key]));
  if (rule.approval) {
    put('count', Number.isInteger(rule.count) && rule.count >= 1 && rule.count <= 10 ? undefined : '1 to 10.');
    put('approverGroups', nobody(rule.approverGroups, rule.approverUsers) ?? each(rule.approverGroups, groupProblem));
    put('approverUsers', each(rule.approverUsers, userProblem));
  }
  return found;
}

function each(list: string, problem: (name: string) => string | undefined): string | undefined {
  for (const name of splitGroups(list)) {
    const wrong = problem(name);
    if (wrong !== undefined) return `${name}: ${wrong}`;
  }
  return undefined;
}

function connectionsProblem({ connections, labels }: NewRule): string | undefined {
  const names = splitGroups(connections);
  if (!names.includes('*')) return each(connections, slugProblem);
  return names.length > 1 || labels.trim() !== '' ? '* selects all already: leave it alone or out.' : undefined;
}

const SECONDS: Record<string, number> = { d: 86_400, h: 3_600, m: 60, s: 1 };
const LONGEST = 30 * 86_400;

/** What is wrong with a length of time such as `8h`. */
export function periodProblem(text: string): string | undefined {
  const [, digits, unit = ''] = /^(\d{1,9})([dhms])$/.exec(text.trim()) ?? [];
  if (digits === undefined) return 'A number and a unit: 90s, 30m, 8h or 7d.';
  const seconds = Number(digits) * (SECONDS[unit] ?? 0);
  if (seconds === 0) return 'More than nothing.';
  return seconds > LONGEST ? 'At most 30d.' : undefined;
}

/** The rule's lines, not indented. Everything typed is quoted: a group may be called `no`. */
export function ruleLines(rule: NewRule): string[] {
  const labels = Object.entries(labelValues(rule.labels));
  return [
    `- name: ${quoted(rule.name)}`,
    '  subjects:',
    ...people(rule.groups, rule.users, '    '),
    '  connections:',
    ...list('names', rule.connections, '    '),
    ...(labels.length > 0 ? ['    labels:', ...labels.map(([key, values]) => `      ${quoted(key)}: ${flow(values)}`)] : []),
    '  conditions:',
    '    mfa:',
    `      max_age: ${rule.mfaAge.trim()}`,
    ...(rule.reason ? ['    reason: true'] : []),
    ...(rule.approval
      ? ['    approval:', '      approvers:', ...people(rule.approverGroups, rule.approverUsers, '        '), `      count: ${rule.count}`]
      : []),
    '  limits:',
    `    duration: ${rule.duration.trim()}`,
    `    idle: ${rule.idle.trim()}`,
  ];
}

const quoted = (text: string): string => JSON.stringify(text);
const flow = (texts: string[]): string => `[${texts.map(quoted).join(', ')}]`;

function list(field: string, text: string, indent: string): string[] {
  const names = splitGroups(text);
  return names.length > 0 ? [`${indent}${field}: ${flow(names)}`] : [];
}

function people(groups: string, users: string, indent: string): string[] {
  return [...list('groups', groups, indent), ...list('users', users, indent)];
}

/**
 * The document with the rule as the last of its `rules`; `undefined` where they are written in a form that this does not
 * know, such as all in one line.
 */
export function withRule(yaml: string, rule: NewRule): string | undefined {
  if (yaml.trim() === '') return withRule('version: 1\nrules:\n', rule);
  const lines = yaml.replace(/\n*$/, '').split('\n');
  const at = lines.findIndex((line) => /^rules:\s*(\[\s*\]\s*)?(#.*)?$/.test(line));
  if (at < 0) return undefined;
  const end = blockEnd(lines, at + 1);
  const first = lines.slice(at + 1, end).find((line) => !isIdle(line));
  const indent = first === undefined ? '  ' : /^( *)-(\s|$)/.exec(first)?.[1];
  if (indent === undefined) return undefined;
  const head = lines.slice(0, at + 1).map((line, index) => (index === at ? line.replace(/\[\s*\]/, '').trimEnd() : line));
  const added = ruleLines(rule).map((line) => `${indent}${line}`);
  return `${[...head, ...lines.slice(at + 1, end), ...added, ...lines.slice(end)].join('\n')}\n`;
}

/** The line after the last of a top-level list. */
function blockEnd(lines: string[], from: number): number {
  let end = from;
  for (let at = from; at < lines.length; at += 1) {
    const line = lines[at] ?? '';
    if (isIdle(line)) continue;
    if (!/^(\s|-(\s|$))/.test(line)) break;
    end = at + 1;
  }
  return end;
}

/** Empty, or a comment alone. */
function isIdle(line: string): boolean {
  return /^\s*(#.*)?$/.test(line);
}
