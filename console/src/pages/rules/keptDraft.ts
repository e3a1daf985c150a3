/**
 * A text that is not in force yet outlives the page: a step-up at the identity provider leads away and back. Kept for this
 * tab and this person, until it is put in force, discarded, or they sign out.
 */

export interface Kept {
  text: string;
  base: number;
}

const KEY = 'hoop.rules.draft';

export function keepDraft(person: string, draft: Kept | undefined): void {
  try {
    if (draft === undefined) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, JSON.stringify({ person, ...draft }));
  } catch {
    // Full or forbidden: then it lives as long as the page.
  }
}

export function keptDraft(person: string): Kept | undefined {
  try {
    const kept: unknown = JSON.parse(sessionStorage.getItem(KEY) ?? 'null');
    if (typeof kept !== 'object' || kept === null) return undefined;
    const { person: whose, text, base } = kept as Record<string, unknown>;
    return whose === person && typeof text === 'string' && typeof base === 'number' ? { text, base } : undefined;
  } catch {
    return undefined;
  }
}
