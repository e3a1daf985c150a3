/** A small made-up world for the mocked gateway. */
import { managed } from './manage.mjs';
import { requestsWorld } from './requests.mjs';

const at = (seconds, micros = 0) =>
  new Date(Date.UTC(2026, 10, 22, 11, 0, seconds)).toISOString().replace('.000Z', `.${String(micros).padStart(6, '0')}Z`);

export const SECRET = 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP';
export const PASSWORD = 'correct horse battery';

export const PEOPLE = {
  grace: { id: 'usr_aaaaaaaaaaaaaaaaaaaaaaaaaa', name: 'grace', role: 'admin', groups: ['dba', 'admins'] },
  linus: { id: 'usr_cccccccccccccccccccccccccc', name: 'linus', role: 'auditor', groups: [] },
  mary: { id: 'usr_dddddddddddddddddddddddddd', name: 'mary', role: 'user', groups: ['leads'] },
  robin: { id: 'usr_eeeeeeeeeeeeeeeeeeeeeeeeee', name: 'robin', role: 'approver', groups: [] },
  ada: { id: 'usr_bbbbbbbbbbbbbbbbbbbbbbbbbb', name: 'ada', role: 'user', groups: ['dba'] },
};

export const LEDGER_SIZE = 130;

export function world() {
  return {
    ...managed(),
    logins: [
      login('lgn_1', 'browser', '192.0.2.10', true),
      login('lgn_2', 'cli', '192.0.2.10', false),
      login('lgn_3', 'browser', '2001:db8::7', false),
    ],
    connections: [
      connection('clinic', 'The clinic’s main database', true, true, definition('site-a', { env: 'prod', data: 'patient records' })),
      connection('clinic-replica', 'Read-only copy for reports', false, true, definition('site-b', { env: 'prod' })),
      connection('billing', 'Invoices and payments', true, false, definition('site-a', { env: 'prod', team: 'finance' })),
      { ...connection('vault', 'Keys of the clinic', true, false, definition('site-a', {})), break_glass: true },
    ],
    rules: [rulesVersion(2, 'grace', 'on-call may reach the vault', RULES), rulesVersion(1, 'linus@example.org', undefined, { version: 1, rules: [] })],
    requests: requestsWorld(),
    agents: [agent('site-a', true, 2), agent('site-b', false, 0)],
    users: [
      user(PEOPLE.grace, true, false, at(0)),
      user(PEOPLE.ada, true, false, at(40)),
      user({ id: 'usr_c', name: 'linus@example.org', role: 'auditor', groups: [] }, true, true, at(1)),
      user({ id: 'usr_d', name: 'new.person', role: 'user', groups: ['oncall'] }, false, false, null),
    ],
    sessions: [
      session('ses_livelivelivelivelivelivel', 'ada', 'clinic', 'live', {
        requests: 12,
        rows: 5_120,
        bytes_out: 1_482_772,
        reason: 'ticket 4711',
      }),
      session('ses_pastpastpastpastpastpastp', 'ada', 'clinic', 'ended', {
        ended_at: at(1_975),
        end_reason: 'closed by the client',
        requests: 14,
        rows: 10_204,
        bytes_out: 8_402_113,
      }),
      session('ses_cutcutcutcutcutcutcutcutc', 'linus@example.org', 'billing', 'interrupted', {
        ended_at: at(300),
        end_reason: 'the agent went away and did not come back',
        requests: 2,
        rows: 9,
        bytes_out: 2_211,
      }),
    ],
    events: Array.from({ length: LEDGER_SIZE }, (_, index) => event(LEDGER_SIZE - 1 - index)),
  };
}

const RULES = {
  version: 1,
  rules: [
    {
      name: 'dba-prod',
      description: 'Who keeps the databases running',
      subjects: { groups: ['dba', 'oncall'] },
      connections: { names: ['clinic', 'clinic-replica'] },
      conditions: { mfa: { max_age: '12h' }, reason: true },
      limits: { duration: '8h', idle: '30m', recording: 'bounded' },
    },
    {
      name: 'finance-with-four-eyes',
      subjects: { groups: ['finance'], users: ['linus@example.org'] },
      connections: { labels: { env: ['prod', 'stage'], team: ['finance'] } },
      conditions: {
        mfa: { max_age: '15m', methods: ['passkey'] },
        times: [{ days: ['mon', 'tue', 'wed', 'thu', 'fri'], from: '08:00', to: '18:00', zone: 'Europe/Berlin' }],
        networks: ['10.0.0.0/8', '2001:db8::/32'],
        reason: true,
        approval: { approvers: { groups: ['leads'] }, count: 2, longest: '4h' },
        end_to_end_only: true,
      },
      limits: { duration: '2h', idle: '10m', sessions: 1, recording: 'strict' },
      become: 'finance_ro',
    },
    {
      name: 'nightly-reports',
      enabled: false,
      subjects: { service_accounts: ['reports'] },
      connections: { names: ['*'] },
      conditions: { mfa: { max_age: '12h' } },
      limits: { duration: '1h', idle: '30m', recording: 'bounded' },
    },
  ],
  break_glass: [
    {
      name: 'fire',
      subjects: { groups: ['oncall', 'dba'] },
      connections: { names: ['vault'] },
      mfa: { max_age: '5m' },
      limits: { duration: '1h', idle: '15m' },
      review_before_next_use: true,
    },
  ],
};

