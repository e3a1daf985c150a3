/** Periods as rules write them: `30m`, `8h`. Pure. */

const SECONDS: Record<string, number> = { d: 86_400, h: 3_600, m: 60, s: 1 };

/** Whole seconds; `undefined` for what is no period. */
export function periodSeconds(text: string): number | undefined {
  const [, amount = '', unit = ''] = /^(\d{1,9})([dhms])$/.exec(text) ?? [];
  const size = SECONDS[unit];
  return size === undefined ? undefined : Number(amount) * size;
}
