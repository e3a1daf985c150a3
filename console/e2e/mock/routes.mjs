/** The API of the mocked gateway for those who are signed in: method, path, answer. `undefined` answers 204. */
import { LEDGER_SIZE, manyStatements, notes, statement, statements } from './data.mjs';
import { clusterStatements } from './cluster.mjs';
import { cast, hostStatements, liveCast } from './host.mjs';
import { MANAGE_ROUTES } from './manage.mjs';
import { Refused } from './refused.mjs';
import { REQUEST_ROUTES } from './requests.mjs';
import { findMistake, tryRules } from './trial.mjs';

/** The answer was begun already and goes on. */
export const STREAMING = Symbol('streaming');

const HASH = 'a94f21d0'.repeat(8);

export const ROUTES = [
  ['GET', /^\/whoami$/, ({ me }) => me],
  ['POST', /^\/logout$/, ({ state }) => void state.cookies.clear()],
  ['POST', /^\/cli-login$/, ({ body }) => ({ location: `http://127.0.0.1:${body.port}/callback?code=one-use&state=${body.state}` })],
  ['POST', /^\/device\/approve$/, approveDevice],
  ['GET', /^\/me\/passkeys$/, () => ({ items: [] })],
  ['GET', /^\/me\/recovery-codes$/, ({ state }) => ({ left: state.recoveryCodes ?? 8, available: true })],
  ['POST', /^\/me\/recovery-codes$/, renewCodes],
  ['POST', /^\/auth\/step-up$/, stepUp],
  ['POST', /^\/auth\/step-up\/approve$/, approveDevice],
  ['DELETE', /^\/me\/logins$/, ({ state }) => void state.cookies.clear()],
  ['GET', /^\/me\/logins$/, ({ state }) => ({ items: state.logins })],
  ['DELETE', /^\/me\/logins\/([^/]+)$/, ({ state, parts: [id] }) => remove(state.logins, (one) => one.id === id)],
  ['GET', /^\/connections$/, connections],
  ['PUT', /^\/connections\/([^/]+)$/, putConnection],
  ['DELETE', /^\/connections\/([^/]+)$/, ({ state, parts: [name] }) => remove(state.connections, (one) => one.name === name)],
  ['GET', /^\/rules$/, ({ state }) => state.rules[0]],
  ['PUT', /^\/rules$/, changeRules],
  ['GET', /^\/rules\/versions$/, ({ state }) => ({ items: state.rules.map(({ version, author, note, created_at }) => ({ version, author, note, created_at })) })],
  ['GET', /^\/rules\/versions\/(\d+)$/, ({ state, parts: [version] }) => state.rules.find((one) => String(one.version) === version)],
  ['GET', /^\/rules\/reach$/, reach],
  ['POST', /^\/rules\/try$/, tryRules],
  ...REQUEST_ROUTES,
  ...MANAGE_ROUTES,
  ['GET', /^\/agents$/, ({ state }) => ({ items: state.agents })],
  ['POST', /^\/agents\/join-tokens$/, ({ body }) => ({ token: `hoop-join-v1.${body.agent}.${'x'.repeat(60)}`, expires_at: '2026-11-22T14:00:00Z' })],
  ['GET', /^\/users$/, ({ state }) => ({ items: state.users })],
  ['POST', /^\/users$/, addUser],
  ['PATCH', /^\/users\/([^/]+)$/, ({ state, parts: [name], body }) => Object.assign(state.users.find((one) => one.name === name), body)],
  ['POST', /^\/users\/([^/]+)\/reset$/, ({ state, parts: [name] }) => ({ user: state.users.find((one) => one.name === name), setup_url: `https://hoop.example/setup#${'r'.repeat(43)}` })],
  ['DELETE', /^\/agents\/([^/]+)$/, ({ state, parts: [name] }) => remove(state.agents, (one) => one.name === name)],
  ['GET', /^\/sessions$/, sessions],
  ['GET', /^\/sessions\/([^/]+)$/, ({ state, parts: [id] }) => find(state, id)],
  ['POST', /^\/sessions\/([^/]+)\/end$/, (call) => void kill({ ...call, body: { reason: 'done' } })],
  ['POST', /^\/sessions\/([^/]+)\/kill$/, kill],
  ['GET', /^\/sessions\/([^/]+)\/timeline$/, timeline],
  ['GET', /^\/sessions\/([^/]+)\/terminal$/, terminal],
  ['POST', /^\/sessions\/([^/]+)\/verify$/, verify],
  ['GET', /^\/audit\/events$/, events],
  ['GET', /^\/audit\/verify$/, () => ({ clean: true, events: LEDGER_SIZE, root: HASH, findings: [] })],
];

