/** Steps through a list, by hand or in the time it took: pauses are cut to two seconds, so that nobody watches a lunch. */
import { useCallback, useEffect, useRef, useState } from 'react';

import { micros } from '../lib/format';
import type { Statement } from './statement';

const LONGEST_PAUSE_MS = 2_000;
const SHORTEST_PAUSE_MS = 60;

export interface Player {
  at: number;
  playing: boolean;
  speed: number;
  go: (to: number) => void;
  step: (by: number) => void;
  toggle: () => void;
  setSpeed: (speed: number) => void;
}

/** With `follow`, who stands at the end stays there as more arrives. */
export function usePlayer(statements: readonly Statement[], follow = false): Player {
  const [at, setAt] = useState(0);
  const [playing, setPlaying] = useState(false);
  const [speed, setSpeed] = useState(1);
  const last = Math.max(0, statements.length - 1);
  const here = Math.min(at, last);

  const go = useCallback((to: number) => setAt(Math.max(0, Math.min(to, last))), [last]);
  const step = useCallback(
    (by: number) => {
      setPlaying(false);
      setAt((now) => Math.max(0, Math.min(Math.min(now, last) + by, last)));
    },
    [last],
  );
  const toggle = useCallback(() => {
    setPlaying((now) => !now);
    // At the end, play from the beginning.
    setAt((now) => (!playing && now >= last ? 0 : now));
  }, [last, playing]);

  useEffect(() => {
    if (!playing) return;
    if (here >= last) {
      setPlaying(false);
      return;
    }
    const timer = window.setTimeout(() => setAt(here + 1), pause(statements[here], statements[here + 1], speed));
    return () => window.clearTimeout(timer);
  }, [playing, here, last, speed, statements]);

  const before = useRef(last);
  useEffect(() => {
    const wasLast = before.current;
    before.current = last;
    if (follow && last > wasLast) setAt((now) => (now >= wasLast && wasLast > 0 ? last : now));
  }, [last, follow]);

  return { at: here, playing, speed, go, step, toggle, setSpeed };
}

/** Milliseconds to stay on one statement before the next. */
export function pause(here: Statement | undefined, next: Statement | undefined, speed: number): number {
  const gap = here && next ? (micros(next.at) - micros(here.at)) / 1_000 : 0;
  const scaled = (Number.isFinite(gap) ? gap : 0) / speed;
  return Math.min(LONGEST_PAUSE_MS, Math.max(SHORTEST_PAUSE_MS, scaled));
}
