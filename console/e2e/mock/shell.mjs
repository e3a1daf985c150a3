/** A host's shell as the mocked gateway has it: says back what is typed, and ends with `exit`. */
import { upgrade } from './websocket.mjs';

export function host(more = {}) {
  return {
    name: 'web-1',
    description: 'The clinic’s web server',
    protocol: 'ssh',
    online: true,
    may_connect: true,
    break_glass: false,
    needs: [],
    ...more,
  };
}

const PROMPT = '\u001b[1;32mada@web-1\u001b[0m:~$ ';

export function openShell(state, me, request, socket) {
  if (request.headers.origin !== `http://${request.headers.host}` || !me) {
    socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
    return;
  }
  let asked;
  let line = '';
  const send = upgrade(request, socket, (message) => {
    if (asked === undefined) {
      asked = JSON.parse(message);
      state.terminals = [...(state.terminals ?? []), asked];
      const refused = asked.csrf === me.csrf ? state.refuseTerminal?.shift() : { code: 'HOOP-3030', message: 'the CSRF token is wrong' };
      if (refused) {
        send(JSON.stringify({ kind: 'failed', problem: refused }));
        send.end();
        return;
      }
      send(JSON.stringify({ kind: 'opened', session: 'ses_1', ends_at: '2026-11-22T19:00:00Z' }));
      send(Buffer.from(`Last login: today\r\n${PROMPT}`));
    } else if (typeof message === 'string') {
      state.terminalSaid = [...(state.terminalSaid ?? []), JSON.parse(message)];
    } else {
      for (const key of message.toString()) line = typed(line, key);
    }
  });
  const typed = (before, key) => {
    if (key !== '\r') {
      send(Buffer.from(key));
      return before + key;
    }
    if (before === 'exit') {
      send(Buffer.from('\r\nlogout\r\n'));
      send(JSON.stringify({ kind: 'ended', exit: 0 }));
      send.end();
      return '';
    }
    send(Buffer.from(`\r\n${before.startsWith('echo ') ? `${before.slice(5)}\r\n` : ''}${PROMPT}`));
    return '';
  };
  state.killTerminal = (message) => {
    send(JSON.stringify({ kind: 'failed', problem: { code: 'HOOP-4245', message } }));
    send.end();
  };
  state.print = (text) => send(Buffer.from(text));
}