/** As the gateway does with what wants a fresh second factor. */
function renewCodes({ state }) {
  if (!state.proven) throw new Refused(403, 'HOOP-2003', 'the second factor was proven more than 5 min ago');
  state.recoveryCodes = 10;
  return { codes: Array.from({ length: 10 }, (_, at) => `BCDF-GHJK-LMNP-QRS${'BCDFGHJKLM'[at]}`) };
}

function stepUp({ state, body, me }) {
  if (body.code !== '123456') throw new Refused(403, 'HOOP-3040', 'the code is wrong', 'a code is good once');
  state.proven = true;
  return me;
}

function approveDevice({ body }) {
  if (body.user_code !== 'ABCD-EFGH') {
    throw new Refused(404, 'HOOP-3020', 'No machine shows this code.', 'Codes are good for ten minutes.');
  }
}

function connections({ state, query, me }) {
  const seen = state.connections.filter((one) => query.get('all') || one.may_connect || one.break_glass);
  return { items: me.role === 'user' ? seen.map(({ definition: _, ...one }) => one) : seen };
}

function putConnection({ state, parts: [name], body }) {
  remove(state.connections, (one) => one.name === name);
  const { protocol, description } = body;
  const made = { id: `con_${name}`, name, protocol, description, online: true, may_connect: true, definition: body };
  state.connections.push(made);
  return made;
}

/** Reads no YAML: it tells rules that came by their names. */
function changeRules({ state, body, me }) {
  const [inForce] = state.rules;
  findMistake(body.yaml);
  if (body.version !== undefined && body.version !== inForce.version) {
    throw new Refused(409, 'HOOP-7012', 'somebody else changed it meanwhile', 'look at it again');
  }
  const names = (yaml) => [...yaml.matchAll(/- name: "?([a-z0-9-]+)"?/g)].map(([, name]) => name);
  const added = names(body.yaml).filter((name) => !names(inForce.yaml).includes(name));
  const removed = names(inForce.yaml).filter((name) => !names(body.yaml).includes(name));
  const changed = body.yaml !== inForce.yaml;
  const diff = [
    ...added.map((name) => `+ rule ${name}\n    conditions.mfa.max_age: 15m\n    subjects.groups: [oncall]`),
    ...removed.map((name) => `- rule ${name}\n    limits.duration: 2h → (absent)`),
    ...(changed && added.length + removed.length === 0 ? ['~ rule dba-prod\n    limits.duration: 8h → 4h'] : []),
  ].join('\n');
  if (!body.dry_run && changed) {
    const document = { ...inForce.document, rules: [...inForce.document.rules, ...added.map(plainRule)] };
    state.rules.unshift({ ...inForce, version: inForce.version + 1, author: me.name, note: body.note, document, yaml: body.yaml, created_at: new Date().toISOString() });
  }
  return { version: state.rules[0].version, changed, dry_run: body.dry_run, diff, changes: {} };
}

function plainRule(name) {
  return { name, subjects: { groups: ['oncall'] }, connections: { names: ['billing'] }, conditions: { mfa: { max_age: '15m' } }, limits: { duration: '1h', idle: '30m' } };
}

function reach({ query }) {
  const line = (person, connection, rule, through, needs, break_glass = false) => ({ person, connection, rule, through, needs, break_glass });
  const factor = 'a second factor (totp, passkey, idp) of the last 12h';
  const all = [
    line('grace', 'clinic', 'dba-prod', 'member of dba', [factor, 'a reason']),
    line('ada', 'clinic', 'dba-prod', 'member of dba', [factor, 'a reason']),
    line('ada', 'clinic-replica', 'dba-prod', 'member of dba', [factor, 'a reason']),
    line('ada', 'vault', 'fire', 'member of dba', ['a second factor (totp, passkey, idp) of the last 5m', 'a reason', 'a review afterwards'], true),
  ];
  return { items: all.filter((one) => one.connection === query.get('connection') || one.person === query.get('person')) };
}

