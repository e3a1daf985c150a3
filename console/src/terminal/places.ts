/** The time that a replay takes: as it happened, with pauses cut. Pure. */
import type { Frame } from './cast';

/** When each frame is drawn in a replay whose pauses are cut to `limit` milliseconds. */
export function placesOf(frames: readonly Frame[], limit: number): number[] {
  let place = 0;
  let before = 0;
  return frames.map(({ at }) => {
    place += Math.min(at - before, limit);
    before = at;
    return place;
  });
}

/** How many frames are drawn at this time of the replay. */
export function countAt(places: readonly number[], time: number): number {
  let [low, high] = [0, places.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((places[middle] ?? Infinity) <= time) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** What the clock said then, at this time of a replay whose pauses are cut: since the terminal was there. */
export function clockAt(frames: readonly Frame[], places: readonly number[], time: number): number {
  const count = countAt(places, time);
  const [before, after] = [frames[count - 1], frames[count]];
  if (!before) return 0;
  const passed = time - (places[count - 1] ?? 0);
  return after ? Math.min(before.at + passed, after.at) : before.at;
}

/** `1:05`, `1:02:03`. */
export function clock(milliseconds: number): string {
  const seconds = Math.floor(Math.max(0, milliseconds) / 1_000);
  const pad = (value: number) => String(value).padStart(2, '0');
  const hours = Math.floor(seconds / 3_600);
  const minutes = Math.floor(seconds / 60) % 60;
  return hours > 0 ? `${hours}:${pad(minutes)}:${pad(seconds % 60)}` : `${minutes}:${pad(seconds % 60)}`;
}
