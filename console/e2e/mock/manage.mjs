/** What admins manage besides people: tests of connections, service accounts, ways in. For the mocked gateway. */
import { Refused } from './refused.mjs';

const day = (days) => new Date(Date.UTC(2026, 10, 22, 9) + days * 86_400_000).toISOString();

export function managed() {
  return {
    services: [
      { id: 'usr_ci', name: 'ci', role: 'user', locked: false, tokens: 1, used_at: day(-1) },
      { id: 'usr_siem', name: 'siem', role: 'auditor', locked: false, tokens: 0, used_at: null },
    ],
    tokens: { ci: [token('tok_1', 'nightly', true), { ...token('tok_2', 'old', false), revoked_at: day(-3) }], siem: [] },
    codeSets: [
      {
        id: 'cds_1', needed: 2, good: true, made_by: 'grace', made_at: day(-30), expires_at: day(150), revoked_at: null,
        codes: [{ holder: 'ben', used_at: null, used_by: null }, { holder: 'cat', used_at: day(-2), used_by: 'ada' }, { holder: 'dan', used_at: null, used_by: null }],
      },
    ],
    capabilities: [
      { id: 'cap_1', holder: 'ada', connection: 'clinic', made_by: 'grace', made_at: day(-5), valid_until: day(25), most_uses: 2, uses: 1, revoked_at: null },
    ],
  };
}

function token(id, name, good) {
  return { id, name, scope: 'connect', made_by: 'grace', created_at: day(-10), expires_at: day(80), used_at: good ? day(-1) : null, revoked_at: null, good };
}

export const MANAGE_ROUTES = [
  ['POST', /^\/connections\/([^/]+)\/test$/, testConnection],
  ['POST', /^\/connections\/([^/]+)\/scan$/, scanConnection],
  ['GET', /^\/service-accounts$/, ({ state }) => ({ items: state.services })],
  ['POST', /^\/service-accounts$/, addService],
  ['PATCH', /^\/service-accounts\/([^/]+)$/, ({ state, parts: [name], body }) => Object.assign(state.services.find((one) => one.name === name), body)],
  ['GET', /^\/service-accounts\/([^/]+)\/tokens$/, ({ state, parts: [name] }) => ({ items: state.tokens[name] })],
  ['POST', /^\/service-accounts\/([^/]+)\/tokens$/, makeToken],
  ['DELETE', /^\/service-accounts\/([^/]+)\/tokens\/([^/]+)$/, ({ state, parts: [name, id] }) => void revoke(state.tokens[name], id)],
  ['GET', /^\/sealed-codes$/, ({ state }) => ({ items: state.codeSets })],
  ['DELETE', /^\/sealed-codes\/([^/]+)$/, ({ state, parts: [id] }) => void revoke(state.codeSets, id)],
  ['GET', /^\/capabilities$/, ({ state }) => ({ items: state.capabilities })],
  ['POST', /^\/capabilities\/([^/]+)\/revoke$/, ({ state, parts: [id] }) => void revoke(state.capabilities, id)],
];

function revoke(list, id) {
  Object.assign(list.find((one) => one.id === id), { revoked_at: new Date().toISOString(), good: false });
}

function testConnection({ parts: [name] }) {
  if (name === 'clinic-replica') throw new Refused(503, 'HOOP-4002', 'the agent site-b, which serves this connection, is not connected', 'check that hoop-agent runs');
  const steps = [['prepare', 140], ['connect', 1_210], ['tls', 8_450], ['log in', 31_200], ['version', 900]].map(([step, micros]) => ({ name: step, micros }));
  const tls = { version: 'TLSv1.3', cipher: 'TLS13_AES_256_GCM_SHA384', certificate: 'CN=db.clinic.internal, by CN=Clinic CA, until 2027-03-01T00:00:00Z' };
  if (name === 'billing') {
    const problem = { code: 'HOOP-5007', message: 'the database server refused the credential of this connection <b>x</b>', hint: 'an admin checks user and password' };
    return { ok: false, agent: 'site-a', steps: steps.slice(0, 3), tls, failed_step: 'log in', problem };
  }
  return { ok: true, agent: 'site-a', steps, tls, server_version: 'PostgreSQL 18.1' };
}

function scanConnection({ state }) {
  if (!state.proven) throw new Refused(403, 'HOOP-2003', 'the second factor was proven more than 5 min ago');
  const found = (column, type_name, kind, hits, by_name) => ({ schema: 'public', table: 'patients', column, type_name, kind, rows: 20, hits, by_name });
  const findings = [found('birth_date', 'date', 'birth_date', 20, true), found('remarks<b>', 'text', 'phone', 2, false), found('ssn', 'text', 'ssn', 20, true)];
  return { ok: true, agent: 'site-a', columns: 34, partial: true, findings };
}

function addService({ state, body }) {
  const made = { id: `usr_${body.name}`, locked: false, tokens: 0, used_at: null, ...body };
  state.services.push(made);
  state.tokens[body.name] = [];
  return made;
}

function makeToken({ state, parts: [name], body }) {
  if (!state.proven) throw new Refused(403, 'HOOP-2003', 'the second factor was proven more than 5 min ago');
  const view = { ...token(`tok_${body.name}`, body.name, true), scope: body.scope, used_at: null };
  state.tokens[name].unshift(view);
  return { token: `hoop_sa_${'k'.repeat(43)}`, view };
}
