/**
 * The statements of a recorded session on their way to the rules. They are kept in the memory of this page alone, beside
 * everything that was fetched, and are forgotten with it: statements belong in no storage and in no address.
 */
import { type QueryClient, useQuery } from '@tanstack/react-query';

import type { Refusal, Statement } from '../../replay/statement';

/** What the gateway takes in one trial. */
const MOST_TEXTS = 500;
const LONGEST_TEXT = 64 * 1024;
const MOST_BYTES = 1024 * 1024;

/** The protocols whose statements rules are about. */
export const HAS_STATEMENTS: readonly string[] = ['postgres'];

export interface CarriedStatement {
  text: string;
  /** How often it was sent, with the same outcome. */
  times: number;
  /** The refusal that it met. */
  denied: Refusal | undefined;
}

export interface Carried {
  /** The session's. */
  id: string;
  /** What to call it. */
  title: string;
  /** Whose it was, for conditions that ask. */
  session: { person: string; connection: string; reason: string | null };
  /** The access rule that it ran under, if that is known. */
  rule: string | undefined;
  statements: readonly CarriedStatement[];
  /** Statements that are too long or too many for one trial. */
  leftOut: number;
  /** The session has more than the page had fetched. */
  isPartial: boolean;
}

/** It was sent to be run or prepared. What was only executed was decided when it was prepared. */
export function isCarried({ form, text }: Statement): boolean {
  return (form === 'query' || form === 'prepare') && text.trim() !== '';
}

/** Each text once for each outcome that it had. */
export function carry(statements: readonly Statement[]): Pick<Carried, 'statements' | 'leftOut'> {
  const groups = new Map<string, CarriedStatement>();
  let bytes = 0;
  let leftOut = 0;
  for (const { text, denied } of statements.filter(isCarried)) {
    const key = JSON.stringify([text, denied?.code, denied?.message]);
    const known = groups.get(key);
    if (known) {
      known.times += 1;
      continue;
    }
    const length = new TextEncoder().encode(text).length;
    if (length > LONGEST_TEXT || groups.size >= MOST_TEXTS || bytes + length > MOST_BYTES) {
      leftOut += 1;
      continue;
    }
    bytes += length;
    groups.set(key, { text, times: 1, denied });
  }
  return { statements: [...groups.values()], leftOut };
}

/** The access rule in the words for why a session was allowed. */
export function ruleIn(allowedBecause: string): string | undefined {
  return /^(?:break-glass )?rule ([a-z0-9][a-z0-9_.-]*): /.exec(allowedBecause)?.[1];
}

const keyOf = (id: string) => ['carried', id];

export function keepCarried(cache: QueryClient, carried: Carried): void {
  cache.setQueryData(keyOf(carried.id), carried);
}

export function useCarried(id: string | undefined): Carried | undefined {
  return useQuery<Carried>({ queryKey: keyOf(id ?? ''), enabled: false, staleTime: Infinity }).data;
}
