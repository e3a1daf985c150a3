/**
 * Every call of the console, one function each. Pages and hooks use these and nothing else of the API,
 * so that a change of the contract shows up here and in the generated schema only.
 */
import * as webauthn from '../lib/webauthn';
import { client, rememberCsrf, type Schemas, unwrap } from './client';

export type AccessRequest = Schemas['RequestView'];
export type Agent = Schemas['AgentView'];
export type AuditEvent = Schemas['EventView'];
export type Checkpoint = Schemas['CheckpointView'];
export type Connection = Schemas['ConnectionView'];
export type ApiToken = Schemas['ApiTokenView'];
export type Bundle = Schemas['BundleView'];
export type Capability = Schemas['CapabilityView'];
export type CodeSet = Schemas['CodeSetView'];
export type ConnectionDefinition = Schemas['ConnectionDefinition'];
export type ConnectionTest = Schemas['ConnectionTest'];
export type MaskedSample = Schemas['MaskedSample'];
export type ConnectionScan = Schemas['ConnectionScan'];
export type ColumnFound = Schemas['ColumnFound'];
export type Info = Schemas['Info'];
export type JoinToken = Schemas['JoinToken'];
export type LedgerReport = Schemas['LedgerReport'];
export type Login = Schemas['LoginView'];
export type NewUserCreated = Schemas['NewUserCreated'];
export type Reach = Schemas['ReachView'];
export type Passkey = Schemas['PasskeyView'];
export type RequestKind = Schemas['RequestKind'];
export type RequestState = Schemas['RequestState'];
export type Rules = Schemas['RulesView'];
export type RulesChanged = Schemas['RulesChanged'];
export type RulesVersion = Schemas['RulesVersion'];
export type ServiceAccount = Schemas['ServiceAccountView'];
export type Session = Schemas['SessionView'];
export type SessionState = Schemas['SessionState'];
export type Timeline = Schemas['Timeline'];
export type TriedRule = Schemas['TriedRule'];
export type TriedStatement = Schemas['TriedStatement'];
export type TriedText = Schemas['TriedText'];
export type User = Schemas['UserView'];
export type VerifyReport = Schemas['VerifyReport'];
export type WhoAmI = Schemas['WhoAmI'];

/** One page of a list; `next` is absent on the last. */
export interface Page<T> {
  items: T[];
  next?: string | null;
}

// Signing in and out

export const info = (): Promise<Info> => unwrap(client.GET('/api/v1/info'));

export async function whoami(): Promise<WhoAmI> {
  const me = await unwrap(client.GET('/api/v1/whoami'));
  rememberCsrf(me.csrf);
  return me;
}

export async function signIn(name: string, password: string, code: string): Promise<WhoAmI> {
  const me = await unwrap(client.POST('/api/v1/login/password', { body: { name, password, code, answer: 'cookie' } }));
  rememberCsrf(me.csrf);
  return me;
}

/** Signs in with a passkey alone: the browser asks which, and who that is. */
export async function signInByPasskey(): Promise<WhoAmI> {
  const { ceremony, options } = await unwrap(client.POST('/api/v1/login/passkey/begin'));
  const credential = await webauthn.use(options);
  const me = await unwrap(client.POST('/api/v1/login/passkey', { body: { ceremony, credential } }));
  rememberCsrf(me.csrf);
  return me;
}

export async function signOut(): Promise<void> {
  await unwrap(client.POST('/api/v1/logout'));
  rememberCsrf(undefined);
}

/** Where the identity provider's sign-in starts; the browser goes there itself. */
export const oidcStart = (returnTo: string): string => `/api/v1/oidc/start?return=${encodeURIComponent(returnTo)}`;

export const setUp = (token: string, password: string, code?: string) =>
  unwrap(client.POST('/api/v1/setup', { body: { token, password, ...(code === undefined ? {} : { code }) } }));

export const approveCliLogin = (port: number, state: string, challenge: string) =>
  unwrap(client.POST('/api/v1/cli-login', { body: { port, state, code_challenge: challenge } }));

export const approveDevice = (userCode: string, approve: boolean) =>
  unwrap(client.POST('/api/v1/device/approve', { body: { user_code: userCode, approve } }));

export const logins = async (): Promise<Login[]> => (await unwrap(client.GET('/api/v1/me/logins'))).items;

export const endLogin = (id: string) =>
  unwrap(client.DELETE('/api/v1/me/logins/{id}', { params: { path: { id } } }));

/** Every sign-in of one's own, this one too, and every live session. */
export async function signOutEverywhere(): Promise<void> {
  await unwrap(client.DELETE('/api/v1/me/logins'));
  rememberCsrf(undefined);
}

