/** Fetches what a terminal showed, and of one that is in use what it shows as it comes. */
import { useEffect, useState } from 'react';

import * as calls from '../api/calls';
import { Cast } from './cast';

/** Arrivals are drawn together. */
const GATHER_MS = 60;
const RETRY_MS = 3_000;

export interface CastState {
  readonly cast: Cast;
  /** Frames so far: changes as more comes. */
  readonly count: number;
  readonly state: 'loading' | 'live' | 'lost' | 'whole';
  readonly error: unknown;
}

const NOTHING = new Cast();

export function useCast(session: string, stream: number, request: number, follow: boolean): CastState {
  const [shown, setShown] = useState<CastState>({ cast: NOTHING, count: 0, state: 'loading', error: undefined });
  useEffect(() => {
    const asked = new AbortController();
    let gathering: number | undefined;
    let retrying: number | undefined;
    const fetchAll = async () => {
      const cast = new Cast();
      const tell = (state: CastState['state'], error?: unknown) => {
        window.clearTimeout(gathering);
        gathering = undefined;
        if (!asked.signal.aborted) setShown({ cast, count: cast.frames.length, state, error });
      };
      try {
        const body = await calls.terminal(session, stream, request, follow, asked.signal);
        const reader = body.pipeThrough(new TextDecoderStream()).getReader();
        for (let piece = await reader.read(); !piece.done && !cast.full; piece = await reader.read()) {
          cast.push(piece.value);
          gathering ??= window.setTimeout(() => tell(follow ? 'live' : 'loading'), GATHER_MS);
        }
        void reader.cancel();
        tell('whole');
      } catch (error) {
        if (asked.signal.aborted) return;
        tell('lost', error);
        if (follow) retrying = window.setTimeout(() => void fetchAll(), RETRY_MS);
      }
    };
    void fetchAll();
    return () => {
      asked.abort();
      window.clearTimeout(gathering);
      window.clearTimeout(retrying);
    };
  }, [session, stream, request, follow]);
  return shown;
}
