/**
 * A fresh second factor at the moment it is needed: a change that the gateway refuses for the want of one is repeated once
 * the person has proven it. Knows nothing of React; a dialog registers itself as the one who asks.
 */

/** What the gateway answers when a second factor is missing or too old. */
export const NEEDED = 'HOOP-2003';
const OWN_PATH = '/api/v1/auth/step-up';
const BY_PASSKEY = `${OWN_PATH}/passkey`;
const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS']);

/** Asks the person; resolves to whether they proved it. */
type Asker = () => Promise<boolean>;

let asker: Asker | undefined;
let asking: Promise<boolean> | undefined;

/** Registers the dialog; the answer removes it again. */
export function askWith(ask: Asker): () => void {
  asker = ask;
  return () => {
    if (asker === ask) asker = undefined;
  };
}

/** `fetch`, with the question in between where it is needed. Reading never asks: nobody expects a dialog then. */
export async function fetchWithFactor(request: Request, fetch: (request: Request) => Promise<Response>): Promise<Response> {
  const changes = !SAFE_METHODS.has(request.method);
  const path = new URL(request.url).pathname;
  if (!changes || path === OWN_PATH || path.startsWith(BY_PASSKEY)) return fetch(request);
  const again = request.clone();
  const response = await fetch(request);
  if (asker === undefined || !(await isNeeded(response))) return response;
  return (await prove()) ? fetch(again) : response;
}

/** Asks for the factor; resolves to whether it was proven. */
export function prove(): Promise<boolean> {
  if (asker === undefined) return Promise.resolve(false);
  // Two at once ask once.
  asking ??= asker().finally(() => {
    asking = undefined;
  });
  return asking;
}

async function isNeeded(response: Response): Promise<boolean> {
  if (response.status !== 403) return false;
  try {
    const body: unknown = await response.clone().json();
    return typeof body === 'object' && body !== null && 'code' in body && body.code === NEEDED;
  } catch {
    return false;
  }
}
