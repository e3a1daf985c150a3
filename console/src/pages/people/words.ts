/** Groups as people and rules name them. Pure. */
import type { User } from '../../api/calls';
import type { BreakGlassRule, Rule, RulesDocument } from '../rules/document';

export function sourceWord(source: string): string {
  return source === 'builtin' ? 'built-in' : source.toUpperCase();
}

/** How a rule names a group. */
export type NamedAs = 'may open' | 'approves' | 'in emergencies' | 'reviews';

export interface Naming {
  rule: string;
  as: NamedAs;
  enabled: boolean;
  /** Names and labels of the connections. */
  what: string[];
}

interface Named {
  groups: readonly string[] | undefined;
  naming: Naming;
}

function named({ rules, break_glass }: RulesDocument): Named[] {
  const entry = (rule: Rule | BreakGlassRule, groups: readonly string[] | undefined, as: NamedAs): Named => ({
    groups,
    naming: { rule: rule.name, as, enabled: rule.enabled !== false, what: connectionsOf(rule) },
  });
  return [
    ...rules.flatMap((rule) => [
      entry(rule, rule.subjects.groups, 'may open'),
      entry(rule, rule.conditions?.approval?.approvers.groups, 'approves'),
    ]),
    ...break_glass.flatMap((rule) => [
      entry(rule, rule.subjects.groups, 'in emergencies'),
      entry(rule, rule.reviewers?.groups, 'reviews'),
    ]),
  ];
}

function connectionsOf({ connections: { names = [], labels = {} } }: Rule | BreakGlassRule): string[] {
  const labelled = Object.entries(labels).map(([key, values]) => `${key}=${values.join(' or ')}`);
  return [...names.map((name) => (name === '*' ? 'every connection' : name)), ...labelled];
}

/** Every place of the rules that names the group. */
export function namings(document: RulesDocument, group: string): Naming[] {
  return named(document)
    .filter(({ groups = [] }) => groups.includes(group))
    .map(({ naming }) => naming);
}

export interface GroupLine {
  name: string;
  members: number;
  rules: number;
}

/** All groups that somebody is in or that a rule names, by name. */
export function groupLines(people: readonly User[], document: RulesDocument): GroupLine[] {
  const lines = new Map<string, GroupLine>();
  const line = (name: string): GroupLine => {
    const known = lines.get(name) ?? { name, members: 0, rules: 0 };
    lines.set(name, known);
    return known;
  };
  for (const { groups } of people) for (const name of groups) line(name).members += 1;
  for (const { groups = [] } of named(document)) for (const name of groups) line(name).rules += 1;
  return [...lines.values()].sort((a, b) => a.name.localeCompare(b.name));
}
