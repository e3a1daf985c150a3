import { expect, test } from 'vitest';

import { commands, forms, hasTerminal } from './commands';
import { EMPTY, fieldsOf, problems, toDefinition, toDraft, withSetting, written } from './settings';

const FILLED = {
  ...EMPTY,
  name: 'pg-prod',
  agent: 'clinic',
  labels: 'env=prod\nteam=DBA / on-call',
  settings: { host: 'db', port: 5432, user: 'app', password: 'env:PGPASSWORD', tls: { mode: 'verify_full', ca_file: '' } },
};

test('a good draft has no problem', () => expect(problems(FILLED)).toEqual({}));

test.each([
  [{ name: 'Prod' }, 'name'],
  [{ agent: '' }, 'agent'],
  [{ labels: 'env=prod\nenv=test' }, 'labels'],
  [{ labels: 'Env=prod' }, 'labels'],
  [{ labels: 'env' }, 'labels'],
  [{ labels: 'env=a;b' }, 'labels'],
  [{ labels: Array.from({ length: 51 }, (_, at) => `k${at}=v`).join('\n') }, 'labels'],
  [{ settings: { ...FILLED.settings, host: ' ' } }, 'host'],
  [{ settings: { ...FILLED.settings, port: 70_000 } }, 'port'],
  [{ settings: { ...FILLED.settings, user: undefined } }, 'user'],
  [{ settings: { ...FILLED.settings, password: 'hunter2' } }, 'password'],
  [{ settings: { ...FILLED.settings, password: 'file:relative' } }, 'password'],
])('%j is refused at its field', (change, field) => {
  expect(Object.keys(problems({ ...FILLED, ...change }))).toEqual([field]);
});

test('what the form does not know survives it, what is empty goes', () => {
  const definition = {
    agent: 'clinic',
    protocol: 'postgres',
    labels: { env: 'prod', 'data.kind': 'patient records' },
    settings: { host: 'db', user: 'app', tls: { server_name: 'x', ca_file: '' }, recording: { rows_per_request_bytes: 1 } } as object,
  } as Parameters<typeof toDraft>[1];
  const back = toDefinition(toDraft('pg', definition));
  expect(back.settings).toEqual({ host: 'db', user: 'app', tls: { server_name: 'x' }, recording: { rows_per_request_bytes: 1 } });
  expect(back).toEqual({ ...definition, description: '', settings: back.settings });
  expect(toDefinition(EMPTY).labels).toEqual({});
});

test('a map of lists and a list are edited as text, and read back as what they are', () => {
  const settings = { host: 'api', token: 'env:T', groups: { engineers: ['hoop:engineers'] }, as_agent: true };
  const definition = { agent: 'c', protocol: 'kubernetes', settings: settings as object } as Parameters<typeof toDraft>[1];
  const draft = toDraft('k8s', definition);
  expect(problems(draft)).toEqual({});
  expect(toDefinition(draft).settings).toEqual(settings);
  const groups = fieldsOf('kubernetes')?.find(({ key }) => key === 'groups');
  const typed = (text: string) => ({ ...draft, settings: withSetting(draft.settings, 'groups', text) });
  expect(groups && JSON.parse(written(groups, settings.groups))).toEqual(settings.groups);
  expect(toDefinition(typed('{"dba": ["a", "b"]}')).settings).toEqual({ ...settings, groups: { dba: ['a', 'b'] } });
  expect(toDefinition(typed(' ')).settings).toEqual({ host: 'api', token: 'env:T', as_agent: true });
  for (const half of ['{"dba": [', '[]', '7']) expect(problems(typed(half))).toEqual({ groups: 'This is no JSON object.' });
  const exec = { ...toDraft('box', { agent: 'c', protocol: 'exec', settings: { user: 'deploy', allow: 'shell\n\n command ' } as object } as typeof definition) };
  expect(toDefinition(exec).settings).toEqual({ user: 'deploy', allow: ['shell', 'command'] });
});

test('commands to paste', () => {
  expect(commands({ name: 'pg', protocol: 'postgres' }).map((command) => command.text)).toEqual(['hoop connect pg -- psql', 'hoop connect pg']);
  expect(commands({ name: 'x', protocol: 'other' }).map((command) => command.text)).toEqual(['hoop connect x']);
});

test('a hostile database name does not leave its quotes', () => {
  const [psql, url] = forms({ name: 'pg', protocol: 'postgres', default_database: `a'b"$(x)\`y\`\\` }, 'ada@example.org');
  expect(psql?.text).toBe(`psql "host=127.0.0.1 port=5432 user='ada@example.org' dbname='a\\\\'b\\"\\$(x)\\\`y\\\`\\\\\\\\' sslmode=disable"`);
  expect(url?.text).toContain('postgresql://ada%40example.org@127.0.0.1');
  expect(url?.text).not.toMatch(/["$`\\]/);
});

test('a cluster is opened by kubectl, and a shell in one of its pods in the browser', () => {
  const cluster = { name: 'k8s', protocol: 'kubernetes', may_connect: true, needs: [] };
  expect(commands(cluster).map(({ text }) => text)).toEqual(['hoop kube login k8s', 'hoop connect k8s -- kubectl get pods']);
  expect(hasTerminal(cluster)).toBe(true);
  expect(hasTerminal({ ...cluster, needs: ['end to end'] })).toBe(false);
});

test('a host is opened by ssh, and in the browser where no rule forbids it', () => {
  const host = { name: 'web-1', protocol: 'ssh', may_connect: true, needs: [] };
  expect(commands(host)).toEqual([{ label: 'Open a shell', text: 'hoop ssh web-1' }]);
  expect(hasTerminal(host)).toBe(true);
  expect(hasTerminal({ ...host, needs: ['a reason', 'end to end'] })).toBe(false);
  expect(hasTerminal({ ...host, may_connect: false })).toBe(false);
  expect(hasTerminal({ ...host, protocol: 'postgres' })).toBe(false);
  expect(commands({ ...host, protocol: 'exec' })).toEqual(commands(host));
  expect(hasTerminal({ ...host, protocol: 'exec' })).toBe(true);
});
