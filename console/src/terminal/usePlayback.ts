/** Draws the frames of a cast on a screen: in time, at a chosen speed, from any place; or, while it is made, as they come. */
import { useCallback, useEffect, useEffectEvent, useMemo, useRef, useState } from 'react';

import type { Cast } from './cast';
import { clockAt, countAt, placesOf } from './places';
import type { Screen } from './screen';

/** So often the time shown moves. */
const TICK_MS = 50;

export interface Playback {
  /** Of the replay, in milliseconds. */
  time: number;
  length: number;
  playing: boolean;
  /** What the clock said at a time of the replay, in milliseconds since the terminal was there. */
  clockAt: (time: number) => number;
  /** At the end of what goes on. */
  following: boolean;
  toggle: () => void;
  seek: (time: number) => void;
  seekFrame: (frame: number) => void;
  follow: () => void;
}

interface Settings {
  speed: number;
  /** Pauses are cut to so many milliseconds. */
  limit: number;
  live: boolean;
}

export function usePlayback(cast: Cast, count: number, screen: Screen | undefined, { speed, limit, live }: Settings): Playback {
  // `count` tells that the cast has grown.
  const places = useMemo(() => placesOf(cast.frames.slice(0, count), limit), [cast, count, limit]);
  const length = places.at(-1) ?? 0;
  const [time, setTime] = useState(0);
  const [playing, setPlaying] = useState(!live);
  const [following, setFollowing] = useState(live);
  const drawn = useRef(0);

  const show = useEffectEvent((to: number) => {
    if (!screen) return;
    if (to < drawn.current) {
      screen.clear();
      drawn.current = 0;
    }
    screen.draw(cast.frames.slice(drawn.current, to));
    drawn.current = to;
  });

  // Another screen, or another cast: nothing is drawn there yet.
  useEffect(() => {
    screen?.clear();
    drawn.current = 0;
  }, [screen, cast]);
  useEffect(() => {
    if (following) setTime(length);
  }, [following, length]);
  useEffect(() => {
    show(countAt(places, time));
  }, [screen, places, time]);
  useEffect(() => {
    if (!playing) return;
    let before = performance.now();
    const timer = window.setInterval(() => {
      const now = performance.now();
      const step = (now - before) * speed;
      before = now;
      setTime((at) => Math.min(length, at + step));
    }, TICK_MS);
    return () => window.clearInterval(timer);
  }, [playing, speed, length]);
  useEffect(() => {
    if (playing && !live && length > 0 && time >= length) setPlaying(false);
  }, [playing, live, time, length]);

  const seek = useCallback(
    (to: number) => {
      setFollowing(false);
      setTime(Math.max(0, Math.min(length, to)));
    },
    [length],
  );
  const seekFrame = useCallback(
    (frame: number) => {
      setPlaying(false);
      seek(places[frame] ?? 0);
    },
    [places, seek],
  );
  const toggle = useCallback(() => {
    setFollowing(false);
    setPlaying(!playing);
    // At the end, play from the beginning.
    if (!playing && time >= length) setTime(0);
  }, [playing, time, length]);
  const follow = useCallback(() => {
    setPlaying(false);
    setFollowing(true);
  }, []);
  const clock = useCallback((at: number) => clockAt(cast.frames, places, at), [cast, places]);
  return { time, length, clockAt: clock, playing, following, toggle, seek, seekFrame, follow };
}
