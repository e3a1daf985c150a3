/** What the mocked gateway says of statements: it reads no SQL but the first word and one table, and no YAML but lines. */
import { Refused } from './refused.mjs';

const CLASSES = { select: 'read', copy: 'read', insert: 'write', update: 'write', delete: 'write', begin: 'session' };

/** It knows one mistake. */
export function findMistake(yaml) {
  const mistake = yaml.split('\n').findIndex((line) => line.includes('max_agee'));
  if (mistake < 0) return;
  const column = yaml.split('\n')[mistake].indexOf('max_agee') + 1;
  throw new Refused(400, 'HOOP-2013', `line ${mistake + 1}, column ${column}: unknown field max_agee, expected max_age`, 'mend it there and apply the file again');
}

export function tryRules({ state, body }) {
  const yaml = body.yaml ?? state.rules[0].yaml;
  findMistake(yaml);
  const blocks = yaml.split(/^ {2}- name: /m).slice(1);
  const rules = blocks.map((block) => ({
    name: /^"?([a-z0-9-]+)/.exec(block)[1],
    statements: JSON.parse(/^ {4}statements: (.*)$/m.exec(block)?.[1] ?? '[]'),
  }));
  const rule = rules.find(({ name }) => name === body.rule);
  if (body.rule && !rule) throw new Refused(404, 'HOOP-7002', 'there is no such access rule that you may see');
  return {
    rules: rules.map(({ name, statements }) => ({ name, break_glass: name === 'fire', statements: statements.length })),
    samples: (body.samples ?? []).map(masked),
    texts: body.texts.map((text) => tried(text, rule.statements)),
  };
}

function tried(text, rules) {
  const statements = text.split(/;\s/).filter((one) => one.trim() !== '').map((one, at) => read(one.trim(), at, rules));
  const refusing = statements.find(({ allowed }) => !allowed);
  const by = refusing?.rule ? `statement rule ${refusing.rule}` : 'the access rule';
  const refusal = refusing && {
    code: 'HOOP-2030',
    message: `${by} does not allow this statement (${refusing.classes.at(-1)})`,
    hint: 'name tables with their schema, or ask an admin what this session is for',
  };
  return { statements, statements_omitted: 0, ...(refusal ? { refusal, refused_at: refusing.at } : {}) };
}

function read(text, at, rules) {
  const word = text.split(/\s/)[0].toLowerCase();
  const known = CLASSES[word];
  const classes = known ? [known] : ['session', 'read', 'write', 'ddl', 'privilege', 'server'];
  const table = /(?:from|update|into|copy)\s+([a-z_.]+)/i.exec(text)?.[1].toLowerCase();
  const rule = rules.find(({ classes: wanted }) => !wanted || wanted.includes(classes.at(-1)));
  return {
    at,
    classes,
    verbs: known ? [word] : [],
    ...(known ? { tables: table ? [table] : [] } : {}),
    unknown_functions: /unheard_of/.test(text) ? ['unheard_of'] : [],
    unbounded: known === 'write' && !/where/i.test(text),
    opaque: !known,
    spelling: text.toLowerCase().replace(/'[^']*'|\b\d+\b/g, '?').replace(/\s+/g, ' '),
    allowed: rules.length === 0 || rule?.action === 'allow',
    ...(rule ? { rule: rule.name } : {}),
    missed: rules.length === 0 || rule ? [] : rules.filter(({ action }) => action === 'allow').map(({ name }) => ({ rule: name, condition: 'classes' })),
  };
}

/** What the mock masks: a social security number, and whatever is in a column of that name. */
function masked({ column, value }) {
  if (column?.endsWith('.photo')) return { shown: null, pattern: '*.photo', counts: {} };
  const hits = value.match(/\d{3}-\d\d-\d{4}/g)?.length ?? 0;
  return { shown: value.replace(/\d{3}-\d\d-\d{4}/g, '[ssn]'), pattern: null, counts: hits > 0 ? { ssn: hits } : {} };
}
