/** Times of the browser's own inputs (`2026-11-22T13:00`, local) as the API wants them. */

/** RFC 3339 in UTC; `undefined` for what is no time. */
export function localToRfc3339(local: string | undefined): string | undefined {
  if (!local) return undefined;
  const at = new Date(local);
  return Number.isNaN(at.getTime()) ? undefined : at.toISOString();
}
