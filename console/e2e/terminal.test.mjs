/** Sessions on hosts in a real browser: a terminal that is replayed, searched and watched, and what must not come of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { shot, signIn } from './browser.mjs';
import { HOST, hostSession } from './mock/host.mjs';
import { as, PHONE, staysNarrow, suite } from './suite.mjs';

const here = suite();
const PATH = `/sessions/${HOST}`;

/** What the screen shows, line by line. */
const screen = (page) =>
  page.evaluate(() => [...document.querySelectorAll('.xterm-rows > div')].map((row) => row.textContent.replaceAll('\u00a0', ' ').trimEnd()).join('\n'));

async function until(page, what, holds) {
  for (const end = Date.now() + 8_000; Date.now() < end; ) {
    if (holds(await screen(page))) return;
    await page.waitForFunction(() => new Promise((done) => requestAnimationFrame(() => done(true))));
  }
  assert.fail(`${what} is not on the screen:\n${await screen(page)}`);
}

const shows = (page, text) => until(page, text, (shown) => shown.includes(text));

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
  await page.getByLabel('Cut pauses to 2 s').uncheck();
  await page.getByText(/\/ 10:0\d/).waitFor();
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
