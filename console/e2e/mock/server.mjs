/**
 * A gateway made of memory: serves the built console with the headers that the real one sends (content security policy
 * with a fresh style nonce), and answers the API from `data.mjs`. Checks cookie, CSRF token and second factor as the real
 * one does, so that a console that forgets one fails here.
 */
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';

import { totp } from '../totp.mjs';
import { PASSWORD, PEOPLE, SECRET, world } from './data.mjs';
import { Refused } from './refused.mjs';
import { ROUTES, STREAMING } from './routes.mjs';
import { openShell } from './shell.mjs';

const DIST = new URL('../../dist/', import.meta.url).pathname;
const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };

/** Starts it. `state.calls` holds what changed something; `state.down` makes every call fail. */
export async function startMock() {
  const state = { ...world(), cookies: new Map(), calls: [], many: false, down: false, streams: new Set() };
  const server = createServer((request, response) => {
    answer(state, request, response).catch((error) => {
      const refused = error instanceof Refused ? error : new Refused(500, 'HOOP-9001', String(error));
      send(response, refused.status, refused.body);
    });
  });
  server.on('upgrade', (request, socket) => openShell(state, cookieOf(state, request), request, socket));
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const stop = () =>
    new Promise((done) => {
      for (const stream of state.streams) stream.end();
      server.close(done);
      server.closeAllConnections();
    });
  return { url: `http://127.0.0.1:${server.address().port}`, state, stop };
}

async function answer(state, request, response) {
  const url = new URL(request.url, 'http://mock');
  if (!url.pathname.startsWith('/api/')) return page(url.pathname, response);
  if (state.down) throw new Refused(503, 'HOOP-9003', 'The store does not answer.', 'Wait, and try again.');
  const path = url.pathname.replace('/api/v1', '');
  const body = await json(request);
  const anonymous = ANONYMOUS[path];
  if (anonymous) return send(response, 200, anonymous(body, state, response));
  const me = signedIn(state, request);
  const route = ROUTES.find(([method, pattern]) => method === request.method && pattern.test(path));
  if (!route) throw new Refused(404, 'HOOP-7004', `No such endpoint: ${request.method} ${path}`);
  if (request.method !== 'GET') state.calls.push({ method: request.method, path, body });
  const [, pattern, handle] = route;
  const parts = pattern.exec(path).slice(1).map(decodeURIComponent);
  const result = handle({ state, me, body, query: url.searchParams, parts, response });
  if (result !== STREAMING) send(response, result === undefined ? 204 : 200, result);
}

function cookieOf(state, request) {
  return state.cookies.get(/hoop=([0-9a-f]+)/.exec(request.headers.cookie ?? '')?.[1]);
}

function signedIn(state, request) {
  const me = cookieOf(state, request);
  if (!me) throw new Refused(401, 'HOOP-3003', 'You are not signed in.', 'Sign in.');
  if (request.method !== 'GET' && request.headers['x-hoop-csrf'] !== me.csrf) {
    throw new Refused(403, 'HOOP-3004', 'The request did not come from the console.', 'Reload the page.');
  }
  return me;
}

/** As the real one, the code of the half minute before is good too. */
function isCode(code) {
  return code === totp(SECRET) || code === totp(SECRET, Date.now() - 30_000);
}

/** What needs no sign-in. */
const ANONYMOUS = {
  '/info': () => ({
    version: '0.1.0',
    public_host: 'localhost',
    public_port: 8443,
    ca_pem: '',
    password_login: true,
    passkeys: true,
    oidc_label: 'Sign in with Example',
    protocols: ['postgres'],
  }),
  '/login/password': (body, state, response) => {
    const person = PEOPLE[body.name];
    if (!person || body.password !== PASSWORD || !isCode(body.code)) {
      throw new Refused(401, 'HOOP-3001', 'Name, password or code is wrong.', 'After ten wrong tries the account is locked for 15 minutes.');
    }
    const cookie = randomBytes(16).toString('hex');
    const csrf = randomBytes(8).toString('hex');
    const mfa_at = new Date().toISOString();
    const me = { ...person, method: 'password_totp', login: 'lgn_1', mfa_at, expires_at: '2026-11-23T00:00:00Z', csrf };
    state.cookies.set(cookie, me);
    response.setHeader('set-cookie', `hoop=${cookie}; Path=/; HttpOnly; SameSite=Strict`);
    return me;
  },
  '/setup': (body) => {
    if (body.token !== 'good-token') {
      throw new Refused(401, 'HOOP-3010', 'This link was used already, or is too old.', 'Ask an administrator for a new one.');
    }
    if (body.code === undefined) {
      const otpauth_url = `otpauth://totp/hoop:new.person?secret=${SECRET}&issuer=hoop&digits=6&period=30`;
      return { name: 'new.person', otpauth_url, active: false };
    }
    if (!isCode(body.code)) throw new Refused(401, 'HOOP-3002', 'The code is wrong.', 'Check the clock of your phone.');
    return { name: 'new.person', active: true };
  },
  '/audit/checkpoint': () => ({
    note: `hoop.example/ledger\n130\n${'q'.repeat(43)}=\n\n— hoop.example/ledger ${'s'.repeat(92)}\n`,
    verifier_key: 'hoop.example/ledger+1a2b3c4d+AbCd',
  }),
};

async function json(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  return text === '' ? undefined : JSON.parse(text);
}

function send(response, status, body) {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  response.end(body === undefined ? undefined : JSON.stringify(body));
}

async function page(path, response) {
  const wanted = normalize(join(DIST, path));
  const file = wanted.startsWith(DIST) && extname(wanted) in TYPES ? wanted : join(DIST, 'index.html');
  const nonce = randomBytes(16).toString('base64');
  let content;
  try {
    content = await readFile(file);
  } catch {
    response.writeHead(404);
    response.end();
    return;
  }
  if (file.endsWith('index.html')) content = content.toString().replace('__CSP_NONCE__', nonce);
  response.writeHead(200, {
    'content-type': TYPES[extname(file)],
    'content-security-policy': [
      "default-src 'none'",
      "script-src 'self'",
      `style-src 'self' 'nonce-${nonce}'`,
      "img-src 'self'",
      "connect-src 'self'",
      "base-uri 'none'",
      "form-action 'self'",
      "frame-ancestors 'none'",
      'trusted-types default',
      "require-trusted-types-for 'script'",
    ].join('; '),
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
  });
  response.end(content);
}
