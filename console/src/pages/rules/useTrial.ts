/** Asks the gateway what rules say: of the text that is being written, a moment after the last key. */
import { useDebouncedValue } from '@mantine/hooks';
import { keepPreviousData, useQuery } from '@tanstack/react-query';

import * as calls from '../../api/calls';
import type { Carried } from './carried';
import type { Draft } from './useDraft';

/** After the last key in the rules, and in a statement. */
const RULES_PAUSE_MS = 400;
const STATEMENT_PAUSE_MS = 200;
/** Answers to texts that nobody sees any more are not kept for long. */
const FORGET_MS = 10_000;

const DIALECT = 'postgres' as const;

/** Rules as they were when the typing paused. */
export interface Written {
  /** Absent: what is in force. */
  yaml: string | undefined;
  /** The version that it was begun from. */
  version: number;
  /** Those in the text; none while it has a mistake. */
  rules: readonly calls.TriedRule[];
  /** What is wrong with exactly the text that is there now. */
  error: unknown;
  /** It has been read. */
  isRead: boolean;
}

export function useWritten(draft: Draft): Written {
  const [yaml] = useDebouncedValue(draft.isChanged ? draft.text : undefined, RULES_PAUSE_MS);
  const check = useQuery({
    queryKey: ['rules', 'trial', yaml ?? draft.base],
    queryFn: ({ signal }) => calls.tryRules({ yaml: yaml ?? null, dialect: DIALECT, texts: [] }, signal),
    placeholderData: keepPreviousData,
    gcTime: FORGET_MS,
    retry: false,
  });
  const isCurrent = yaml === (draft.isChanged ? draft.text : undefined);
  return {
    yaml,
    version: draft.base,
    rules: check.error ? [] : (check.data?.rules ?? []),
    error: isCurrent ? check.error : null,
    isRead: check.isSuccess && !check.isPlaceholderData,
  };
}

/** One statement, as it is typed; in a session, conditions are asked about that. */
export function useStatementTrial(written: Written, rule: calls.TriedRule | undefined, typed: string, carried: Carried | undefined) {
  const [text] = useDebouncedValue(typed, STATEMENT_PAUSE_MS);
  const key = `statement ${carried?.id ?? ''} ${text}`;
  const { data, error, isPlaceholderData } = useTrial(written, rule, [text], key, text.trim() !== '', carried?.session);
  return { tried: data?.[0], error, isStale: isPlaceholderData || text !== typed };
}

/** One value, as it is typed. */
export function useSample(written: Written, rule: calls.TriedRule | undefined, column: string, typed: string) {
  const [value] = useDebouncedValue(typed, STATEMENT_PAUSE_MS);
  const { data, error, isPlaceholderData } = useQuery({
    queryKey: ['rules', 'sample', written.yaml ?? written.version, rule?.name, column, value],
    queryFn: async ({ signal }) => {
      const samples = [{ column: column === '' ? null : column, value }];
      const body = { yaml: written.yaml ?? null, rule: rule?.name ?? null, dialect: DIALECT, texts: [], samples };
      return (await calls.tryRules(body, signal)).samples?.[0];
    },
    enabled: value !== '' && rule !== undefined && written.isRead,
    placeholderData: keepPreviousData,
    gcTime: FORGET_MS,
    retry: false,
  });
  return { masked: data, error, isStale: isPlaceholderData || value !== typed };
}

/** Many at once; the session's id stands for them, so that they are in no key. Conditions are asked about that session. */
export function useTrials(written: Written, rule: calls.TriedRule | undefined, texts: readonly string[], { id, session }: Carried) {
  return useTrial(written, rule, texts, `session ${id}`, texts.length > 0, session);
}

function useTrial(
  written: Written,
  rule: calls.TriedRule | undefined,
  texts: readonly string[],
  key: string,
  enabled: boolean,
  session: Carried['session'] | null = null,
) {
  return useQuery({
    queryKey: ['rules', 'trial', written.yaml ?? written.version, rule?.name, key],
    queryFn: async ({ signal }) => {
      const body = { yaml: written.yaml ?? null, rule: rule?.name ?? null, session, dialect: DIALECT, texts: [...texts] };
      return (await calls.tryRules(body, signal)).texts;
    },
    enabled: enabled && rule !== undefined && written.isRead,
    placeholderData: keepPreviousData,
    gcTime: FORGET_MS,
    retry: false,
  });
}