export const recoveryCodesLeft = (): Promise<Schemas['RecoveryCodesLeft']> =>
  unwrap(client.GET('/api/v1/me/recovery-codes'));

export const renewRecoveryCodes = async (): Promise<string[]> =>
  (await unwrap(client.POST('/api/v1/me/recovery-codes'))).codes;

export const passkeys = async (): Promise<Passkey[]> => (await unwrap(client.GET('/api/v1/me/passkeys'))).items;

/** Registers one of this browser's device, or of one that it reaches. */
export async function addPasskey(name: string): Promise<Passkey> {
  const { ceremony, options } = await unwrap(client.POST('/api/v1/me/passkeys/begin'));
  const credential = await webauthn.make(options);
  return unwrap(client.POST('/api/v1/me/passkeys', { body: { ceremony, name, credential } }));
}

export const renamePasskey = (id: string, name: string): Promise<Passkey> =>
  unwrap(client.PATCH('/api/v1/me/passkeys/{id}', { params: { path: { id } }, body: { name } }));

export const removePasskey = (id: string) =>
  unwrap(client.DELETE('/api/v1/me/passkeys/{id}', { params: { path: { id } } }));

/** Proves the second factor again with one of them, for this sign-in. */
export async function stepUpByPasskey(): Promise<WhoAmI> {
  const { ceremony, options } = await unwrap(client.POST('/api/v1/auth/step-up/passkey/begin'));
  const credential = await webauthn.use(options);
  return unwrap(client.POST('/api/v1/auth/step-up/passkey', { body: { ceremony, credential } }));
}

/** Proves the second factor again, for this sign-in. */
export const stepUp = (code: string): Promise<WhoAmI> =>
  unwrap(client.POST('/api/v1/auth/step-up', { body: { code } }));

/** Where the identity provider proves it; the browser goes there itself. */
export const oidcStepUp = (returnTo: string): string =>
  `/api/v1/auth/step-up/oidc?return=${encodeURIComponent(returnTo)}`;

/** Passes this browser's fresh second factor on to a command line that waits for it. */
export const approveStepUp = (userCode: string, approve: boolean) =>
  unwrap(client.POST('/api/v1/auth/step-up/approve', { body: { user_code: userCode, approve } }));

// Connections, agents, people

export const connections = async (all: boolean): Promise<Connection[]> =>
  (await unwrap(client.GET('/api/v1/connections', { params: { query: all ? { all } : {} } }))).items;

export const putConnection = (name: string, definition: ConnectionDefinition) =>
  unwrap(client.PUT('/api/v1/connections/{name}', { params: { path: { name } }, body: definition }));

export const deleteConnection = (name: string) =>
  unwrap(client.DELETE('/api/v1/connections/{name}', { params: { path: { name } } }));

/** Lets its agent log in at the target once. */
export const testConnection = (name: string): Promise<ConnectionTest> =>
  unwrap(client.POST('/api/v1/connections/{name}/test', { params: { path: { name } } }));

/** Lets its agent look for columns that seem to hold personal data. Wants a fresh second factor. */
export const scanConnection = (name: string): Promise<ConnectionScan> =>
  unwrap(client.POST('/api/v1/connections/{name}/scan', { params: { path: { name } } }));

export const agents = async (): Promise<Agent[]> => (await unwrap(client.GET('/api/v1/agents'))).items;

export const makeJoinToken = (agent: string, ttlSeconds: number): Promise<JoinToken> =>
  unwrap(client.POST('/api/v1/agents/join-tokens', { body: { agent, ttl_seconds: ttlSeconds } }));

export const removeAgent = (name: string) =>
  unwrap(client.DELETE('/api/v1/agents/{name}', { params: { path: { name } } }));

export const users = (): Promise<User[]> =>
  everyPage((after) => unwrap(client.GET('/api/v1/users', { params: { query: present({ after, limit: 500 }) } })));

export const addUser = (name: string, role: string, groups: string[]): Promise<NewUserCreated> =>
  unwrap(client.POST('/api/v1/users', { body: { name, role, groups } }));

export const changeUser = (name: string, change: Schemas['UserChange']): Promise<User> =>
  unwrap(client.PATCH('/api/v1/users/{name}', { params: { path: { name } }, body: change }));

/** A new set-up link for a built-in account: for who lost password or authenticator. */
export const resetUser = (name: string): Promise<NewUserCreated> =>
  unwrap(client.POST('/api/v1/users/{name}/reset', { params: { path: { name } } }));

/** Says that two accounts are the same person's. */
export const linkAccounts = (name: string, account: string): Promise<User> =>
  unwrap(client.POST('/api/v1/users/{name}/link', { params: { path: { name } }, body: { account } }));

export const unlinkAccount = (name: string) =>
  unwrap(client.DELETE('/api/v1/users/{name}/link', { params: { path: { name } } }));

