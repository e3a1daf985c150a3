import { beforeEach, expect, test, vi } from 'vitest';

import * as calls from '../api/calls';
import { ApiProblem } from '../api/problem';
import { type Ended, Shell } from './shell';

/** What the page's WebSocket would do, without a gateway. */
class FakeSocket extends EventTarget {
  static readonly OPEN = 1;
  static last: FakeSocket;
  readyState = FakeSocket.OPEN;
  binaryType = 'blob';
  readonly sent: (string | Uint8Array)[] = [];
  readonly url: string;

  constructor(url: string) {
    super();
    this.url = url;
    FakeSocket.last = this;
  }
  send(message: string | Uint8Array) {
    this.sent.push(message);
  }
  close() {
    this.dispatchEvent(new Event('close'));
  }
  hear(data: unknown) {
    this.dispatchEvent(new MessageEvent('message', { data }));
  }
}

let ends: Ended[];

function open(reason = '') {
  const drawn: (() => void)[] = [];
  const listener = { opened: vi.fn(), shown: (_: Uint8Array, done: () => void) => drawn.push(done), ended: (end: Ended) => ends.push(end) };
  const shell = new Shell({ connection: 'web-1', reason, size: { columns: 90, rows: 25 } }, listener);
  FakeSocket.last.dispatchEvent(new Event('open'));
  return { shell, listener, drawn, socket: FakeSocket.last };
}

beforeEach(() => {
  ends = [];
  vi.stubGlobal('WebSocket', FakeSocket);
});

test('it says first what it wants, and a reason only if there is one', () => {
  const asked = (reason: string) => JSON.parse(String(open(reason).socket.sent[0])) as Record<string, unknown>;
  expect(asked('')).toEqual({ connection: 'web-1', csrf: '', columns: 90, rows: 25 });
  expect(asked('ticket 4711')['reason']).toBe('ticket 4711');
});

test('of a cluster it says which pod, and a container only if one is named', () => {
  const asked = (container: string) => {
    const listener = { opened: vi.fn(), shown: vi.fn(), ended: vi.fn() };
    new Shell({ connection: 'k8s', pod: { namespace: 'shop', name: 'web-1', container }, reason: '', size: { columns: 90, rows: 25 } }, listener);
    FakeSocket.last.dispatchEvent(new Event('open'));
    return (JSON.parse(String(FakeSocket.last.sent[0])) as Record<string, unknown>)['pod'];
  };
  expect(asked('')).toEqual({ namespace: 'shop', name: 'web-1' });
  expect(asked('app')).toEqual({ namespace: 'shop', name: 'web-1', container: 'app' });
});

test('what is pasted goes out whole, in pieces that are not too long', () => {
  const { shell, socket } = open();
  shell.type('ü'.repeat(50_000));
  const pieces = socket.sent.slice(1) as Uint8Array[];
  expect(pieces.every((piece) => piece.length <= 16 << 10)).toBe(true);
  expect(new TextDecoder().decode(new Uint8Array(pieces.flatMap((piece) => [...piece])))).toBe('ü'.repeat(50_000));
});

test('the gateway is told what was drawn, not what came', () => {
  const { drawn, socket } = open();
  for (let count = 0; count < 5; count++) socket.hear(new Uint8Array(64 << 10).buffer);
  expect(socket.sent).toHaveLength(1);
  for (const done of drawn) done();
  expect(socket.sent.slice(1)).toEqual([`{"kind":"drawn","bytes":${128 << 10}}`, `{"kind":"drawn","bytes":${256 << 10}}`]);
});

test('it ends once, with what the gateway said last', () => {
  const { socket } = open();
  socket.hear('{"kind":"ended","exit":3}');
  socket.close();
  expect(ends).toEqual([{ kind: 'exit', code: 3 }]);
});

test('what is no message of the gateway is passed over', () => {
  const { socket, listener } = open();
  for (const odd of ['nonsense', 'null', '[]', '{"kind":7}', 9]) socket.hear(odd);
  expect([ends, listener.opened.mock.calls]).toEqual([[], []]);
});

test('a socket that was refused asks why: the sign-in may have ended', async () => {
  const signedOut = new ApiProblem(401, 'HOOP-3002', 'you are not signed in');
  vi.spyOn(calls, 'whoami').mockRejectedValue(signedOut);
  open().socket.close();
  await vi.waitFor(() => expect(ends).toEqual([{ kind: 'failed', problem: signedOut }]));
});
