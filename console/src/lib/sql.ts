/**
 * Splits statement text into coloured runs. It only colours: a wrong guess is a wrong colour, never a lost character
 * (the runs joined are the text).
 */

export type TokenKind = 'keyword' | 'string' | 'number' | 'comment' | 'parameter' | 'plain';

export interface Token {
  readonly kind: TokenKind;
  readonly text: string;
}

const KEYWORDS = new Set(
  `abort add all alter analyze and any array as asc begin between by cascade case cast check close cluster column comment
  commit constraint copy create cross cursor database deallocate declare default delete desc distinct do drop else end
  except execute exists explain fetch filter for foreign from full function grant group having if ilike in index inner
  insert intersect into is join key lateral left like limit listen lock materialized natural not notify null offset on
  only or order outer over partition prepare primary procedure references refresh reindex release rename replace
  returning returns revoke right rollback row rows savepoint schema select sequence session set show start table
  temporary then to transaction trigger true false truncate type union unique unlisten update using vacuum values view
  when where window with work`.split(/\s+/),
);

const PATTERN = new RegExp(
  [
    /(?<comment>--[^\n]*|\/\*[\s\S]*?(?:\*\/|$))/,
    /(?<string>[eE]?'(?:[^'\\]|''|\\[\s\S])*(?:'|$)|\$(?<tag>[A-Za-z_]\w*)?\$[\s\S]*?(?:\$\k<tag>\$|$))/,
    /(?<quoted>"(?:[^"]|"")*(?:"|$))/,
    /(?<parameter>\$\d+)/,
    /(?<word>[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*)/,
    /(?<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)/,
  ]
    .map((part) => part.source)
    .join('|'),
  'g',
);

/** Longer statements are not worth colouring, and stay one plain run. */
const MOST = 20_000;

export function tokens(sql: string): Token[] {
  if (sql.length > MOST) return [{ kind: 'plain', text: sql }];
  const found: Token[] = [];
  let from = 0;
  for (const match of sql.matchAll(PATTERN)) {
    if (match.index > from) found.push({ kind: 'plain', text: sql.slice(from, match.index) });
    found.push({ kind: kindOf(match.groups ?? {}), text: match[0] });
    from = match.index + match[0].length;
  }
  if (from < sql.length) found.push({ kind: 'plain', text: sql.slice(from) });
  return found;
}

function kindOf(groups: Record<string, string | undefined>): TokenKind {
  if (groups['comment'] !== undefined) return 'comment';
  if (groups['string'] !== undefined) return 'string';
  if (groups['parameter'] !== undefined) return 'parameter';
  if (groups['number'] !== undefined) return 'number';
  const word = groups['word'];
  return word !== undefined && KEYWORDS.has(word.toLowerCase()) ? 'keyword' : 'plain';
}
