/** A rule document as the gateway gives it (`hoop_policy::rules`), and each rule in words. Pure. */

interface People {
  users?: string[];
  groups?: string[];
}

/** Who decides for others. */
interface Deciders extends People {
  roles?: string[];
}

interface Mfa {
  max_age: string;
  methods?: string[];
}

export interface Rule {
  name: string;
  description?: string;
  enabled?: boolean;
  subjects: People & { service_accounts?: string[] };
  connections: { names?: string[]; labels?: Record<string, string[]> };
  conditions?: {
    mfa?: Mfa;
    times?: { days?: string[]; from: string; to: string; zone: string }[];
    networks?: string[];
    reason?: boolean;
    approval?: { approvers: Deciders; count: number; longest: string };
    end_to_end_only?: boolean;
  };
  limits?: { duration?: string; idle?: string; sessions?: number; recording?: string; retention?: string };
  become?: string;
  allow_replication?: boolean;
  read_only?: boolean;
  forwarding?: string[];
  statements?: { name: string; action: string }[];
  commands?: { name: string; action: string }[];
}

/** A rule for emergencies. */
export interface BreakGlassRule extends Pick<Rule, 'name' | 'description' | 'enabled' | 'connections' | 'become'> {
  subjects: People;
  mfa?: Mfa;
  limits?: { duration?: string; idle?: string };
  review_before_next_use?: boolean;
  reviewers?: Deciders;
}

export interface RulesDocument {
  rules: Rule[];
  break_glass: BreakGlassRule[];
}

/** One rule as its card shows it: a phrase each. */
export interface Summary {
  name: string;
  description: string | undefined;
  enabled: boolean;
  emergency: boolean;
  who: string[];
  what: string[];
  conditions: string[];
  limits: string[];
}

/** What the gateway sent under `document`; it has checked it. */
export function readDocument(document: unknown): RulesDocument {
  const { rules = [], break_glass = [] } = (document ?? {}) as Partial<RulesDocument>;
  return { rules, break_glass };
}

export function summaries(document: RulesDocument): Summary[] {
  return [...document.rules.map(ordinary), ...document.break_glass.map(emergency)];
}

/** Does any word of it hold what is looked for? */
export function matches(summary: Summary, wanted: string): boolean {
  const { name, description = '', who, what, conditions, limits } = summary;
  const words = [name, description, ...who, ...what, ...conditions, ...limits].join(' ').toLowerCase();
  return words.includes(wanted.trim().toLowerCase());
}

function ordinary(rule: Rule): Summary {
  const { mfa, times = [], networks = [], reason, approval, end_to_end_only } = rule.conditions ?? {};
  const people = (rule.subjects.users?.length ?? 0) + (rule.subjects.groups?.length ?? 0) > 0;
  const { duration, idle, sessions, recording, retention } = rule.limits ?? {};
  return {
    ...head(rule),
    emergency: false,
    conditions: [
      ...(people && mfa ? [secondFactor(mfa)] : []),
      ...(reason ? ['a reason'] : []),
      ...(approval ? [approvalOf(approval)] : []),
      ...times.map(({ days, from, to, zone }) => `${days ? `${days.join(', ')} ` : 'daily '}${from}–${to} ${zone}`),
      ...(networks.length > 0 ? [`from ${networks.join(', ')}`] : []),
      ...(end_to_end_only ? ['end to end only'] : []),
    ],
    limits: [
      ...spans(duration, idle),
      ...(sessions === undefined ? [] : [`${sessions} at once`]),
      ...(recording === 'strict' ? ['recorded strictly'] : []),
      ...(retention ? [`recording kept for ${retention}`] : []),
      ...(rule.allow_replication ? ['replication allowed'] : []),
      ...(rule.forwarding ? [`forwarding: ${rule.forwarding.join(', ')}`] : []),
      ...(rule.read_only ? ['the database refuses changes'] : []),
      ...(rule.statements ? [`statements: ${rule.statements.map(({ action, name }) => `${action} ${name}`).join(', ')}`] : []),
      ...(rule.commands ? [`commands: ${rule.commands.map(({ action, name }) => `${action} ${name}`).join(', ')}`] : []),
      ...becomes(rule.become),
    ],
  };
}

function emergency(rule: BreakGlassRule): Summary {
  const reviewers = rule.reviewers ? named(rule.reviewers).join(', ') : 'admins';
  return {
    ...head(rule),
    emergency: true,
    conditions: [
      ...(rule.mfa ? [secondFactor(rule.mfa)] : []),
      'a reason',
      `a review by ${reviewers}${rule.review_before_next_use === false ? '' : ' before the next use'}`,
    ],
    limits: [...spans(rule.limits?.duration, rule.limits?.idle), 'recorded strictly', ...becomes(rule.become)],
  };
}

function head(rule: Rule | BreakGlassRule): Pick<Summary, 'name' | 'description' | 'enabled' | 'who' | 'what'> {
  const { names = [], labels = {} } = rule.connections;
  const labelled = Object.entries(labels).map(([key, values]) => `${key}=${values.join(' or ')}`);
  return {
    name: rule.name,
    description: rule.description,
    enabled: rule.enabled !== false,
    who: named(rule.subjects),
    what: [
      ...names.map((name) => (name === '*' ? 'every connection' : name)),
      ...(labelled.length > 0 ? [`those with ${labelled.join(' and ')}`] : []),
    ],
  };
}

function named({ users = [], groups = [], service_accounts = [], roles = [] }: Rule['subjects'] & Deciders): string[] {
  return [
    ...roles.map((name) => `every ${name}`),
    ...groups.map((name) => `group ${name}`),
    ...users,
    ...service_accounts.map((name) => `service account ${name}`),
  ];
}

function secondFactor({ max_age, methods }: Mfa): string {
  return `a second factor of the last ${period(max_age)}${methods ? ` (${methods.join(' or ')})` : ''}`;
}

function approvalOf({ approvers, count, longest }: NonNullable<NonNullable<Rule['conditions']>['approval']>): string {
  const who = named(approvers).join(', ');
  return `the approval of ${count === 1 ? 'one' : count} of ${who}, good for ${period(longest)}`;
}

function spans(duration: string | undefined, idle: string | undefined): string[] {
  return [
    ...(duration === undefined ? [] : [`${period(duration)} long`]),
    ...(idle === undefined ? [] : [`${period(idle)} idle`]),
  ];
}

const becomes = (user: string | undefined): string[] => (user === undefined ? [] : [`as ${user} at the target`]);

const UNITS: Record<string, string> = { d: 'd', h: 'h', m: 'min', s: 's' };

/** `30m` as `30 min`. */
export function period(text: string): string {
  return text.replace(/^(\d+)([dhms])$/, (_, amount: string, unit: string) => `${amount} ${UNITS[unit]}`);
}