function rulesVersion(version, author, note, document) {
  return { version, author, note, created_at: at(version * 600), document, yaml: yamlOf(document) };
}

/** Rules as YAML, a rule a line: enough for a text that people see. */
export function yamlOf({ rules, break_glass = [] }) {
  const lines = (list) => list.map((rule) => `  - name: ${rule.name}\n${fields(rule)}`).join('');
  const emergencies = break_glass.length > 0 ? `break_glass:\n${lines(break_glass)}` : '';
  return `version: 1\nrules:${rules.length > 0 ? `\n${lines(rules)}` : ' []\n'}${emergencies}`;
}

function fields({ name: _, ...rule }) {
  return Object.entries(rule)
    .map(([key, value]) => `    ${key}: ${JSON.stringify(value)}\n`)
    .join('');
}

const CODES = ['session.opened', 'session.ended', 'login.succeeded', 'login.failed', 'recording.read', 'connection.changed'];

function event(seq) {
  const code = CODES[seq % CODES.length];
  const actor = seq % 7 === 3 ? 'anonymous' : seq % 2 ? 'ada' : 'grace';
  return {
    seq,
    id: `evt_${String(seq).padStart(26, 'a')}`,
    at: at(seq * 13),
    code,
    actor,
    event: {
      seq,
      code,
      actor: { kind: 'user', name: actor },
      subject: 'ses_livelivelivelivelivelivel',
      detail: { note: 'bidi \u202e and <b>markup</b>' },
    },
    leaf_hash: String(seq).padStart(4, '0') + 'c0ffee'.repeat(10),
  };
}

function login(id, client, address, current) {
  return { id, client, address, current, created_at: at(0), used_at: at(3_000) };
}

function definition(agentName, labels) {
  return {
    agent: agentName,
    protocol: 'postgres',
    settings: { host: '10.0.4.7', port: 5432, user: 'hoop', password: 'env:CLINIC_PASSWORD', tls: { mode: 'verify_full' } },
    labels,
  };
}

function connection(name, description, online, may_connect, defined) {
  return {
    id: `con_${name}`,
    name,
    protocol: 'postgres',
    description,
    online,
    may_connect,
    needs: may_connect ? ['a second factor (totp, passkey, idp) of the last 12h', 'a reason'] : [],
    break_glass: false,
    default_database: 'clinic',
    definition: { ...defined, description },
  };
}

function agent(name, online, sessions) {
  return {
    id: `agt_${name}`,
    name,
    online,
    sessions,
    version: '0.1.0',
    enrolled_at: at(0),
    certificate_expires_at: at(86_400),
    sealing_key: 'AAAA',
  };
}

function user(person, active, locked, last_login_at) {
  return { ...person, source: person.name.includes('@') ? 'oidc' : 'builtin', locked, active, last_login_at };
}

export function session(id, userName, connectionName, state, more) {
  return {
    id,
    user: userName,
    connection: connectionName,
    protocol: 'postgres',
    agent: 'site-a',
    state,
    started_at: state === 'live' ? new Date(Date.now() - 754_000).toISOString() : at(100),
    address: '192.0.2.10',
    allowed_because: 'rule dba-prod: member of dba',
    recording_bytes: 391_224,
    ...more,
  };
}

/** A statement with the fields that all have. */
export function statement(id, seconds, text, more = {}) {
  return {
    stream: 0,
    id,
    at: at(100 + seconds, 1_250),
    form: 'query',
    text,
    parameters: [],
    columns: [],
    rows: [],
    rows_omitted: 0,
    tag: null,
    rows_count: 0,
    copied_in: 0,
    copied_out: 0,
    duration_us: null,
    error: null,
    denied: null,
    curtailed: null,
    ...more,
  };
}

