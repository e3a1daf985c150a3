/**
 * Text from a target or a client, made harmless to look at (the same rule as `hoop_recording::visible`): what a reader
 * cannot see, or would see wrongly, becomes an escape that can be told apart from the text around it.
 */

/** A run of plain text, or one character that had to be shown as an escape. */
export interface Piece {
  readonly text: string;
  readonly escaped: boolean;
}

// Controls but tab and line feed; C1; soft hyphen, Arabic letter mark, zero-width, direction marks and overrides, line
// separators, byte order mark, annotations, tag characters, lone surrogates.
const DECEPTIVE =
  // eslint-disable-next-line no-control-regex
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}\ud800-\udfff]/gu;
const DECEPTIVE_ON_ONE_LINE = new RegExp(DECEPTIVE.source.replace('\\u000b', '\\u0009-\\u000a\\u000b'), 'gu');

/** Splits text at what must be escaped. Tabs and line feeds stay, unless it is to stand on one line. */
export function pieces(text: string, oneLine = false): Piece[] {
  const found: Piece[] = [];
  let from = 0;
  for (const match of text.matchAll(oneLine ? DECEPTIVE_ON_ONE_LINE : DECEPTIVE)) {
    if (match.index > from) found.push({ text: text.slice(from, match.index), escaped: false });
    found.push({ text: escapeOf(match[0]), escaped: true });
    from = match.index + match[0].length;
  }
  if (from < text.length) found.push({ text: text.slice(from), escaped: false });
  return found;
}

/** The same as one string, for titles and the clipboard. */
export function visible(text: string, oneLine = false): string {
  return pieces(text, oneLine)
    .map((piece) => piece.text)
    .join('');
}

function escapeOf(character: string): string {
  switch (character) {
    case '\n':
      return '\\n';
    case '\r':
      return '\\r';
    case '\t':
      return '\\t';
    default: {
      const point = character.codePointAt(0) ?? 0;
      const hex = point.toString(16);
      return point < 0x80 ? `\\x${hex.padStart(2, '0')}` : `\\u{${hex}}`;
    }
  }
}