// Service accounts and their tokens

export const serviceAccounts = async (): Promise<ServiceAccount[]> =>
  (await unwrap(client.GET('/api/v1/service-accounts'))).items;

export const addServiceAccount = (name: string, role: string): Promise<ServiceAccount> =>
  unwrap(client.POST('/api/v1/service-accounts', { body: { name, role } }));

export const lockServiceAccount = (name: string, locked: boolean) =>
  unwrap(client.PATCH('/api/v1/service-accounts/{name}', { params: { path: { name } }, body: { locked } }));

export const apiTokens = async (account: string): Promise<ApiToken[]> =>
  (await unwrap(client.GET('/api/v1/service-accounts/{name}/tokens', { params: { path: { name: account } } }))).items;

/** The token is in the answer, and nowhere else ever again. */
export const makeApiToken = (account: string, body: Schemas['NewApiToken']): Promise<Schemas['ApiTokenMade']> =>
  unwrap(client.POST('/api/v1/service-accounts/{name}/tokens', { params: { path: { name: account } }, body }));

export const revokeApiToken = (account: string, id: string) =>
  unwrap(client.DELETE('/api/v1/service-accounts/{name}/tokens/{id}', { params: { path: { name: account, id } } }));

// Ways in for an emergency, prepared beforehand

export const codeSets = async (): Promise<CodeSet[]> => (await unwrap(client.GET('/api/v1/sealed-codes'))).items;

export const revokeCodeSet = (id: string) =>
  unwrap(client.DELETE('/api/v1/sealed-codes/{id}', { params: { path: { id } } }));

export const capabilities = async (): Promise<Capability[]> => (await unwrap(client.GET('/api/v1/capabilities'))).items;

export const revokeCapability = (id: string) =>
  unwrap(client.POST('/api/v1/capabilities/{id}/revoke', { params: { path: { id } } }));

// Access rules

export const rules = (): Promise<Rules> => unwrap(client.GET('/api/v1/rules'));

/** Says what rules would change, or puts them in force if the version that they were begun from still is. */
export const changeRules = (change: Schemas['RulesChange']): Promise<RulesChanged> =>
  unwrap(client.PUT('/api/v1/rules', { body: change }));

export const rulesVersions = (after: number | undefined): Promise<Page<RulesVersion>> =>
  unwrap(client.GET('/api/v1/rules/versions', { params: { query: present({ after }) } }));

export const rulesVersion = (version: number): Promise<Rules> =>
  unwrap(client.GET('/api/v1/rules/versions/{version}', { params: { path: { version: String(version) } } }));

/** What rules say of statements, and which rules there are; nothing is run or kept. Without a text: those in force. */
export const tryRules = (body: Schemas['TryRules'], signal: AbortSignal): Promise<Schemas['RulesTried']> =>
  unwrap(client.POST('/api/v1/rules/try', { body, signal }));

/** Who reaches a connection, or what a person reaches. */
export const reach = async (question: 'connection' | 'person', about: string): Promise<Reach[]> =>
  (await unwrap(client.GET('/api/v1/rules/reach', { params: { query: { [question]: about } } }))).items;

// Requests and emergencies

/** What the list of requests can be narrowed to. */
export interface RequestFilter {
  mine?: boolean | undefined;
  state?: RequestState | undefined;
  kind?: RequestKind | undefined;
  /** Emergencies that are over and wait for their review. */
  unreviewed?: boolean | undefined;
}

export const requests = (filter: RequestFilter, after: string | undefined): Promise<Page<AccessRequest>> =>
  unwrap(client.GET('/api/v1/requests', { params: { query: present({ ...filter, after, limit: 50 }) } }));

/** All that match; for questions to which few do. */
export const everyRequest = (filter: RequestFilter): Promise<AccessRequest[]> =>
  everyPage((after) => requests(filter, after));

export const request = (id: string): Promise<AccessRequest> =>
  unwrap(client.GET('/api/v1/requests/{id}', { params: { path: { id } } }));

export const askForAccess = (body: Schemas['NewRequest']): Promise<AccessRequest> =>
  unwrap(client.POST('/api/v1/requests', { body }));

/** Opens an emergency: in force at once. */
export const breakGlass = (body: Schemas['BreakGlass']): Promise<AccessRequest> =>
  unwrap(client.POST('/api/v1/break-glass', { body }));

export const approveRequest = (id: string, note: string | undefined): Promise<AccessRequest> =>
  unwrap(client.POST('/api/v1/requests/{id}/approve', { params: { path: { id } }, body: present({ note }) }));

export const denyRequest = (id: string, note: string | undefined): Promise<AccessRequest> =>
  unwrap(client.POST('/api/v1/requests/{id}/deny', { params: { path: { id } }, body: present({ note }) }));