function addUser({ state, body }) {
  if (state.users.some((one) => one.name === body.name)) throw new Refused(409, 'HOOP-3030', `The name ${body.name} is taken.`);
  const user = { id: `usr_${body.name}`, source: 'builtin', locked: false, active: false, ...body };
  state.users.push(user);
  return { user, setup_url: `https://hoop.example/setup#${'t'.repeat(43)}` };
}

function sessions({ state, query }) {
  const wants = (name, value) => !query.get(name) || query.get(name) === value;
  const live = query.get('state') === 'live';
  return {
    items: state.sessions.filter((one) => live === (one.state === 'live') && wants('user', one.user) && wants('connection', one.connection)),
  };
}

function kill({ state, parts: [id], body, me }) {
  const one = find(state, id);
  Object.assign(one, { state: 'ended', ended_at: new Date().toISOString(), end_reason: `killed by ${me.name}: ${body.reason}` });
  for (const stream of state.streams) stream.end('event: end\ndata: {}\n\n');
}

function timeline({ state, query, parts: [id], response }) {
  const session = find(state, id);
  const after = Number(query.get('after') ?? 0);
  if (query.get('follow') === 'true') return follow(state, response, after);
  const whole = state.many ? [...statements(), ...manyStatements(20, 3_000)] : statements();
  const ofHost = { ssh: () => hostStatements(session.state === 'live'), kubernetes: clusterStatements }[session.protocol]?.();
  const all = ofHost ?? (session.state === 'interrupted' ? [] : whole);
  const limit = Number(query.get('limit') ?? 500);
  const more = after + limit < all.length;
  const noted = ofHost || session.state === 'interrupted' ? [] : notes();
  const here = noted.filter(({ before }) => after <= before && (before < after + limit || !more));
  const ended = {
    ended: { reason: 'the client closed the last stream' },
    interrupted: { reason: 'the agent was started anew', missing: 'what happened in the last second before its end' },
  }[session.state];
  return {
    session,
    statements: all.slice(after, after + limit),
    notes: here,
    notes_omitted: 0,
    ...(more ? { next: after + limit } : {}),
    ending: session.state === 'ended' ? 'sealed' : session.state,
    ...(ended ? { ended } : {}),
  };
}

function terminal({ state, query, parts: [id], response }) {
  find(state, id);
  if (query.get('follow') === 'true') liveCast(response, state);
  else response.writeHead(200, { 'content-type': 'application/x-asciicast' }).end(cast(Number(query.get('request'))));
  return STREAMING;
}

function follow(state, response, after) {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  state.streams.add(response);
  response.on('close', () => state.streams.delete(response));
  const say = (more) =>
    response.write(`event: statement\ndata: ${JSON.stringify(statement(100 + after, 1_800, 'SELECT count(*) FROM visits', more))}\n\n`);
  const gap = { number: 4, before: 11, at: '2026-11-22T11:30:00.000000Z', kind: 'gap', text: 'the agent was away for 2 s' };
  response.write(`event: note\ndata: ${JSON.stringify(gap)}\n\n`);
  // First as it is asked, then again as it ends.
  say({});
  say({ columns: ['count'], rows: [['150000']], tag: 'SELECT 1', rows_count: 1, duration_us: 31_000 });
  return STREAMING;
}

function verify({ state, parts: [id] }) {
  const { state: where } = find(state, id);
  const whole = where !== 'interrupted';
  return {
    session: id,
    clean: whole,
    chunks: 48,
    head: HASH,
    signature_ok: whole,
    ...(whole ? { in_checkpoint: LEDGER_SIZE } : {}),
    ending: whole ? 'sealed' : 'interrupted',
    findings: whole
      ? []
      : ['chunk 17: its hash is not what chunk 18 names', 'there is no manifest: the agent did not seal this recording'],
  };
}

function events({ state, query }) {
  const before = Number(query.get('before') ?? Infinity);
  const wants = (name, value) => !query.get(name) || query.get(name) === value;
  const found = state.events.filter((one) => one.seq < before && wants('code', one.code) && wants('actor', one.actor));
  return { items: found.slice(0, Number(query.get('limit') ?? 100)) };
}

function find(state, id) {
  const one = state.sessions.find((session) => session.id === id);
  if (!one) throw new Refused(404, 'HOOP-4004', 'There is no such session, or you may not see it.', 'Check the id.');
  return one;
}

function remove(list, matches) {
  const at = list.findIndex(matches);
  if (at >= 0) list.splice(at, 1);
}
