/** What somebody writes on the rules, until it is in force: the text, the version it was begun from, what comparing said. */
import { useMutation } from '@tanstack/react-query';
import { useState } from 'react';

import * as calls from '../../api/calls';
import { asProblem } from '../../api/problem';
import { useForget, useMe } from '../../queries';
import { type Kept, keepDraft, keptDraft } from './keptDraft';

export function useDraft(inForce: calls.Rules) {
  const forget = useForget();
  const { id } = useMe();
  const [begun, setState] = useState(() => keptDraft(id));
  const setBegun = (next: Kept | undefined) => {
    setState(next);
    keepDraft(id, next);
  };
  const { text, base } = begun ?? { text: inForce.yaml, base: inForce.version };
  const comparing = useMutation({
    mutationFn: (kept: Kept) => calls.changeRules({ yaml: kept.text, version: kept.base, dry_run: true }),
  });
  const put = useMutation({
    mutationFn: (note: string) =>
      calls.changeRules({ yaml: text, version: base, dry_run: false, ...(note.trim() === '' ? {} : { note: note.trim() }) }),
    onSuccess: async () => {
      await forget('rules', 'connections', 'sessions');
      setBegun(undefined);
      comparing.reset();
    },
  });
  const write = (next: string) => {
    // Who takes a change back has changed nothing.
    setBegun(begun === undefined && next === inForce.yaml ? undefined : { text: next, base });
    put.reset();
  };
  const isCompared = comparing.variables?.text === text && comparing.variables.base === base;
  return {
    text,
    base,
    isChanged: begun !== undefined && text !== inForce.yaml,
    /** What the last comparing of exactly this text said. */
    compared: isCompared ? comparing.data : undefined,
    /** Why comparing exactly this text, or putting it in force, failed. */
    error: put.error ?? (isCompared ? comparing.error : null),
    isComparing: comparing.isPending,
    isPutting: put.isPending,
    /** The version that this draft came into force as, until the next change. */
    done: put.data?.version,
    write,
    compare: (next = text) => {
      put.reset();
      comparing.mutate({ text: next, base });
    },
    put: (note: string) => put.mutate(note),
    discard: () => {
      setBegun(undefined);
      comparing.reset();
      put.reset();
    },
    /** Takes the text as a change of what is in force now, and says what it would change. */
    rebase: async () => {
      await forget('rules');
      const now = await calls.rules();
      const next = { text, base: now.version };
      setBegun(next);
      put.reset();
      comparing.mutate(next);
    },
  };
}

export type Draft = ReturnType<typeof useDraft>;

/** Somebody else was quicker. */
export function isOvertaken(error: unknown): boolean {
  return asProblem(error).status === 409;
}
