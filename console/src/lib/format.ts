/** Figures, times and durations for people. Pure; the locale is the browser's. */

const COUNT = new Intl.NumberFormat(undefined);
const ONE_DIGIT = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

export function count(value: number): string {
  return COUNT.format(value);
}

/** `1 row`, `2 rows`. */
export function counted(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

export function bytes(value: number): string {
  let unit = 0;
  let scaled = value;
  while (scaled >= 1024 && unit < UNITS.length - 1) {
    scaled /= 1024;
    unit += 1;
  }
  if (unit === 0) return value === 1 ? '1 byte' : `${count(value)} bytes`;
  return `${ONE_DIGIT.format(scaled)} ${UNITS[unit]}`;
}

/** Microseconds, with the unit that leaves few digits. */
export function duration(micros: number): string {
  if (micros < 1_000) return `${micros} µs`;
  if (micros < 1_000_000) return `${ONE_DIGIT.format(micros / 1_000)} ms`;
  if (micros < 60_000_000) return `${ONE_DIGIT.format(micros / 1_000_000)} s`;
  return span(Math.floor(micros / 1_000_000));
}

/** Whole seconds as the two largest units: `8 h`, `1 h 5 min`, `2 d 3 h`. */
export function span(seconds: number): string {
  const units: [string, number][] = [
    ['d', 86_400],
    ['h', 3_600],
    ['min', 60],
    ['s', 1],
  ];
  const parts: string[] = [];
  let rest = Math.max(0, Math.floor(seconds));
  for (const [name, size] of units) {
    const amount = Math.floor(rest / size);
    rest -= amount * size;
    if (amount > 0) parts.push(`${amount} ${name}`);
    else if (parts.length > 0) break;
    if (parts.length === 2) break;
  }
  return parts.length > 0 ? parts.join(' ') : '0 s';
}

/** Time since a session began, `+0:01.250`. */
export function offset(micros: number): string {
  const sign = micros < 0 ? '-' : '+';
  const millis = Math.floor(Math.abs(micros) / 1_000);
  const pad = (value: number, width: number) => String(value).padStart(width, '0');
  const seconds = Math.floor(millis / 1_000);
  const clock = `${pad(Math.floor(seconds / 60) % 60, seconds >= 3_600 ? 2 : 1)}:${pad(seconds % 60, 2)}.${pad(millis % 1_000, 3)}`;
  return seconds >= 3_600 ? `${sign}${Math.floor(seconds / 3_600)}:${clock}` : `${sign}${clock}`;
}

/** Microseconds since the epoch; `Date` alone would lose what is below a millisecond. `NaN` if it is no time. */
export function micros(rfc3339: string): number {
  const whole = Date.parse(rfc3339);
  const fraction = /\.(\d+)/.exec(rfc3339)?.[1] ?? '';
  return whole * 1_000 + Number(fraction.padEnd(6, '0').slice(3, 6) || '0');
}

const DATE_TIME = new Intl.DateTimeFormat(undefined, {
  year: 'numeric',
  month: 'short',
  day: '2-digit',
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
});

/** Local date and time. What is no time is shown as it came. */
export function dateTime(rfc3339: string): string {
  const at = Date.parse(rfc3339);
  return Number.isNaN(at) ? rfc3339 : DATE_TIME.format(at);
}

/** `5 min ago`, `in 3 h`, `just now`. */
export function relative(rfc3339: string, now: number): string {
  const at = Date.parse(rfc3339);
  if (Number.isNaN(at)) return rfc3339;
  const seconds = Math.round((now - at) / 1_000);
  if (Math.abs(seconds) < 5) return 'just now';
  const [first] = span(Math.abs(seconds)).split(/(?<=[a-z]) /);
  return seconds > 0 ? `${first} ago` : `in ${first}`;
}
