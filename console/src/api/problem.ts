/**
 * What goes wrong between the console and the gateway, in one shape: a stable code, a sentence, a hint.
 * Knows nothing of pages; every page shows these through `ui/ProblemAlert`.
 */

/** An answer that is not a success, or no answer at all (`status` 0). */
export class ApiProblem extends Error {
  override readonly name = 'ApiProblem';
  readonly status: number;
  readonly code: string;
  readonly hint: string | undefined;

  constructor(status: number, code: string, message: string, hint?: string) {
    super(message);
    this.status = status;
    this.code = code;
    this.hint = hint;
  }
}

const BY_STATUS: Record<number, readonly [message: string, hint: string]> = {
  401: ['You are not signed in.', 'Sign in again.'],
  403: ['You may not do this.', 'Ask an administrator if you need it.'],
  404: ['There is nothing here, or you may not see it.', 'Check the address.'],
  413: ['The request is too large.', 'Send less at once.'],
  429: ['Too many requests.', 'Wait a moment and try again.'],
};

/** Reads an error body. Whatever is not of the documented shape is replaced by words of our own. */
export function problemFrom(status: number, body: unknown): ApiProblem {
  if (isRecord(body) && typeof body['code'] === 'string' && typeof body['message'] === 'string') {
    const hint = typeof body['hint'] === 'string' ? body['hint'] : undefined;
    return new ApiProblem(status, body['code'], body['message'], hint);
  }
  const [message, hint] = BY_STATUS[status] ?? [
    `The gateway answered with status ${status}.`,
    'Try again; if it stays, look into the gateway’s log.',
  ];
  return new ApiProblem(status, `HTTP ${status}`, message, hint);
}

/** The gateway could not be reached. */
export function unreachable(): ApiProblem {
  return new ApiProblem(
    0,
    'no answer',
    'The gateway does not answer.',
    'Check your network; the page tries again when you retry.',
  );
}

/** Any thrown value as a problem, so that nothing is shown raw. */
export function asProblem(error: unknown): ApiProblem {
  if (error instanceof ApiProblem) return error;
  const message = error instanceof Error ? error.message : 'Something unexpected happened.';
  return new ApiProblem(0, 'console', message, 'Reload the page.');
}

/** Must the person sign in (again) before this can work? */
export function needsSignIn(error: unknown): boolean {
  return error instanceof ApiProblem && error.status === 401;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
