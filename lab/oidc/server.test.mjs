// The provider does what hoop's tests rely on: PKCE, claims, amr, refusal of strangers, people changed while it runs.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';

import { start } from './server.mjs';

const REDIRECT = 'http://127.0.0.1:9/callback';
let lab;

before(async () => { lab = await start({ HOOP_OIDC_REDIRECTS: REDIRECT }); });
after(() => lab.stop());

/** Walks the code flow as a browser would; answers with the parameters of the redirect, and the verifier. */
async function authorize(name, { challenge = true } = {}) {
  const verifier = randomBytes(32).toString('base64url');
  const query = new URLSearchParams({
    client_id: lab.facts.client_id, response_type: 'code', redirect_uri: REDIRECT,
    scope: 'openid profile email groups', state: 's1', nonce: 'n1',
    ...(challenge && { code_challenge: createHash('sha256').update(verifier).digest('base64url'), code_challenge_method: 'S256' }),
  });
  const cookies = new Map();
  let url = `${lab.facts.issuer}/auth?${query}`;
  let form;
  for (let hop = 0; hop < 12 && !url.startsWith(REDIRECT); hop += 1) {
    const response = await fetch(url, {
      redirect: 'manual', method: form ? 'POST' : 'GET', body: form,
      headers: { cookie: [...cookies].map(([k, v]) => `${k}=${v}`).join('; ') },
    });
    form = undefined;
    for (const cookie of response.headers.getSetCookie()) {
      const [, key, value] = /^([^=]+)=([^;]*)/.exec(cookie);
      cookies.set(key, value);
    }
    const location = response.headers.get('location');
    if (location) url = new URL(location, url).href;
    else if (response.ok) form = new URLSearchParams({ name });
    else return { error: String(response.status), verifier };
  }
  return { ...Object.fromEntries(new URL(url).searchParams), verifier };
}

async function tokens({ code, verifier }) {
  const basic = Buffer.from(`${lab.facts.client_id}:${lab.facts.client_secret}`).toString('base64');
  const response = await fetch(`${lab.facts.issuer}/token`, {
    method: 'POST', headers: { authorization: `Basic ${basic}` },
    body: new URLSearchParams({ grant_type: 'authorization_code', code, redirect_uri: REDIRECT, code_verifier: verifier }),
  });
  return response.json();
}

const claims = (jwt) => JSON.parse(Buffer.from(jwt.split('.')[1], 'base64url'));

test('a person signs in, and the ID token says who, which groups, and how', async () => {
  const answer = await authorize('ada');
  assert.equal(answer.state, 's1');
  const { id_token: token } = await tokens(answer);
  const { iss, aud, nonce, sub, groups, email, email_verified: verified, preferred_username: login, amr } = claims(token);
  assert.deepEqual(
    { iss, aud, nonce, sub, groups, email, verified, login, amr },
    {
      iss: lab.facts.issuer, aud: 'hoop', nonce: 'n1', sub: 'ada', groups: ['engineers'], email: 'ada@example.test',
      verified: true, login: 'ada', amr: ['pwd', 'otp'],
    },
  );
});

test('without PKCE there is no code', async () => {
  assert.equal((await authorize('ada', { challenge: false })).error, 'invalid_request');
});

test('a wrong verifier gets nothing', async () => {
  const answer = await authorize('ada');
  assert.equal((await tokens({ ...answer, verifier: randomBytes(32).toString('base64url') })).error, 'invalid_grant');
});

test('a code is good once', async () => {
  const answer = await authorize('ada');
  assert.ok((await tokens(answer)).id_token);
  assert.equal((await tokens(answer)).error, 'invalid_grant');
});

test('a stranger is refused', async () => {
  assert.equal((await authorize('eve')).error, 'access_denied');
});

test('a group taken away is gone at the next sign-in', async () => {
  const people = [{ name: 'ada', groups: [] }];
  const put = await fetch(`${lab.facts.issuer}/lab/users`, { method: 'PUT', body: JSON.stringify(people) });
  assert.equal(put.status, 204);
  const { id_token: token } = await tokens(await authorize('ada'));
  assert.deepEqual(claims(token).groups, []);
});
