/** Statements in order, each once: a statement that arrives again (it has ended by now) takes its first one's place. */
import type { Statement } from './statement';

export function merge(known: readonly Statement[], arrived: readonly Statement[]): Statement[] {
  const merged = [...known];
  const places = new Map(merged.map((statement, place) => [statement.key, place]));
  for (const statement of arrived) {
    const place = places.get(statement.key);
    if (place === undefined) {
      places.set(statement.key, merged.length);
      merged.push(statement);
    } else {
      merged[place] = statement;
    }
  }
  return merged;
}
