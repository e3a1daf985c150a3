/**
 * A connection as the form edits it, and back to what the API takes. Settings that the form does not know stay as they
 * are: what somebody wrote as JSON is not lost by opening the form.
 */
import type { ConnectionDefinition } from '../../api/calls';
import { ownLabelsProblem, readLabels, writeLabels } from '../../lib/labels';
import { slugProblem } from '../../lib/names';

export interface Draft {
  name: string;
  agent: string;
  protocol: string;
  description: string;
  /** `key=value`, one a line. */
  labels: string;
  settings: Record<string, unknown>;
}

/** One field of a protocol's settings. */
export interface Field {
  /** Where it stands, parts separated by dots. */
  key: string;
  label: string;
  description?: string;
  /** `json`: a list or map, written as JSON. `lines`: a list of texts, one a line. */
  kind: 'text' | 'port' | 'secret' | 'choice' | 'json' | 'lines';
  choices?: readonly { value: string; label: string }[];
  required?: boolean;
  initial?: string | number;
}

export const POSTGRES: readonly Field[] = [
  { key: 'host', label: 'Host', description: 'As the agent reaches it', kind: 'text', required: true },
  { key: 'port', label: 'Port', kind: 'port', initial: 5432 },
  { key: 'database', label: 'Default database', kind: 'text', description: 'Named in the ready-to-paste commands' },
  { key: 'user', label: 'User at the target', kind: 'text', required: true },
  {
    key: 'password',
    label: 'Password source',
    kind: 'secret',
    description: 'env:NAME, file:/absolute/path or sealed:BASE64, read by the agent; never the password itself',
  },
  {
    key: 'tls.mode',
    label: 'TLS to the target',
    kind: 'choice',
    choices: [
      { value: 'verify_full', label: 'verify-full: certificate and name' },
      { value: 'verify_ca', label: 'verify-ca: certificate alone' },
      { value: 'disabled', label: 'none' },
    ],
    initial: 'verify_full',
  },
  { key: 'tls.ca_file', label: 'Authorities', kind: 'text', description: 'PEM file on the agent’s host, in place of the system’s' },
];

const SOURCE = 'env:NAME, file:/absolute/path or sealed:BASE64, read by the agent';

const SSH: readonly Field[] = [
  { key: 'host', label: 'Host', description: 'As the agent reaches it', kind: 'text', required: true },
  { key: 'port', label: 'Port', kind: 'port', initial: 22 },
  { key: 'user', label: 'User at the host', kind: 'text', required: true },
  { key: 'private_key', label: 'Private key source', kind: 'secret', description: `${SOURCE}; or a password` },
  { key: 'password', label: 'Password source', kind: 'secret', description: `${SOURCE}; or a private key` },
  { key: 'host_keys', label: 'Host keys', kind: 'lines', description: 'One a line, as ssh-keyscan prints them, without the name' },
];

const KUBERNETES: readonly Field[] = [
  { key: 'host', label: 'API server', description: 'As the agent reaches it; inside the cluster kubernetes.default.svc', kind: 'text', required: true },
  { key: 'port', label: 'Port', kind: 'port', initial: 6443 },
  { key: 'token', label: 'Token source', kind: 'secret', description: `${SOURCE}; or a kubeconfig` },
  { key: 'kubeconfig', label: 'Kubeconfig source', kind: 'secret', description: `${SOURCE}; or a token` },
  { key: 'tls.ca_file', label: 'Authorities', kind: 'text', description: 'PEM file on the agent’s host, in place of the system’s' },
  {
    key: 'groups',
    label: 'Groups in the cluster',
    kind: 'json',
    description: 'By groups of people: {"engineers": ["hoop:engineers"]}',
  },
];

const EXEC: readonly Field[] = [
  { key: 'user', label: 'Account', description: 'On the agent’s own machine', kind: 'text', required: true },
  { key: 'folder', label: 'Folder', description: 'Where it begins, if not in the account’s own', kind: 'text' },
  { key: 'allow', label: 'Allowed', kind: 'lines', description: 'shell, command; both if left empty' },
  { key: 'command', label: 'Only this program', kind: 'lines', description: 'Its path and arguments, one a line' },
];

/** The protocols that have a form; of any other the settings are JSON. */
export const FORMS: Readonly<Record<string, readonly Field[]>> = { postgres: POSTGRES, ssh: SSH, kubernetes: KUBERNETES, exec: EXEC };

export function fieldsOf(protocol: string): readonly Field[] | undefined {
  return Object.hasOwn(FORMS, protocol) ? FORMS[protocol] : undefined;
}

