/**
 * The one way to the gateway's API: typed by the generated schema, cookies of this origin, and the CSRF token on every
 * change. Knows nothing of React.
 */
import createClient, { type Middleware } from 'openapi-fetch';

import { isAttended } from '../lib/attended';
import { type ApiProblem, problemFrom, unreachable } from './problem';
import type { components, paths } from './schema';
import { fetchWithFactor } from './stepUp';

export type Schemas = components['schemas'];

const CSRF_HEADER = 'x-hoop-csrf';
const UNATTENDED_HEADER = 'x-hoop-unattended';
const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS']);

let csrf: string | undefined;

/** Keeps the token of the browser session in memory alone: it never reaches a storage that scripts could read later. */
export function rememberCsrf(token: string | null | undefined): void {
  csrf = token ?? undefined;
}

/** For what has no headers: a WebSocket says it in its first message. */
export const csrfToken = (): string | undefined => csrf;

const addHeaders: Middleware = {
  onRequest({ request }) {
    // What a page asks by itself with nobody there keeps no sign-in alive.
    if (!isAttended()) request.headers.set(UNATTENDED_HEADER, '1');
    if (csrf !== undefined && !SAFE_METHODS.has(request.method)) request.headers.set(CSRF_HEADER, csrf);
    return request;
  },
};

export const client = createClient<paths>({
  baseUrl: typeof window === 'undefined' ? '' : window.location.origin,
  credentials: 'same-origin',
  // Looked up at each call, so that tests can stand in for the network.
  fetch: (request) => fetchWithFactor(request, (one) => globalThis.fetch(one)),
});
client.use(addHeaders);

interface Outcome<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** The answer's body, or a thrown {@link ApiProblem}. */
export async function unwrap<T>(call: Promise<Outcome<T>>): Promise<T> {
  const outcome = await reach(call);
  if (!outcome.response.ok) throw problemFrom(outcome.response.status, outcome.error);
  // A 204 has no body: its type is `undefined` then.
  return outcome.data as T;
}

async function reach<T>(call: Promise<Outcome<T>>): Promise<Outcome<T>> {
  try {
    return await call;
  } catch (error) {
    throw networkProblem(error);
  }
}

function networkProblem(error: unknown): ApiProblem | DOMException {
  // A query that was cancelled is no error to show.
  if (error instanceof DOMException && error.name === 'AbortError') return error;
  return unreachable();
}
