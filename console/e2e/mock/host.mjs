/** A session on a host: a shell with a terminal, another one, a command, files, a refused forward. */
import { session, statement } from './data.mjs';

export const HOST = 'ses_hosthosthosthosthosthosth';

/** What acts on terminals, and what would act on a page: as if the gateway had let it through. */
const HOSTILE =
  '\u001b]52;c;ZXZpbA==\u0007\u001b]0;evil title\u0007\u001b]8;;https://evil.example\u0007a link\u001b]8;;\u0007' +
  '\u001bP$q"p\u001b\\\u001b[8;9999;9999t\u001b[6n</script><img src=x onerror="globalThis.pwned=1">';

export function hostSession(state) {
  const over = state === 'live' ? {} : { ended_at: '2026-11-22T11:20:00.000000Z', end_reason: 'closed by the client' };
  return { ...session(HOST, 'ada', 'web-1', state, { requests: 7, rows: 0, bytes_out: 48_113, ...over }), protocol: 'ssh' };
}

export function hostStatements(live) {
  const command = (id, seconds, form, text, more = {}) => statement(id, seconds, text, { form, ...more });
  const ended = (more) => ({ duration_us: 1_200_000, ...more });
  const shell = command(1, 1, 'shell', '', { terminal: { columns: 100, rows: 30 }, output: 'as text', ...(live ? {} : ended({ tag: 'exit 3' })) });
  if (live) return [shell];
  return [
    shell,
    command(2, 70, 'command', 'top -b -n 1', ended({ tag: 'exit 0', terminal: { columns: 80, rows: 24 } })),
    command(3, 80, 'command', 'make deploy', ended({
      tag: 'exit 2',
      output: 'building\nbuilt 14 targets\n',
      error_output: 'make: *** [deploy] Error 1\n',
      output_omitted: 4_400_000,
      copied_out: 4_400_120,
    })),
    command(4, 90, 'subsystem', 'sftp', ended({ tag: 'exit 0' })),
    command(5, 91, 'read_file', '/etc/nginx/nginx.conf', ended({ tag: 'ok', copied_out: 2_210 })),
    command(6, 92, 'rename_file', '/srv/www/old.html', ended({ tag: 'ok', parameters: ['/srv/www/new.html'] })),
    command(7, 95, 'forward', '10.0.0.5:5432', { denied: { code: 'HOOP-2042', message: 'forwarding is not allowed here' } }),
  ];
}

const header = (columns, rows) => JSON.stringify({ version: 3, term: { cols: columns, rows, type: 'xterm-256color' } });
const event = (...parts) => JSON.stringify(parts);

/** Of request 1 a story with a pause of ten minutes in it; of any other a screen drawn at once. */
export function cast(request) {
  if (request !== 1) return `${header(80, 24)}\n${event(0.1, 'o', 'top - 11:01:12 up 41 days\r\nTasks: 188 total\r\n')}\n${event(0.1, 'x', '0')}\n`;
  const prompt = '\u001b[1;32mada@web-1\u001b[0m:\u001b[1;34m~\u001b[0m$ ';
  const listing = 'total 12\r\ndrwxr-xr-x 2 ada ada 4096 Nov 22 11:00 \u001b[1;34mconf\u001b[0m\r\n-rw-r--r-- 1 ada ada  220 Nov 22 10:58 \u001b[38;2;255;170;60mnotes.txt\u001b[0m\r\n';
  const lines = [
    header(100, 30),
    event(0.2, 'o', prompt),
    ...[...'ls -l'].map((letter) => event(0.05, 'o', letter)),
    event(0.2, 'o', `\r\n${listing}${prompt}`),
    event(0, 'm', 'ls -l'),
    event(600, 'o', 'cat message\r\n'),
    event(0, 'm', 'cat message </script>'),
    event(0.2, 'o', `${HOSTILE}\r\n${prompt}`),
    event(1, 'r', '120x36'),
    event(0.5, 'o', `\u001b[?1049h\u001b[2J\u001b[H\u001b[7m GNU nano \u001b[0m\r\n\r\nserver_name clinic.example;`),
    event(2, 'o', `\u001b[?1049l`),
    event(0.2, 'o', 'exit\r\n'),
    event(0.1, 'x', '3'),
  ];
  return `${lines.join('\n')}\n`;
}

/** The beginning, and what comes when it is said. */
export function liveCast(response, state) {
  response.writeHead(200, { 'content-type': 'application/x-asciicast' });
  response.write(`${header(100, 30)}\n${event(0.1, 'o', 'ada@web-1:~$ ')}\n`);
  state.streams.add(response);
  state.type = (text) => response.write(`${event(0.1, 'o', text)}\n`);
}