const SELECT_PATIENTS = `SELECT p.id, p.full_name, p.mrn, p.email, v.visited_at, v.notes
FROM patients AS p
  JOIN visits AS v ON v.patient_id = p.id -- the last year only
WHERE v.visited_at > now() - interval '1 year' AND p.ward = $1
ORDER BY v.visited_at DESC
LIMIT 10000`;

const NAMES = ['Ava Martin', 'Noah Weiß', 'Mia 田中', 'José Núñez', 'Zoë O’Neill'];

function patient(_, row) {
  return [
    String(1_000 + row),
    NAMES[row % NAMES.length],
    `MRN-${40_000 + row * 7}`,
    row % 9 === 4 ? null : `patient${row}@example.org`,
    `2026-0${1 + (row % 9)}-14 09:${String(row % 60).padStart(2, '0')}:00+00`,
    row % 5 === 2 ? 'Follow-up in six weeks. '.repeat(20) : 'No findings.',
  ];
}

const HOSTILE = ['user\u202enimda', '\u001b]52;c;cm0gLXJm\u0007', '<img src=x onerror=alert(1)>'];

export function statements() {
  const bound = { text: SELECT_PATIENTS, parameters: ['cardiology'] };
  return [
    statement(0, 0, '', { form: 'log_in', duration_us: 4_112 }),
    statement(1, 1, 'SELECT version()', {
      columns: ['version'],
      rows: [['PostgreSQL 17.2 on x86_64-pc-linux-gnu']],
      tag: 'SELECT 1',
      rows_count: 1,
      duration_us: 640,
    }),
    statement(2, 9, SELECT_PATIENTS, { form: 'prepare' }),
    statement(3, 9, bound.text, { ...bound, form: 'bind' }),
    statement(4, 9, bound.text, {
      ...bound,
      form: 'execute',
      columns: ['id', 'full_name', 'mrn', 'email', 'visited_at', 'notes'],
      rows: Array.from({ length: 200 }, patient),
      rows_omitted: 9_800,
      tag: 'SELECT 10000',
      rows_count: 10_000,
      duration_us: 84_220,
      curtailed: 16 << 20,
    }),
    statement(5, 31, 'SELECT * FROM patiens', {
      error: { code: '42P01', message: 'relation "patiens" does not exist' },
      duration_us: 410,
    }),
    statement(6, 42, "UPDATE patients SET email = 'a@b.example' WHERE id = 1004", {
      tag: 'UPDATE 1',
      rows_count: 1,
      duration_us: 2_910,
    }),
    statement(7, 60, 'START_REPLICATION SLOT s LOGICAL 0/0', {
      denied: { code: 'HOOP-2005', message: 'This connection does not allow replication.' },
    }),
    statement(8, 75, `SELECT '${HOSTILE[0]}' AS who, '${HOSTILE[1]}' AS clip, '${HOSTILE[2]}' AS page`, {
      columns: ['who', 'clip', 'page'],
      rows: [HOSTILE],
      tag: 'SELECT 1',
      rows_count: 1,
      duration_us: 300,
    }),
    statement(9, 130, 'COPY visits TO STDOUT (FORMAT csv)', {
      tag: 'COPY 204',
      rows_count: 204,
      copied_out: 48_811,
      duration_us: 19_004,
    }),
    statement(10, 1_700, 'SELECT pg_sleep(60)'),
  ];
}

/** What happened beside the statements. */
export function notes() {
  const note = (number, before, seconds, kind, text) => ({ number, before, at: at(100 + seconds, 900), stream: 0, kind, text });
  return [
    note(0, 0, 0, 'opened', 'protocol=postgres, database=clinic, user=hoop, application=psql, client_version=3.2, target_tls=TLSv1.3'),
    note(1, 6, 35, 'notice', `there is no "patiens", ${HOSTILE[0]} ${HOSTILE[2]}`),
    note(2, 8, 70, 'gap', 'the agent’s disk was full for 3 s: 412 events of stream 0 were not recorded'),
    note(3, 11, 1_760, 'closed', 'the client closed it (9,120 bytes in, 8,402,113 bytes out)'),
  ];
}

/** More of a session, to see that long lists stay quick. */
export function manyStatements(from, count) {
  return Array.from({ length: count }, (_, index) =>
    statement(from + index, 1_701 + index, `SELECT ${from + index}`, { tag: 'SELECT 1', rows_count: 1, duration_us: 200 + index }),
  );
}