/** The settings of a new connection. */
export function initialSettings(protocol: string): Record<string, unknown> {
  return (fieldsOf(protocol) ?? []).reduce<Record<string, unknown>>(
    (settings, field) => (field.initial === undefined ? settings : withSetting(settings, field.key, field.initial)),
    {},
  );
}

/** A new connection. */
export const EMPTY: Draft = {
  name: '',
  agent: '',
  protocol: 'postgres',
  description: '',
  labels: '',
  settings: initialSettings('postgres'),
};

export function toDraft(name: string, definition: ConnectionDefinition): Draft {
  return {
    name,
    agent: definition.agent,
    protocol: definition.protocol,
    description: definition.description ?? '',
    labels: writeLabels(definition.labels ?? {}),
    settings: { ...definition.settings },
  };
}

export function toDefinition(draft: Draft): ConnectionDefinition {
  return {
    agent: draft.agent,
    protocol: draft.protocol,
    description: draft.description.trim(),
    // The generated type of a free-form object has no fields of its own.
    settings: withoutEmpty(withRead(draft)) as ConnectionDefinition['settings'],
    labels: Object.fromEntries(readLabels(draft.labels)),
  };
}

/** What is wrong, by field; the gateway checks all of it again. */
export function problems(draft: Draft): Partial<Record<string, string>> {
  const found: Record<string, string> = {};
  const put = (key: string, problem: string | undefined) => {
    if (problem !== undefined) found[key] = problem;
  };
  put('name', slugProblem(draft.name));
  put('agent', draft.agent === '' ? 'Choose one.' : slugProblem(draft.agent));
  put('labels', ownLabelsProblem(draft.labels));
  for (const field of fieldsOf(draft.protocol) ?? []) put(field.key, fieldProblem(field, setting(draft.settings, field.key)));
  return found;
}

/**
 * Lists and maps are kept as the text that is typed, beside the settings' own values: half a list is none. Read here; what cannot be
 * read has a problem, and goes nowhere.
 */
function withRead(draft: Draft): Record<string, unknown> {
  return (fieldsOf(draft.protocol) ?? []).reduce((settings, field) => {
    const typed = setting(settings, field.key);
    if (typeof typed !== 'string') return settings;
    if (field.kind === 'lines') {
      const lines = typed.split('\n').map((line) => line.trim()).filter((line) => line !== '');
      return withSetting(settings, field.key, lines.length === 0 ? undefined : lines);
    }
    if (field.kind !== 'json') return settings;
    return withSetting(settings, field.key, typed.trim() === '' ? undefined : (readObject(typed) ?? typed));
  }, draft.settings);
}

/** The text of a list or map in its field. */
export function written(field: Field, value: unknown): string {
  if (typeof value === 'string') return value;
  if (value === undefined || value === null) return '';
  if (field.kind === 'lines' && Array.isArray(value)) return value.map(String).join('\n');
  return JSON.stringify(value, null, 2);
}

function readObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function fieldProblem(field: Field, value: unknown): string | undefined {
  if (field.kind === 'json') {
    const isWrong = typeof value === 'string' && value.trim() !== '' && readObject(value) === undefined;
    return isWrong ? 'This is no JSON object.' : undefined;
  }
  const text = typeof value === 'string' || typeof value === 'number' ? String(value).trim() : '';
  if (text === '') return field.required ? 'Needed.' : undefined;
  if (field.kind === 'port' && !(Number.isInteger(Number(text)) && Number(text) >= 1 && Number(text) <= 65_535)) {
    return 'A port is 1 to 65535.';
  }
  if (field.kind === 'secret' && !/^(env:.+|file:\/.+|sealed:.+)$/.test(text)) {
    return 'env:NAME, file:/absolute/path or sealed:BASE64; a bare password is never stored.';
  }
  return undefined;
}

/** The setting at a dotted key. */
export function setting(settings: Record<string, unknown>, key: string): unknown {
  return key.split('.').reduce<unknown>((at, part) => (isRecord(at) ? at[part] : undefined), settings);
}

/** The same settings with one changed, its neighbours as they were. */
export function withSetting(settings: Record<string, unknown>, key: string, value: unknown): Record<string, unknown> {
  const [first = '', ...rest] = key.split('.');
  if (rest.length === 0) return { ...settings, [first]: value };
  const inner = settings[first];
  return { ...settings, [first]: withSetting(isRecord(inner) ? inner : {}, rest.join('.'), value) };
}

/** What was left empty is absent: the protocol's own default holds then. */
function withoutEmpty(settings: Record<string, unknown>): Record<string, unknown> {
  const kept = Object.entries(settings).filter(([, value]) => value !== '' && value !== undefined);
  return Object.fromEntries(kept.map(([key, value]) => [key, isRecord(value) ? withoutEmpty(value) : value]));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
