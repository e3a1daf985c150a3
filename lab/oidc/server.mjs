// A real OpenID provider (oidc-provider, certified) on loopback, for tests and for trying hoop's sign-in by hand.
//
// One confidential client with the code flow and PKCE; people with groups, e-mail and amr from the environment. The
// login page is one form, consent is given by itself. It prints one line of JSON when it is ready, and ends when its
// stdin does, so that no test leaves it behind. Never for production: anybody may sign in as anybody.
//
//   HOOP_OIDC_PORT           port on 127.0.0.1; 0 (default) takes a free one
//   HOOP_OIDC_CLIENT_ID      default "hoop"
//   HOOP_OIDC_CLIENT_SECRET  default made up, printed
//   HOOP_OIDC_REDIRECTS      comma-separated redirect URIs of the client
//   HOOP_OIDC_USERS          JSON: [{"name","email","email_verified","groups":[…],"amr":[…],"acr"}]
//   HOOP_OIDC_AUTO           name of a person who is signed in without a form
//   HOOP_OIDC_KEEP           set: do not end with stdin
//
// While it runs: PUT /lab/users with such JSON replaces the people (a group taken away at the provider);
// PUT /lab/auto with a name signs that person in without a form, an empty body brings the form back.

import { createServer } from 'node:http';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { pathToFileURL } from 'node:url';

import Provider from 'oidc-provider';

const DEFAULT_USERS = [
  { name: 'ada', email: 'ada@example.test', groups: ['engineers'], amr: ['pwd', 'otp'], acr: 'mfa' },
  { name: 'grace', email: 'grace@example.test', groups: ['admins'], amr: ['pwd', 'hwk'], acr: 'mfa' },
  { name: 'mallory', email: 'mallory@example.test', email_verified: false, groups: [], amr: ['pwd'] },
];

/** Starts a provider; answers with its facts and a way to end it. */
export async function start(env = process.env) {
  const state = { users: parseUsers(env.HOOP_OIDC_USERS), auto: env.HOOP_OIDC_AUTO ?? '' };
  let handle = (request, response) => response.writeHead(503).end();
  const server = createServer((request, response) => handle(request, response));
  await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(Number(env.HOOP_OIDC_PORT ?? 0), '127.0.0.1', resolve);
  });
  const { port } = server.address();
  const facts = {
    issuer: `http://127.0.0.1:${port}`,
    port,
    client_id: env.HOOP_OIDC_CLIENT_ID ?? 'hoop',
    client_secret: env.HOOP_OIDC_CLIENT_SECRET ?? randomBytes(24).toString('base64url'),
    redirect_uris: (env.HOOP_OIDC_REDIRECTS ?? 'http://127.0.0.1/callback').split(',').map((uri) => uri.trim()),
  };
  const provider = new Provider(facts.issuer, configuration(facts, state));
  provider.use((context, next) => labRoutes(provider, state, context, next));
  handle = provider.callback();
  const stop = () => new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  });
  return { facts, stop };
}

function parseUsers(text) {
  const users = text ? JSON.parse(text) : DEFAULT_USERS;
  if (!Array.isArray(users) || users.some((user) => typeof user.name !== 'string')) {
    throw new Error('users: a JSON list of objects, each with a "name"');
  }
  return users;
}

function configuration(facts, state) {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const key = { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256', kid: 'lab' };
  return {
    clients: [{
      client_id: facts.client_id,
      client_secret: facts.client_secret,
      redirect_uris: facts.redirect_uris,
      response_types: ['code'],
      grant_types: ['authorization_code', 'refresh_token'],
    }],
    jwks: { keys: [key] },
    cookies: { keys: [randomBytes(24).toString('hex')] },
    pkce: { required: () => true },
    claims: {
      openid: ['sub', 'acr', 'amr', 'auth_time'],
      profile: ['name', 'preferred_username'],
      email: ['email', 'email_verified'],
      groups: ['groups'],
    },
    scopes: ['openid', 'offline_access', 'profile', 'email', 'groups'],
    // Claims of the granted scopes stand in the ID token, as most companies' providers have it.
    conformIdTokenClaims: false,
    // Without asking for offline_access, as many companies' providers do for their own applications.
    issueRefreshToken: (_, client) => client.grantTypeAllowed('refresh_token'),
    features: { devInteractions: { enabled: false } },
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    ttl: { Interaction: 600, Session: 3600, Grant: 3600, AccessToken: 600, IdToken: 600 },
    findAccount: (_, id) => {
      const user = state.users.find((candidate) => candidate.name === id);
      return user && { accountId: id, claims: () => claimsOf(user) };
    },
  };
}

function claimsOf(user) {
  return {
    sub: user.name,
    name: user.name,
    preferred_username: user.preferred_username ?? user.name,
    email: user.email ?? `${user.name}@example.test`,
    email_verified: user.email_verified ?? true,
    groups: user.groups ?? [],
  };
}

async function labRoutes(provider, state, context, next) {
  const { method, path } = context;
  if (method === 'PUT' && path === '/lab/users') {
    state.users = parseUsers(await body(context));
    context.status = 204;
  } else if (method === 'PUT' && path === '/lab/auto') {
    state.auto = (await body(context)).trim();
    context.status = 204;
  } else if (path.startsWith('/interaction/')) {
    await interaction(provider, state, context);
  } else {
    await next();
  }
}

async function interaction(provider, state, context) {
  const { req, res, method } = context;
  const details = await provider.interactionDetails(req, res);
  if (details.prompt.name === 'consent') {
    context.respond = false;
    return provider.interactionFinished(req, res, { consent: { grantId: await grantAll(provider, details) } }, { mergeWithLastSubmission: true });
  }
  const name = method === 'POST' ? new URLSearchParams(await body(context)).get('name') : state.auto;
  if (!name) {
    context.type = 'html';
    context.body = loginPage(state.users);
    return undefined;
  }
  const user = state.users.find((candidate) => candidate.name === name);
  context.respond = false;
  const result = user
    ? { login: { accountId: user.name, amr: user.amr ?? ['pwd'], ...(user.acr && { acr: user.acr }) } }
    : { error: 'access_denied', error_description: 'no such person' };
  return provider.interactionFinished(req, res, result, { mergeWithLastSubmission: false });
}

async function grantAll(provider, { session, params, grantId, prompt }) {
  const known = grantId && (await provider.Grant.find(grantId));
  const grant = known ?? new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  if (prompt.details.missingOIDCScope) grant.addOIDCScope(prompt.details.missingOIDCScope.join(' '));
  if (prompt.details.missingOIDCClaims) grant.addOIDCClaims(prompt.details.missingOIDCClaims);
  return grant.save();
}

function loginPage(users) {
  const escape = (text) => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
  const options = users.map(({ name }) => `<button name="name" value="${escape(name)}">${escape(name)}</button>`);
  return `<!doctype html><title>Lab sign-in</title><h1>Lab sign-in</h1><p>Who are you?</p><form method="post">${options.join(' ')}</form>`;
}

async function body({ req }) {
  const parts = [];
  let size = 0;
  for await (const part of req) {
    size += part.length;
    if (size > 65536) throw new Error('body too large');
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  // What the library has to say about development set-ups is true, known, and not for stdout.
  console.info = console.error;
  console.warn = console.error;
  const { facts, stop } = await start();
  process.stdout.write(`${JSON.stringify(facts)}\n`);
  const end = () => stop().then(() => process.exit(0));
  process.once('SIGTERM', end).once('SIGINT', end);
  if (!process.env.HOOP_OIDC_KEEP) process.stdin.resume().once('end', end).once('error', end);
}
