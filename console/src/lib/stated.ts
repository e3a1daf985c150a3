/** What people state for the record: a reason, an incident, a note, a finding. Checked as the gateway does. Pure. */

/** Bytes. */
const LONGEST = 1_000;

/** Everything on one line: the record keeps no other. */
export function oneLine(typed: string): string {
  return typed.replace(/[\r\n\t]+/g, ' ');
}

/** What is wrong with it; `undefined`: nothing. */
export function statedProblem(text: string, missing: string): string | undefined {
  if (text.trim() === '') return missing;
  if (new TextEncoder().encode(text).length > LONGEST) return `At most ${LONGEST} bytes.`;
  return /\p{Cc}/u.test(text) ? 'It holds characters that cannot be seen.' : undefined;
}
