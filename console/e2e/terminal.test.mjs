/** Sessions on hosts in a real browser: a terminal that is replayed, searched and watched, and what must not come of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { shot, signIn } from './browser.mjs';
import { HOST, hostSession } from './mock/host.mjs';
import { host } from './mock/shell.mjs';
import { shows, until } from './screen.mjs';
import { as, PHONE, prove, staysNarrow, suite } from './suite.mjs';

const here = suite();
const PATH = `/sessions/${HOST}`;

test('a shell is replayed: played, paused, sought, at another speed, with its pause cut', async () => {
  const { page, mock } = here;
  mock.state.sessions.push(hostSession('ended'));
  await signIn(page, as('grace'), PATH);
  await shows(page, 'ada@web-1:~$');
  await page.getByLabel('Speed of the terminal').selectOption('16');
  await shows(page, 'cat message');
  await page.getByText('It ended with exit code 3').waitFor();
  await page.getByRole('button', { name: 'Play the terminal' }).waitFor();
  await shows(page, 'exit');
  await shot(page, 'terminal-replayed');
  // To the beginning: what came later is gone.
  await page.getByRole('slider', { name: 'Place in the terminal' }).focus();
  await page.keyboard.press('Home');
  await until(page, 'the beginning', (shown) => !shown.includes('cat message'));
  // The clock is that of the wall; the way to go is short while pauses are cut.
  await page.getByText(/^0:00 \/ 10:0\d$/).waitFor();
  const length = async () => Number(await page.getByRole('slider', { name: 'Place in the terminal' }).getAttribute('aria-valuemax'));
  assert.ok((await length()) < 10_000);
  await page.getByLabel('Cut pauses to 2 s').uncheck();
  await page.getByRole('slider', { name: 'Place in the terminal' }).waitFor();
  assert.ok((await length()) > 600_000);
});

test('what was shown is found, and sought', async () => {
  const { page, mock } = here;
  mock.state.sessions.push(hostSession('ended'));
  await signIn(page, as('grace'), PATH);
  await shows(page, 'ada@web-1:~$');
  await page.getByRole('textbox', { name: 'Find in what was shown' }).fill('LS -L');
  await page.getByText('1 place', { exact: true }).waitFor();
  await page.getByRole('list', { name: 'Places' }).getByRole('button').click();
  await until(page, 'the moment', (shown) => shown.includes('ls -l') && !shown.includes('total 12'));
  await page.getByRole('textbox', { name: 'Find in what was shown' }).fill('server_name');
  await page.keyboard.press('Enter');
  await until(page, 'the editor', (shown) => shown.includes('GNU nano') && !shown.includes('total 12'));
  await shot(page, 'terminal-searched');
  await page.getByRole('textbox', { name: 'Find in what was shown' }).fill('</script>');
  await page.getByText('1 place', { exact: true }).waitFor();
});

test('what was entered at prompts is listed, and leads to its moment', async () => {
  const { page, mock } = here;
  mock.state.sessions.push(hostSession('ended'));
  await signIn(page, as('grace'), PATH);
  await shows(page, 'ada@web-1:~$');
  await page.getByRole('button', { name: '2 commands at prompts' }).click();
  const list = page.getByRole('list', { name: 'Commands at prompts' });
  await list.getByText('cat message </script>').waitFor();
  await shot(page, 'terminal-commands');
  await list.getByRole('button', { name: 'ls -l' }).click();
  await until(page, 'the moment', (shown) => shown.includes('total 12') && !shown.includes('cat message'));
});

test('nothing that was printed acts on the page, the clipboard or the window', async () => {
  const { page, mock } = here;
  mock.state.sessions.push(hostSession('ended'));
  await signIn(page, as('grace'), PATH);
  await page.evaluate(() => navigator.clipboard.writeText('mine'));
  const title = await page.title();
  const asked = [];
  page.on('request', (request) => asked.push(request.url()));
  await page.getByLabel('Speed of the terminal').selectOption('16');
  await page.getByText('It ended with exit code 3').waitFor();
  await page.getByRole('textbox', { name: 'Find in what was shown' }).fill('onerror');
  await page.getByRole('list', { name: 'Places' }).getByRole('button').click();
  await shows(page, '</script><img src=x onerror=');
  assert.equal(await page.title(), title);
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), 'mine');
  assert.equal(await page.evaluate(() => globalThis.pwned), undefined);
  assert.equal(await page.locator('.xterm a, .xterm img').count(), 0);
  const link = await page.locator('.xterm-rows').getByText('a link').boundingBox();
  if (link) await page.mouse.click(link.x + 5, link.y + 5);
  assert.equal(page.context().pages().length, 1);
  assert.deepEqual(asked.filter((url) => !url.startsWith(mock.url)), [], 'nothing is fetched from elsewhere');
});

test('of several terminals each is chosen; commands, files and refusals are read beside them', async () => {
  const { page, mock } = here;
  mock.state.sessions.push(hostSession('ended'));
  await signIn(page, as('grace'), PATH);
  const choose = (text) => page.getByRole('option').filter({ hasText: text }).click();
  await choose('top -b');
  await shows(page, 'Tasks: 188 total');
  await choose('make deploy');
  assert.match(await page.getByLabel('Output', { exact: true }).textContent(), /built 14 targets/);
  assert.match(await page.getByLabel('Standard error').textContent(), /Error 1/);
  await page.getByText('4.2 MiB more was printed').waitFor();
  await shot(page, 'host-command');
  await choose('rename /srv/www/old.html to /srv/www/new.html');
  await page.getByLabel('Statement text').getByText('→ /srv/www/new.html').waitFor();
  await choose('read /etc/nginx/nginx.conf');
  await page.getByText('2.2 KiB received').waitFor();
  await choose('forward 10.0.0.5:5432');
  await page.getByText('HOOP-2042').waitFor();
  await shot(page, 'host-forward');
});

test('a running shell is watched, left, and ended from beside it', async () => {
  const { page, mock } = here;
  mock.state.sessions.push(hostSession('live'));
  await signIn(page, as('grace'), PATH);
  await shows(page, 'ada@web-1:~$');
  const terminal = page.getByRole('region', { name: 'Terminal' });
  await terminal.getByText('live', { exact: true }).waitFor();
  mock.state.type('rm -rf /tmp/x\r\n');
  await shows(page, 'rm -rf /tmp/x');
  await shot(page, 'terminal-live');
  // Who looks back is not pulled away by what comes.
  await page.getByRole('slider', { name: 'Place in the terminal' }).focus();
  await page.keyboard.press('Home');
  mock.state.type('later\r\n');
  await until(page, 'the beginning', (shown) => !shown.includes('later'));
  await terminal.getByRole('button', { name: 'To what happens now' }).click();
  await shows(page, 'later');
  await terminal.getByRole('button', { name: 'Kill the session of ada on web-1' }).click();
  await page.getByLabel('Reason').fill('not there');
  await page.keyboard.press('Enter');
  await page.getByText('killed by grace: not there').waitFor();
  await page.getByText('No more of it is recorded').waitFor();
});

test('on a phone the screen fits', async () => {
  const { mock } = here;
  mock.state.sessions.push(hostSession('ended'));
  const page = await here.open({ ...PHONE, colorScheme: 'dark' });
  await signIn(page, as('grace'), PATH);
  await shows(page, 'ada@web-1:~$');
  await staysNarrow(page);
  await shot(page, 'terminal-phone');
});

test('a terminal in the browser: opened from the list, typed into, resized, ended', async () => {
  const { page, mock } = here;
  mock.state.connections.push(host());
  await signIn(page, as('ada'));
  await page.getByText('hoop ssh web-1').waitFor();
  await page.getByRole('link', { name: 'Open a terminal on web-1' }).click();
  await page.getByText('connected', { exact: true }).waitFor();
  await shows(page, 'ada@web-1:~$');
  await page.keyboard.type('echo hello there');
  await page.keyboard.press('Enter');
  await until(page, 'the answer', (shown) => shown.split('hello there').length === 3);
  const [asked] = mock.state.terminals;
  assert.ok(asked.columns > 80 && asked.rows > 20, JSON.stringify(asked));
  await page.setViewportSize({ width: 900, height: 700 });
  await page.waitForFunction(() => document.querySelector('.xterm-screen').clientWidth < 700);
  const sizes = mock.state.terminalSaid.filter(({ kind }) => kind === 'resize').map(({ columns }) => columns);
  assert.ok(sizes.at(-1) < asked.columns, `it was told of the new size: ${sizes}`);
  await shot(page, 'terminal-in-browser');
  await page.keyboard.type('exit');
  await page.keyboard.press('Enter');
  await page.getByText('The shell ended with exit code 0').waitFor();
  await shot(page, 'terminal-over');
  await page.getByRole('button', { name: 'Open again' }).click();
  await shows(page, 'ada@web-1:~$');
});

test('a terminal: what the host prints acts on nothing, and a kill says why', async () => {
  const { page, mock } = here;
  mock.state.connections.push(host());
  await signIn(page, as('ada'), '/terminal/web-1');
  await shows(page, 'ada@web-1:~$');
  await page.evaluate(() => navigator.clipboard.writeText('mine'));
  const title = await page.title();
  mock.state.print('\u001b]52;c;ZXZpbA==\u0007\u001b]0;evil\u0007\u001b]8;;https://evil.example\u0007link\u001b]8;;\u0007<img src=x onerror=alert(1)>\u001b[38;2;1;2;3mdone');
  await shows(page, 'done');
  assert.equal(await page.title(), title);
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), 'mine');
  assert.equal(await page.locator('.xterm a, .xterm img').count(), 0);
  mock.state.killTerminal('the session is over: grace ended this session: enough');
  await page.getByText('grace ended this session: enough').waitFor();
  await page.getByText('HOOP-4245').waitFor();
});

test('a terminal: a reason and a fresh factor are asked for where they are needed', async () => {
  const { page, mock } = here;
  mock.state.connections.push(host({ needs: ['a reason'] }));
  mock.state.refuseTerminal = [{ code: 'HOOP-2003', message: 'the second factor was proven too long ago' }];
  await signIn(page, as('ada'), '/terminal/web-1');
  await page.getByLabel('Reason').fill('ticket 4711');
  await page.getByRole('button', { name: 'Open terminal' }).click();
  await prove(page);
  await shows(page, 'ada@web-1:~$');
  assert.deepEqual(mock.state.terminals.map(({ reason }) => reason), ['ticket 4711', 'ticket 4711']);
});

test('a terminal is not offered where a rule keeps the gateway from reading along', async () => {
  const { page, mock } = here;
  mock.state.connections.push(host({ needs: ['end to end'] }));
  await signIn(page, as('ada'));
  await page.getByText('hoop ssh web-1').waitFor();
  assert.equal(await page.getByRole('link', { name: 'Open a terminal on web-1' }).count(), 0);
});
