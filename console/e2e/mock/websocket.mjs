/** As much of RFC 6455 as a mocked shell needs: one page, whole messages, no fragments. */
import { createHash } from 'node:crypto';

const SUFFIX = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** Upgrades. `heard(text | Buffer)` gets messages; answers a function that sends one, and `send.end` that closes. */
export function upgrade(request, socket, heard) {
  const accept = createHash('sha1').update(request.headers['sec-websocket-key'] + SUFFIX).digest('base64');
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
  let held = Buffer.alloc(0);
  socket.on('error', () => undefined);
  socket.on('data', (piece) => {
    held = Buffer.concat([held, piece]);
    for (let frame = read(held); frame; frame = read(held)) {
      held = held.subarray(frame.length);
      if (frame.opcode === 8) socket.end();
      else if (frame.opcode === 1) heard(frame.data.toString());
      else if (frame.opcode === 2) heard(frame.data);
    }
  });
  const send = (message) => socket.write(frameOf(typeof message === 'string' ? 1 : 2, Buffer.from(message)));
  send.end = () => socket.end(frameOf(8, Buffer.alloc(0)));
  return send;
}

function read(bytes) {
  if (bytes.length < 6) return undefined;
  const short = bytes[1] & 0x7f;
  const wide = short === 126 ? 2 : short === 127 ? 8 : 0;
  if (bytes.length < 6 + wide) return undefined;
  const size = wide === 2 ? bytes.readUInt16BE(2) : wide === 8 ? Number(bytes.readBigUInt64BE(2)) : short;
  const start = 6 + wide;
  if (bytes.length < start + size) return undefined;
  const mask = bytes.subarray(2 + wide, start);
  const data = Buffer.from(bytes.subarray(start, start + size).map((byte, at) => byte ^ mask[at % 4]));
  return { opcode: bytes[0] & 0x0f, data, length: start + size };
}

function frameOf(opcode, data) {
  const head =
    data.length < 126 ? Buffer.from([0x80 | opcode, data.length]) : Buffer.from([0x80 | opcode, 126, data.length >> 8, data.length & 0xff]);
  return Buffer.concat([head, data]);
}
