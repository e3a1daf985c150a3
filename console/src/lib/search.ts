/**
 * What stands after `?`, as plain text. The router's own reading would turn `state=123…` into a number and lose digits.
 */

export function parseSearch(search: string): Record<string, string> {
  return Object.fromEntries(new URLSearchParams(search));
}

export function stringifySearch(search: Record<string, unknown>): string {
  const present = Object.entries(search).filter((entry): entry is [string, string] => {
    const value = entry[1];
    return typeof value === 'string' && value !== '';
  });
  const written = new URLSearchParams(present).toString();
  return written === '' ? '' : `?${written}`;
}

/** A parameter's text; absent and empty are the same. */
export function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