export const endRequest = (id: string, reason: string): Promise<AccessRequest> =>
  unwrap(client.POST('/api/v1/requests/{id}/end', { params: { path: { id } }, body: { reason } }));

export const extendEmergency = (id: string, seconds: number): Promise<AccessRequest> =>
  unwrap(client.POST('/api/v1/requests/{id}/extend', { params: { path: { id } }, body: { seconds } }));

export const reviewEmergency = (id: string, finding: string): Promise<AccessRequest> =>
  unwrap(client.POST('/api/v1/requests/{id}/review', { params: { path: { id } }, body: { finding } }));

// Sessions

/** What the list of sessions can be narrowed to. Times are RFC 3339. */
export interface SessionFilter {
  state: 'live' | 'past';
  user?: string | undefined;
  connection?: string | undefined;
  since?: string | undefined;
  until?: string | undefined;
}

const SESSION_PAGE = 50;

export const sessions = (filter: SessionFilter, after: string | undefined): Promise<Page<Session>> =>
  unwrap(client.GET('/api/v1/sessions', { params: { query: present({ ...filter, after, limit: SESSION_PAGE }) } }));

export const session = (id: string): Promise<Session> =>
  unwrap(client.GET('/api/v1/sessions/{id}', { params: { path: { id } } }));

export const endSession = (id: string) =>
  unwrap(client.POST('/api/v1/sessions/{id}/end', { params: { path: { id } } }));

export const killSession = (id: string, reason: string) =>
  unwrap(client.POST('/api/v1/sessions/{id}/kill', { params: { path: { id } }, body: { reason } }));

export const timeline = (id: string, after: number, limit: number): Promise<Timeline> =>
  unwrap(client.GET('/api/v1/sessions/{id}/timeline', { params: { path: { id }, query: { after, limit } } }));

/** For an `EventSource`: statements from `after` on, as they happen. */
export const timelineStream = (id: string, after: number): string =>
  `/api/v1/sessions/${encodeURIComponent(id)}/timeline?follow=true&after=${after}`;

/** What a terminal of it showed, as an asciicast; with `follow` also what it shows from now on. */
export async function terminal(id: string, stream: number, request: number, follow: boolean, signal: AbortSignal) {
  const query = { stream, request, follow };
  const asked = client.GET('/api/v1/sessions/{id}/terminal', { params: { path: { id }, query }, parseAs: 'stream', signal });
  return (await unwrap(asked)) as unknown as ReadableStream<Uint8Array<ArrayBuffer>>;
}

export const verifySession = (id: string): Promise<VerifyReport> =>
  unwrap(client.POST('/api/v1/sessions/{id}/verify', { params: { path: { id } } }));

/** For a link that downloads the encrypted recording as it is stored. */
export const recordingHref = (id: string): string => `/api/v1/sessions/${encodeURIComponent(id)}/recording`;

export type ExportFormat = 'sql' | 'jsonl' | 'asciicast';

/** For a link that downloads what was recorded as text. */
export const exportHref = (id: string, format: ExportFormat): string =>
  `/api/v1/sessions/${encodeURIComponent(id)}/export?format=${format}`;

// Audit

/** What the list of events can be narrowed to. */
export interface AuditFilter {
  code?: string | undefined;
  actor?: string | undefined;
  subject?: string | undefined;
  since?: string | undefined;
  until?: string | undefined;
}

export const AUDIT_PAGE = 100;

export const auditEvents = (filter: AuditFilter, before: number | undefined): Promise<Page<AuditEvent>> =>
  unwrap(client.GET('/api/v1/audit/events', { params: { query: present({ ...filter, before, limit: AUDIT_PAGE }) } }));

export const checkpoint = (): Promise<Checkpoint> => unwrap(client.GET('/api/v1/audit/checkpoint'));

export const verifyLedger = (): Promise<LedgerReport> => unwrap(client.GET('/api/v1/audit/verify'));

/** Lists of people are shown whole; this many pages of them is more than anybody scrolls through. */
const MOST_PAGES = 20;

async function everyPage<T>(fetchPage: (after: string | undefined) => Promise<Page<T>>): Promise<T[]> {
  const items: T[] = [];
  let after: string | undefined;
  for (let page = 0; page < MOST_PAGES; page += 1) {
    const fetched = await fetchPage(after);
    items.push(...fetched.items);
    after = fetched.next ?? undefined;
    if (after === undefined) break;
  }
  return items;
}

/** Without the fields that are not set or empty: an empty filter is no filter. */
function present<T extends object>(query: T): T {
  return Object.fromEntries(Object.entries(query).filter(([, value]) => value !== undefined && value !== '')) as T;
}
