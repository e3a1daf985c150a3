/** Where in a text something is wrong, as the gateway tells it. Pure. */

export interface Place {
  line: number;
  column: number;
}

/** The place that a message begins with, and the rest of it. */
export function placeIn(message: string): { place: Place | undefined; rest: string } {
  const found = /^line (\d{1,9}), column (\d{1,9}): /.exec(message);
  if (!found) return { place: undefined, rest: message };
  return { place: { line: Number(found[1]), column: Number(found[2]) }, rest: message.slice(found[0].length) };
}

/** From where to where a line goes in a text; past its end: the last one. */
export function lineRange(text: string, line: number): [from: number, to: number] {
  let from = 0;
  for (let at = 1; at < line; at += 1) {
    const end = text.indexOf('\n', from);
    if (end < 0) break;
    from = end + 1;
  }
  const end = text.indexOf('\n', from);
  return [from, end < 0 ? text.length : end];
}

/** So much of a line before and after what is wrong in it. */
const AROUND = 60;

/**
 * What stands at a place, a word or a character, and what is around it in its line. Columns count characters, not halves
 * of them.
 */
export function around(text: string, { line, column }: Place): { before: string; wrong: string; after: string } {
  const characters = Array.from(text.slice(...lineRange(text, line)));
  const from = characters.slice(column - 1).join('');
  const [wrong = ''] = /^([\w.-]+|[^]?)/u.exec(from) ?? [];
  const before = characters.slice(0, column - 1);
  const after = Array.from(from.slice(wrong.length));
  return {
    before: before.length > AROUND ? `…${before.slice(-AROUND).join('')}` : before.join(''),
    wrong,
    after: after.length > AROUND ? `${after.slice(0, AROUND).join('')}…` : after.join(''),
  };
}

export function lineCount(text: string): number {
  let count = 1;
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) count += 1;
  return count;
}
