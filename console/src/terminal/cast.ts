/** What a terminal showed, read from the lines of an asciicast (version 3) as they come. Knows neither network nor screen. */

export interface Size {
  readonly columns: number;
  readonly rows: number;
}

/** One thing that happened, so many milliseconds after the terminal was there. */
export type Frame =
  | { readonly at: number; readonly kind: 'text'; readonly text: string }
  | { readonly at: number; readonly kind: 'size'; readonly size: Size }
  | { readonly at: number; readonly kind: 'exit'; readonly status: string };

/** What was entered at a prompt, and the frame in which its line was left. */
export interface Entered {
  readonly at: number;
  readonly frame: number;
  readonly text: string;
}

/** Characters kept of one terminal; a longer one says so instead of filling the browser. */
const MOST = 32 << 20;
const LARGEST: Size = { columns: 500, rows: 300 };

/** Grows while more comes. */
export class Cast {
  readonly frames: Frame[] = [];
  readonly entered: Entered[] = [];
  size: Size | undefined;
  /** More was shown than is kept. */
  full = false;
  private held = '';
  private now = 0;
  private length = 0;
  private readonly most: number;

  constructor(most = MOST) {
    this.most = most;
  }

  /** The next piece of the stream; it may split a line. */
  push(piece: string): void {
    const lines = (this.held + piece).split('\n');
    this.held = lines.pop() ?? '';
    for (const line of lines) this.line(line);
  }

  private line(line: string): void {
    if (line === '' || line.startsWith('#')) return;
    const value = parse(line);
    if (Array.isArray(value)) this.event(value);
    else if (this.size === undefined) this.size = headerSize(value);
  }

  private event([interval, code, data]: unknown[]): void {
    if (typeof interval !== 'number' || typeof data !== 'string' || this.full) return;
    this.now += Math.max(0, interval) * 1_000;
    const at = this.now;
    if (code === 'o') {
      this.length += data.length;
      this.full = this.length > this.most;
      if (!this.full) this.frames.push({ at, kind: 'text', text: data });
    } else if (code === 'r') {
      const [columns, rows] = data.split('x').map(Number);
      this.frames.push({ at, kind: 'size', size: bounded(columns, rows) });
    } else if (code === 'm') {
      this.length += data.length;
      if (this.frames.length > 0) this.entered.push({ at, frame: this.frames.length - 1, text: data });
    } else if (code === 'x') {
      this.frames.push({ at, kind: 'exit', status: data });
    }
  }
}

function headerSize(value: unknown): Size {
  const term = (value as { term?: { cols?: unknown; rows?: unknown } } | null | undefined)?.term;
  return bounded(Number(term?.cols), Number(term?.rows));
}

/** What a browser can draw, whatever is said. */
function bounded(columns: number | undefined, rows: number | undefined): Size {
  const within = (value: number | undefined, usual: number, most: number) =>
    value !== undefined && Number.isInteger(value) && value > 0 ? Math.min(value, most) : usual;
  return { columns: within(columns, 80, LARGEST.columns), rows: within(rows, 24, LARGEST.rows) };
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
