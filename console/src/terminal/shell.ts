/**
 * A shell on a host or in a pod, over the gateway's WebSocket: what is typed goes out, what is shown comes in, and the gateway waits for who
 * is slow to draw. Knows neither screen nor React.
 */
import * as calls from '../api/calls';
import { csrfToken } from '../api/client';
import { type ApiProblem, asProblem, problemFrom, unreachable } from '../api/problem';
import type { Size } from './cast';

/** Where in a cluster. */
export interface Pod {
  readonly namespace: string;
  readonly name: string;
  /** Empty: the only one, or the usual one. */
  readonly container: string;
}

export interface Wanted {
  readonly connection: string;
  readonly pod?: Pod | undefined;
  readonly reason: string;
  readonly size: Size;
}

export type Ended = { readonly kind: 'exit'; readonly code: number | undefined } | { readonly kind: 'failed'; readonly problem: ApiProblem };

export interface Listener {
  opened: (session: string, endsAt: string) => void;
  /** To be drawn; `drawn` is called when it was. */
  shown: (data: Uint8Array, drawn: () => void) => void;
  ended: (end: Ended) => void;
}

/** A message may be 64 KiB. */
const PIECE = 16 << 10;
/** So often the gateway is told how much was drawn. */
const TELL_EVERY = 128 << 10;

export class Shell {
  private readonly socket: WebSocket;
  private drawn = 0;
  private told = 0;

  constructor({ connection, pod, reason, size }: Wanted, listener: Listener) {
    let over = false;
    const end = (how: Ended) => {
      if (!over) listener.ended(how);
      over = true;
    };
    this.socket = new WebSocket(`${window.location.origin.replace(/^http/, 'ws')}/api/v1/terminals`);
    this.socket.binaryType = 'arraybuffer';
    this.socket.addEventListener('open', () => {
      const where = pod && { pod: { namespace: pod.namespace, name: pod.name, ...(pod.container === '' ? {} : { container: pod.container }) } };
      const asked = { connection, csrf: csrfToken() ?? '', ...size, ...where, ...(reason === '' ? {} : { reason }) };
      this.socket.send(JSON.stringify(asked));
    });
    this.socket.addEventListener('message', ({ data }: MessageEvent<unknown>) => {
      if (data instanceof ArrayBuffer) {
        listener.shown(new Uint8Array(data), () => this.drew(data.byteLength));
        return;
      }
      const said = read(data);
      if (said?.['kind'] === 'opened') listener.opened(String(said['session']), String(said['ends_at']));
      else if (said?.['kind'] === 'failed') end({ kind: 'failed', problem: problemFrom(0, said['problem']) });
      else if (said?.['kind'] === 'ended') end({ kind: 'exit', code: typeof said['exit'] === 'number' ? said['exit'] : undefined });
    });
    this.socket.addEventListener('close', () => {
      if (!over) void whyClosed().then((problem) => end({ kind: 'failed', problem }));
    });
  }

  type(text: string): void {
    this.press(new TextEncoder().encode(text));
  }

  press(bytes: Uint8Array<ArrayBuffer>): void {
    for (let at = 0; at < bytes.length; at += PIECE) this.send(bytes.slice(at, at + PIECE));
  }

  resize(size: Size): void {
    this.send(JSON.stringify({ kind: 'resize', ...size }));
  }

  close(): void {
    this.socket.close();
  }

  private drew(bytes: number): void {
    this.drawn += bytes;
    if (this.drawn - this.told < TELL_EVERY) return;
    this.told = this.drawn;
    this.send(JSON.stringify({ kind: 'drawn', bytes: this.drawn }));
  }

  private send(message: string | Uint8Array<ArrayBuffer>): void {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(message);
  }
}

/** A WebSocket that was refused does not say why; another call does, if it is the sign-in. */
async function whyClosed(): Promise<ApiProblem> {
  try {
    await calls.whoami();
    return unreachable();
  } catch (error) {
    return asProblem(error);
  }
}

function read(data: unknown): Record<string, unknown> | undefined {
  if (typeof data !== 'string') return undefined;
  try {
    const value: unknown = JSON.parse(data);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
