/** Where to go after sign-in: a path of this console, whatever the address bar was made to say. */

const HOME = '/connections';

/**
 * The wanted path if it stays on this origin, else the start page. Refused is all that a browser could read as another
 * host: `//evil`, `/\evil`, schemes, user info, control characters that parsers drop.
 */
export function safeReturnPath(wanted: unknown, origin: string): string {
  if (typeof wanted !== 'string' || wanted.length > 2_048) return HOME;
  // Backslashes and controls never occur in our own paths, and are what parsers disagree about.
  // eslint-disable-next-line no-control-regex
  if (!/^\/(?![/\\])/.test(wanted) || /[\\\u0000-\u0020\u007f]/.test(wanted)) return HOME;
  let url: URL;
  try {
    url = new URL(wanted, origin);
  } catch {
    return HOME;
  }
  if (url.origin !== origin || url.pathname.startsWith('//')) return HOME;
  // The sign-in page itself would loop, and the API is not a page.
  if (url.pathname === '/login' || url.pathname.startsWith('/api/')) return HOME;
  return url.pathname + url.search + url.hash;
}
