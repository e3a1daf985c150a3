/**
 * The statements and notes of a session: pages first, then, while it lives, what the gateway sends as it happens.
 * Holds at most `MOST` statements; a longer session says so instead of filling the browser.
 */
import { useInfiniteQuery } from '@tanstack/react-query';
import { useEffect, useEffectEvent, useMemo, useState } from 'react';

import * as calls from '../api/calls';
import { ApiProblem } from '../api/problem';
import { merge } from './merge';
import { type End, mergeNotes, type Note, readNote } from './rows';
import { readStatement, type Statement } from './statement';

const PAGE = 200;
export const MOST = 20_000;
/** Arrivals are shown together, so that a burst does not paint the page for each. */
const GATHER_MS = 120;
const RETRY_MS = 3_000;

export interface TimelineState {
  statements: readonly Statement[];
  notes: readonly Note[];
  /** Notes that were too many to show. */
  notesOmitted: number;
  /** How the recording ends, once known. */
  end: End | undefined;
  following: 'no' | 'live' | 'lost' | 'over';
  /** The agent has sent no recording yet; asked again while the session lives. */
  nothingYet: boolean;
  /** The gateway is set up so that it cannot open recordings: only who has the key can. */
  keptElsewhere: boolean;
  query: {
    data: readonly Statement[] | undefined;
    error: unknown;
    isPending: boolean;
    refetch: () => unknown;
  };
  more: (() => void) | undefined;
  fetchingMore: boolean;
}

export function useTimeline(id: string, live: boolean): TimelineState {
  const pages = useInfiniteQuery({
    queryKey: ['timeline', id],
    queryFn: ({ pageParam }) => calls.timeline(id, pageParam, PAGE),
    initialPageParam: 0,
    getNextPageParam: (last) => last.next ?? undefined,
    // Each read is an event of the ledger: none behind the reader's back.
    staleTime: Infinity,
    refetchOnWindowFocus: false,
    refetchOnReconnect: false,
    refetchInterval: (query) => (live && isUnrecorded(query.state.error) ? RETRY_MS : false),
  });
  const fetched = useMemo(
    () =>
      (pages.data?.pages ?? [])
        .flatMap((page) => page.statements)
        .map(readStatement)
        .filter((statement) => statement !== undefined),
    [pages.data],
  );
  const fetchedNotes = useMemo(() => (pages.data?.pages ?? []).flatMap((page) => page.notes ?? []), [pages.data]);
  const complete = pages.data !== undefined && !pages.hasNextPage;
  const [follow, arrived, arrivedNotes] = useFollow(id, live && complete, fetched.length);
  const notes = useMemo(() => mergeNotes(fetchedNotes, arrivedNotes), [fetchedNotes, arrivedNotes]);
  const last = pages.data?.pages.at(-1);
  const statements = useMemo(() => merge(fetched, arrived).slice(0, MOST), [fetched, arrived]);
  const canFetch = pages.hasNextPage && statements.length < MOST;
  return {
    statements,
    notes,
    notesOmitted: last?.notes_omitted ?? 0,
    end: last ? { how: last.ending, reason: last.ended?.reason, missing: last.ended?.missing ?? undefined } : undefined,
    following: follow,
    nothingYet: live && isUnrecorded(pages.error),
    keptElsewhere: isKeptElsewhere(pages.error),
    query: {
      data: pages.data ? statements : undefined,
      error: pages.error,
      isPending: pages.isPending,
      refetch: pages.refetch,
    },
    more: canFetch && !pages.isFetchingNextPage ? () => void pages.fetchNextPage() : undefined,
    fetchingMore: pages.isFetchingNextPage,
  };
}

type Followed = [TimelineState['following'], readonly Statement[], readonly Note[]];

function useFollow(id: string, enabled: boolean, from: number): Followed {
  const [state, setState] = useState<TimelineState['following']>('no');
  const [arrived, setArrived] = useState<readonly Statement[]>([]);
  const [notes, setNotes] = useState<readonly Note[]>([]);
  const begin = useEffectEvent((seen: ReadonlySet<string>) => from + seen.size);
  useEffect(() => {
    if (!enabled) return;
    const seen = new Set<string>();
    let gathered: Statement[] = [];
    let gatheredNotes: Note[] = [];
    let gathering: number | undefined;
    let retrying: number | undefined;
    let source: EventSource | undefined;
    const flush = () => {
      gathering = undefined;
      const batch = gathered;
      gathered = [];
      const noted = gatheredNotes;
      gatheredNotes = [];
      if (batch.length > 0) setArrived((known) => merge(known, batch).slice(0, MOST));
      if (noted.length > 0) setNotes((known) => mergeNotes(known, noted).slice(0, MOST));
    };
    const open = () => {
      const stream = new EventSource(calls.timelineStream(id, begin(seen)));
      source = stream;
      stream.addEventListener('open', () => setState('live'));
      stream.addEventListener('statement', (event) => {
        const statement = readStatement(parse(event.data), begin(seen));
        if (!statement) return;
        seen.add(statement.key);
        gathered.push(statement);
        gathering ??= window.setTimeout(flush, GATHER_MS);
      });
      stream.addEventListener('note', (event) => {
        const note = readNote(parse(event.data));
        if (!note) return;
        gatheredNotes.push(note);
        gathering ??= window.setTimeout(flush, GATHER_MS);
      });
      stream.addEventListener('end', () => {
        stream.close();
        setState('over');
      });
      stream.addEventListener('error', () => {
        // The browser would ask again from the old place, without end; so it is done here, from the new one, until the
        // session is known to be over.
        stream.close();
        setState('lost');
        retrying = window.setTimeout(open, RETRY_MS);
      });
    };
    open();
    return () => {
      source?.close();
      window.clearTimeout(gathering);
      window.clearTimeout(retrying);
      flush();
      setState('no');
    };
  }, [id, enabled]);
  return [state, arrived, notes];
}

/** The gateway is set up so that it cannot open recordings: no failure, and nothing to try again. */
function isKeptElsewhere(error: unknown): boolean {
  return error instanceof ApiProblem && error.code === 'HOOP-6030';
}

/** The code of a session whose recording has not begun. */
function isUnrecorded(error: unknown): boolean {
  return error instanceof ApiProblem && error.code === 'HOOP-6001';
}

function parse(data: unknown): unknown {
  if (typeof data !== 'string') return undefined;
  try {
    return JSON.parse(data);
  } catch {
    return undefined;
  }
}
