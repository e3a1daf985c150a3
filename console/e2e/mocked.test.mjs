/**
 * The built console in a real browser against a gateway made of memory: every page, the ways through it, and the ways it
 * must not go. Needs `npm run build` first. Screenshots go to `test-results/`.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';

import { launch, openPage, shot, signIn } from './browser.mjs';
import { PASSWORD, SECRET } from './mock/data.mjs';
import { startMock } from './mock/server.mjs';
import { totp } from './totp.mjs';

let browser;
let mock;
let page;
let context;
let complaints;

before(async () => {
  browser = await launch();
});
after(async () => {
  await browser?.close();
});
beforeEach(async () => {
  mock = await startMock();
  ({ page, context, complaints } = await openPage(browser, mock.url));
});
afterEach(async () => {
  await context.close();
  await mock.stop();
  assert.deepEqual(complaints, [], 'no script error and no policy violation');
});

const as = (name) => ({ name, password: PASSWORD, code: totp(SECRET) });
const LIVE = '/sessions/ses_livelivelivelivelivelivel';
const PAST = '/sessions/ses_pastpastpastpastpastpastp';
const CUT = '/sessions/ses_cutcutcutcutcutcutcutcutc';

test('sign-in: a wrong code is told with code and hint, a right one leads where one wanted to be', async () => {
  await page.goto('/sessions?state=past&user=ada');
  await page.getByLabel('Name').waitFor();
  assert.match(page.url(), /\/login\?return=/);
  assert.equal(await page.getByRole('link', { name: 'Sign in with Example' }).getAttribute('href'), '/api/v1/oidc/start?return=%2Fsessions%3Fstate%3Dpast%26user%3Dada');
  await shot(page, 'sign-in');
  await page.getByLabel('Name').fill('grace');
  await page.getByRole('textbox', { name: 'Password' }).fill(PASSWORD);
  await page.getByLabel('Six-digit code').fill('000 000');
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await page.getByRole('alert').waitFor();
  assert.match(await page.getByRole('alert').textContent(), /HOOP-3001.*locked for 15 minutes/s);
  await shot(page, 'sign-in-refused');
  assert.equal(await page.getByLabel('Six-digit code').inputValue(), '', 'a code is good for one try');
  await page.getByLabel('Six-digit code').fill(totp(SECRET));
  await page.keyboard.press('Enter');
  await page.getByRole('table', { name: 'Past sessions' }).waitFor();
  assert.match(page.url(), /\/sessions\?state=past&user=ada$/);
});

test('sign-in: a return address of another host is not followed', async () => {
  for (const evil of ['//evil.example/', '/%5Cevil.example/', 'https://evil.example/', '/%09/evil.example']) {
    await page.goto(`/login?return=${evil}`);
    await page.getByLabel('Name').fill('grace');
    await page.getByRole('textbox', { name: 'Password' }).fill(PASSWORD);
    await page.getByLabel('Six-digit code').fill(totp(SECRET));
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Connections' }).waitFor();
    assert.equal(page.url(), `${mock.url}/connections`, evil);
    mock.state.cookies.clear();
  }
});

test('set-up: password, second factor by QR or secret, ready; the token leaves the address', async () => {
  await page.goto('/setup#good-token');
  await page.getByRole('textbox', { name: 'New password' }).fill('a long enough phrase');
  await page.getByRole('textbox', { name: 'The same again' }).fill('a long enough phrasf');
  await page.getByText('The two differ.').waitFor();
  assert.equal(page.url(), `${mock.url}/setup`);
  await page.getByRole('textbox', { name: 'The same again' }).fill('a long enough phrase');
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.getByRole('img', { name: 'QR code of the second factor' }).waitFor();
  await shot(page, 'set-up');
  await page.getByLabel('Six-digit code').fill('123456');
  await page.getByRole('button', { name: 'Confirm' }).click();
  await page.getByText('HOOP-3002').waitFor();
  await page.getByLabel('Six-digit code').fill(totp(SECRET));
  await page.getByRole('button', { name: 'Confirm' }).click();
  await page.getByRole('heading', { name: 'Your account is ready' }).waitFor();
});

test('set-up: a used link says so', async () => {
  await page.goto('/setup#used');
  await page.getByRole('textbox', { name: 'New password' }).fill('a long enough phrase');
  await page.getByRole('textbox', { name: 'The same again' }).fill('a long enough phrase');
  await page.keyboard.press('Enter');
  await page.getByText('HOOP-3010').waitFor();
});

test('a command line is signed in only after a click, and only on this computer', async () => {
  const state = '123456789012345678901234567890';
  await signIn(page, as('ada'), `/cli?port=45123&state=${state}&challenge=abc`).catch(() => undefined);
  await page.getByText('A command line on this computer asks to sign in as').waitFor();
  await shot(page, 'cli');
  assert.deepEqual(mock.state.calls, [], 'nothing happens by itself');
  const went = page.waitForRequest(/127\.0\.0\.1:45123/);
  await page.getByRole('button', { name: 'Allow' }).click();
  assert.equal((await went).url(), `http://127.0.0.1:45123/callback?code=one-use&state=${state}`);
  assert.deepEqual(mock.state.calls, [{ method: 'POST', path: '/cli-login', body: { port: 45123, state, code_challenge: 'abc' } }]);
});

test('a command line’s address without its parts asks for nothing', async () => {
  await signIn(page, as('ada'));
  await page.goto('/cli?port=99999&state=x&challenge=y');
  await page.getByText('This address is incomplete.').waitFor();
});

test('a device code is typed in any form, and refused or allowed', async () => {
  await signIn(page, as('ada'));
  await page.goto('/device');
  await page.getByLabel('Code').fill('zzzz zzzz');
  await page.getByRole('button', { name: 'Allow' }).click();
  await page.getByText('HOOP-3020').waitFor();
  await shot(page, 'device');
  await page.getByLabel('Code').fill('abcd efgh');
  await page.getByRole('button', { name: 'Allow' }).click();
  await page.getByText('Allowed.').waitFor();
});

test('connections: what to paste is copied; a user sees no admin parts', async () => {
  await signIn(page, as('ada'));
  const card = page.getByRole('listitem', { name: 'clinic', exact: true });
  await card.getByText('Needs: a second factor (totp, passkey, idp) of the last 12h; a reason').waitFor();
  await page.getByRole('listitem', { name: 'vault' }).getByText('emergency only').waitFor();
  assert.deepEqual(await page.getByRole('listitem', { name: 'vault' }).getByRole('button').allTextContents(), ['Break the glass'], 'nothing to paste');
  await card.getByRole('button', { name: 'Copy Run psql' }).click();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), 'hoop connect clinic -- psql');
  await card.getByRole('button', { name: 'psql, URL and JDBC forms' }).click();
  await card.getByText('jdbc:postgresql://127.0.0.1:5432/clinic').waitFor();
  await page.waitForTimeout(300);
  await shot(page, 'connections-user');
  assert.equal(await page.getByRole('button', { name: 'New connection' }).count(), 0);
  assert.deepEqual(await page.getByRole('navigation', { name: 'Pages' }).getByRole('link').allTextContents(), ['Connections', 'Sessions', 'Requests', 'My account']);
});

test('connections: an admin makes one by form, sees it as JSON, and deletes one by its name', async () => {
  await signIn(page, as('grace'));
  await page.getByLabel('Also those I may not open').check();
  await page.getByRole('listitem', { name: 'billing' }).waitFor();
  await shot(page, 'connections-admin');
  await page.getByRole('button', { name: 'New connection' }).click();
  const form = page.getByRole('dialog');
  await form.getByRole('textbox', { name: 'Name' }).fill('Lab');
  await form.getByLabel('Labels').fill('Env=prod');
  await form.getByLabel('Password source').fill('hunter2');
  await form.getByRole('button', { name: 'Save' }).click();
  await form.getByText('Env=prod: Allowed are a-z').waitFor();
  await form.getByText('a bare password is never stored').waitFor();
  assert.deepEqual(mock.state.calls, []);
  await page.waitForTimeout(300);
  await shot(page, 'connection-form');
  await form.getByRole('textbox', { name: 'Name' }).fill('lab');
  await form.getByRole('combobox', { name: 'Agent' }).click();
  await page.getByRole('option', { name: 'site-a' }).click();
  await form.getByLabel('Labels').fill('env=test\nteam=lab 2');
  await form.getByRole('textbox', { name: 'Host' }).fill('lab.internal');
  await form.getByLabel('User at the target').fill('lab');
  await form.getByLabel('Password source').fill('env:LAB_PASSWORD');
  await form.getByText('JSON').click();
  await page.waitForTimeout(200);
  await shot(page, 'connection-json');
  await form.getByRole('button', { name: 'Save' }).click();
  await page.getByRole('listitem', { name: 'lab' }).waitFor();
  const [put] = mock.state.calls;
  assert.equal(put.path, '/connections/lab');
  assert.deepEqual(put.body.settings, { host: 'lab.internal', port: 5432, user: 'lab', password: 'env:LAB_PASSWORD', tls: { mode: 'verify_full' } });
  assert.deepEqual(put.body.labels, { env: 'test', team: 'lab 2' });
  await page.getByRole('listitem', { name: 'lab' }).getByText('team=lab 2').waitFor();

  await page.getByRole('button', { name: 'Delete lab' }).click();
  await page.getByLabel('Type lab to confirm').fill('clinic');
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  assert.equal(mock.state.calls.length, 1, 'another name deletes nothing');
  await page.getByLabel('Type lab to confirm').fill('lab');
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await page.getByRole('listitem', { name: 'lab' }).waitFor({ state: 'detached' });
});

const editor = () => page.getByRole('textbox', { name: 'Rules as YAML' });
const puts = () => mock.state.calls.filter((call) => call.path === '/rules' && !call.body.dry_run);

test('rules: a card each, one added by the form, compared, and put in force with a note', async () => {
  await signIn(page, as('grace'), '/rules');
  await page.getByText('Version 2 by grace').waitFor();
  const card = page.getByRole('listitem', { name: 'finance-with-four-eyes' });
  await card.getByText('group finance · linus@example.org').waitFor();
  await card.getByText('the approval of 2 of group leads, good for 4 h').waitFor();
  await page.getByRole('listitem', { name: 'fire' }).getByText('emergency', { exact: true }).waitFor();
  await shot(page, 'rules');
  await page.getByRole('button', { name: 'Add a rule' }).click();
  const form = page.getByRole('dialog');
  await form.getByRole('textbox', { name: 'Name' }).fill('dba-prod');
  await form.getByLabel('Others must approve').check();
  await form.getByLabel('Longest session').fill('8 hours');
  await form.getByRole('button', { name: 'Add to the text' }).click();
  for (const words of ['Another rule has this name.', 'A number and a unit', 'Name a connection']) await form.getByText(words).waitFor();
  await page.waitForTimeout(300);
  await shot(page, 'rule-form');
  await form.getByRole('textbox', { name: 'Name' }).fill('oncall-billing');
  await form.getByRole('textbox', { name: 'Groups', exact: true }).fill('oncall');
  await form.getByLabel('Connections').fill('billing');
  await form.getByLabel('Second factor').fill('15m');
  await form.getByLabel('Longest session').fill('1h');
  await form.getByLabel('A reason must be given').check();
  await form.getByLabel('Groups of approvers').fill('leads');
  await form.getByRole('button', { name: 'Add to the text' }).click();
  await page.getByLabel('What would change').getByText('+ rule oncall-billing').waitFor();
  assert.match(await editor().inputValue(), /enabled: false\n[^]* {2}- name: "oncall-billing"\n {4}subjects:\n {6}groups: \["oncall"\]\n[^]*\nbreak_glass:/);
  assert.deepEqual(puts(), [], 'comparing changes nothing');
  await page.getByLabel('Note').fill('invoices at night');
  await page.waitForTimeout(300);
  await shot(page, 'rules-compared');
  await page.getByRole('button', { name: 'Put in force' }).click();
  await page.getByText('Version 3 is in force.').waitFor();
  const [put] = puts();
  assert.equal(put.body.version, 2);
  assert.equal(put.body.note, 'invoices at night');
  assert.match(put.body.yaml, /- name: "oncall-billing"/);
  await page.getByRole('tab', { name: 'Rules' }).click();
  await page.getByRole('listitem', { name: 'oncall-billing' }).waitFor();
});

test('rules: a mistake is told with its place; a text that changed after comparing is compared again', async () => {
  await signIn(page, as('grace'), '/rules?view=text');
  const before = await editor().inputValue();
  assert.equal(await page.getByRole('button', { name: 'Compare' }).isDisabled(), true);
  await editor().fill(before.replace('"max_age":"15m"', '"max_agee":"15m"'));
  await page.getByRole('button', { name: 'Compare' }).click();
  await page.getByText('Line 12, column 26').waitFor();
  await page.getByText('HOOP-2013').waitFor();
  assert.equal(await page.getByLabel('The line').locator('mark').textContent(), 'max_agee');
  await page.getByRole('button', { name: 'Go to line 12' }).click();
  assert.match(await page.evaluate(() => getSelection().toString() || document.activeElement.value.slice(document.activeElement.selectionStart, document.activeElement.selectionEnd)), /max_agee/);
  await shot(page, 'rules-mistake');
  assert.equal(await page.getByRole('button', { name: 'Put in force' }).count(), 0);
  await editor().fill(before.replace('"duration":"8h"', '"duration":"4h"'));
  await page.getByRole('button', { name: 'Compare' }).click();
  await page.getByText('limits.duration: 8h → 4h').waitFor();
  await editor().press('End');
  await editor().pressSequentially(' ');
  await page.getByText('limits.duration: 8h → 4h').waitFor({ state: 'detached' });
  assert.equal(await page.getByRole('button', { name: 'Put in force' }).count(), 0, 'what was not compared is not put in force');
  await page.goto('/people');
  await page.getByRole('table', { name: 'People' }).waitFor();
  await page.goto('/rules?view=text');
  assert.match(await editor().inputValue(), /"duration":"4h"/, 'a text that is not in force outlives the page');
  await page.getByRole('button', { name: 'Discard' }).click();
  assert.equal(await editor().inputValue(), before);
  await page.reload();
  assert.equal(await editor().inputValue(), before);
  await editor().fill('mine');
  await page.getByRole('button', { name: 'Signed in as grace' }).click();
  await page.getByRole('menuitem', { name: 'Sign out' }).click();
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
});

test('rules: somebody else was quicker', async () => {
  await signIn(page, as('grace'), '/rules?view=text');
  await editor().fill((await editor().inputValue()).replace('"duration":"8h"', '"duration":"4h"'));
  await page.getByRole('button', { name: 'Compare' }).click();
  await page.getByRole('button', { name: 'Put in force' }).waitFor();
  const [current] = mock.state.rules;
  mock.state.rules.unshift({ ...current, version: 3, author: 'linus@example.org', note: 'meanwhile' });
  await page.getByRole('button', { name: 'Put in force' }).click();
  await page.getByText('Somebody else changed the rules').waitFor();
  assert.match(await editor().inputValue(), /"duration":"4h"/, 'the text is kept');
  await shot(page, 'rules-overtaken');
  await page.getByRole('button', { name: 'Compare with what is in force' }).click();
  await page.getByText('Against version 3 this would change:').waitFor();
  await page.getByRole('button', { name: 'Put in force' }).click();
  await page.getByText('Version 4 is in force.').waitFor();
  assert.deepEqual(puts().map((call) => call.body.version), [2, 3]);
});

test('rules: versions, an old one taken as a draft', async () => {
  await signIn(page, as('grace'), '/rules?view=history');
  await page.getByRole('table', { name: 'Versions' }).getByText('on-call may reach the vault').waitFor();
  await shot(page, 'rules-history');
  await page.getByRole('button', { name: 'Open version 1' }).click();
  await page.getByLabel('Rules of version 1').getByText('rules: []').waitFor();
  await page.waitForTimeout(300);
  await shot(page, 'rules-version');
  await page.getByRole('button', { name: 'Take as a draft' }).click();
  await page.getByLabel('What would change').getByText('- rule dba-prod').waitFor();
  assert.equal(await editor().inputValue(), 'version: 1\nrules: []\n');
  assert.deepEqual(puts(), []);
});

test('rules: who can reach this, and what can she reach', async () => {
  await signIn(page, as('grace'));
  await page.getByRole('listitem', { name: 'clinic', exact: true }).getByRole('link', { name: 'Who can reach this?' }).click();
  const who = page.getByRole('table', { name: 'Who can reach clinic' });
  await who.getByRole('row', { name: /ada dba-prod member of dba/ }).waitFor();
  assert.equal(await who.getByRole('row').count(), 3);
  await page.getByText('What can she reach?').click();
  await page.getByText('Choose a person.').waitFor();
  await page.getByRole('combobox', { name: 'Person' }).click();
  await page.getByRole('option', { name: 'ada' }).click();
  const what = page.getByRole('table', { name: 'What ada can reach' });
  await what.getByRole('row', { name: /vault fire emergency/ }).waitFor();
  await page.waitForTimeout(300);
  await shot(page, 'rules-reach');
  assert.match(page.url(), /view=reach&question=person&person=ada/);
  await page.getByRole('combobox', { name: 'Person' }).click();
  await page.getByRole('option', { name: 'new.person' }).click();
  await page.getByText('new.person reaches nothing.').waitFor();
});

test('rules: an auditor reads all of it and changes nothing', async () => {
  await signIn(page, as('linus'), '/rules');
  await page.getByRole('listitem', { name: 'dba-prod' }).waitFor();
  assert.equal(await page.getByRole('button', { name: 'Add a rule' }).count(), 0);
  await page.getByRole('tab', { name: 'Text' }).click();
  assert.equal(await editor().isEditable(), false);
  assert.equal(await page.getByRole('button', { name: 'Compare' }).count(), 0);
  await page.getByRole('tab', { name: 'History' }).click();
  await page.getByRole('button', { name: 'Open version 1' }).click();
  await page.getByLabel('Rules of version 1').waitFor();
  assert.equal(await page.getByRole('button', { name: 'Take as a draft' }).count(), 0);
});

test('sessions: live and past, filtered, and killed with a reason', async () => {
  await signIn(page, as('grace'), '/sessions');
  await page.getByRole('table', { name: 'Live sessions' }).waitFor();
  await shot(page, 'sessions-live');
  await page.getByRole('tab', { name: 'Past' }).click();
  await page.getByRole('table', { name: 'Past sessions' }).waitFor();
  await shot(page, 'sessions-past');
  await page.getByLabel('User').fill('nobody');
  await page.keyboard.press('Enter');
  await page.getByText('No session matches.').waitFor();
  await page.getByRole('tab', { name: 'Live' }).click();
  await page.getByLabel('User').fill('');
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'Kill the session of ada on clinic' }).click();
  await page.getByLabel('Reason').fill('not on call');
  await page.waitForTimeout(300);
  await shot(page, 'session-kill');
  await page.keyboard.press('Enter');
  await page.getByText('No session is open now.').waitFor();
  assert.deepEqual(mock.state.calls, [{ method: 'POST', path: '/sessions/ses_livelivelivelivelivelivel/kill', body: { reason: 'not on call' } }]);
});

test('replay: stepped by keys, results, bind values, an error, a refusal, and what cannot be seen', async () => {
  await signIn(page, as('grace'), PAST);
  const detail = page.getByRole('region', { name: 'Statement' });
  await detail.waitFor();
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('j');
  await detail.getByText('SELECT 10000').waitFor();
  assert.match(await detail.textContent(), /\$1cardiology/);
  assert.match(await detail.textContent(), /first 200 rows shown, 9,800 more recorded/);
  await detail.getByRole('cell', { name: 'NULL' }).first().click();
  await shot(page, 'replay-result');
  const table = detail.getByRole('table', { name: 'Result' });
  assert.ok((await table.getByRole('row').count()) < 60, 'only rows in view are in the document');
  await table.evaluate((box) => box.scrollTo(0, 1e6));
  await table.getByText('MRN-41393').waitFor();
  await page.keyboard.press('e');
  await detail.getByText('relation "patiens" does not exist').waitFor();
  await shot(page, 'replay-error');
  await page.keyboard.press('e');
  await detail.getByText('Refused by policy').waitFor();
  await page.keyboard.press('ArrowDown');
  await detail.getByText('\\u{202e}').first().waitFor();
  await detail.scrollIntoViewIfNeeded();
  await shot(page, 'replay-hostile');
  assert.equal(await page.locator('img').count(), 0, 'no markup of the target in the page');
});

test('replay: what happened beside the statements, what is missing, and how it ended', async () => {
  await signIn(page, as('grace'), PAST);
  await page.getByText('A piece is missing').waitFor();
  const list = page.getByRole('listbox', { name: 'Statements' });
  await list.getByText('Connection opened').waitFor();
  const order = (await list.textContent()).replaceAll(/\s+/g, ' ');
  assert.match(order, /START_REPLICATION.*Something is missing here.*disk was full.*AS who/s);
  assert.match(order, /no "patiens", user\\u\{202e\}nimda/, 'a target’s notice is foreign text');
  await shot(page, 'replay-notes');
  await page.keyboard.press('End');
  await list.evaluate((box) => box.scrollTo(0, 1e6));
  await list.getByText('The session ended, and the recording is sealed').waitFor();
  await list.getByText('the client closed the last stream').waitFor();
  await shot(page, 'replay-end');
  assert.equal(await page.locator('img').count(), 0, 'no markup of the target in the page');
});

test('replay: plays by itself from the beginning to the end', async () => {
  await signIn(page, as('grace'), PAST);
  await page.getByLabel('Speed').selectOption('16');
  await page.getByRole('button', { name: 'Play' }).click();
  await page.getByText('Statement 4 of 9').waitFor();
  await page.getByRole('button', { name: 'Pause' }).click();
});

test('replay: thousands of statements scroll, and are fetched as they come into view', async () => {
  mock.state.many = true;
  await signIn(page, as('grace'), PAST);
  const list = page.getByRole('listbox', { name: 'Statements' });
  await list.waitFor();
  await page.keyboard.press('End');
  await page.getByText('198 of 398').waitFor();
  assert.ok((await list.getByRole('option').count()) < 60);
});

test('replay: a live session is followed, and says when it is over', async () => {
  await signIn(page, as('grace'), LIVE);
  await page.getByText('following live').waitFor();
  await page.keyboard.press('End');
  await page.getByText('150000').waitFor();
  await page.getByText('10 of 10').waitFor();
  await page.getByText('the agent was away for 2 s').waitFor();
  await shot(page, 'session-live');
  await page.getByRole('button', { name: 'Kill the session of ada on clinic' }).click();
  await page.getByLabel('Reason').fill('over');
  await page.keyboard.press('Enter');
  await page.getByText('killed by grace: over').waitFor();
});

test('verification: a whole recording, and a broken one', async () => {
  await signIn(page, as('grace'), PAST);
  await page.getByRole('button', { name: 'Verify' }).click();
  await page.getByText('Nothing was found').waitFor();
  await shot(page, 'verified');
  await page.goto(CUT);
  await page.getByText('The agent did not seal this recording').waitFor();
  await page.getByText('≥ 9', { exact: true }).waitFor();
  await page.getByRole('button', { name: 'Verify' }).click();
  await page.getByText('chunk 17').waitFor();
  await shot(page, 'verification-failed');
  await page.getByRole('button', { name: 'Download' }).click();
  assert.equal(
    await page.getByRole('menuitem', { name: 'Encrypted' }).getAttribute('href'),
    '/api/v1/sessions/ses_cutcutcutcutcutcutcutcutc/recording',
  );
  assert.match(await page.getByRole('menuitem', { name: 'SQL text' }).getAttribute('href'), /export\?format=sql$/);
});

test('an engineer sees their session and may end it, but sees no recording', async () => {
  await signIn(page, as('ada'), PAST);
  await page.getByText('What was recorded can be seen by auditors').waitFor();
  assert.equal(await page.getByRole('button', { name: 'Verify' }).count(), 0);
  await page.goto(LIVE);
  await page.getByRole('button', { name: 'End session' }).click();
  await page.getByRole('button', { name: 'End it' }).click();
  await page.getByText('killed by ada: done').waitFor();
});

test('a session that is not there is told in words', async () => {
  await signIn(page, as('grace'), '/sessions/ses_none');
  await page.getByText('HOOP-4004').waitFor();
});

test('audit: events page by page, one in full, the ledger checked, the checkpoint shown', async () => {
  await signIn(page, as('grace'), '/audit');
  await page.getByRole('button', { name: 'Event 129, connection.changed: details' }).waitFor().catch(() => undefined);
  await page.getByRole('button', { name: 'Verify' }).click();
  await page.getByText('130 events checked.').waitFor();
  await page.getByRole('button', { name: 'Show checkpoint' }).click();
  await page.getByText('hoop.example/ledger+1a2b3c4d+AbCd').waitFor();
  await shot(page, 'audit');
  await page.getByRole('button', { name: 'Older' }).click();
  await page.getByRole('button', { name: /^Event 0,/ }).waitFor();
  assert.equal(await page.getByRole('button', { name: 'Older' }).count(), 0);
  await page.getByLabel('Code').fill('login.failed');
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: /^Event 129,/ }).waitFor({ state: 'detached' }).catch(() => undefined);
  await page.getByRole('button', { name: /login.failed: details/ }).first().click();
  await page.getByLabel('Event as it is hashed').getByText('\\u{202e}').waitFor();
  await page.waitForTimeout(300);
  await shot(page, 'audit-event');
});

test('people: added with a link shown once, locked, changed; nobody changes themselves', async () => {
  await signIn(page, as('grace'), '/people');
  await page.getByRole('table', { name: 'People' }).waitFor();
  await shot(page, 'people');
  assert.equal(await page.getByRole('button', { name: 'Lock grace' }).count(), 0);
  await page.getByRole('button', { name: 'Add a person' }).click();
  const form = page.getByRole('dialog');
  await form.getByLabel('Name').fill('ada');
  await form.getByRole('button', { name: 'Add' }).click();
  await form.getByText('The name ada is taken.').waitFor();
  await form.getByLabel('Name').fill('marie');
  await form.getByRole('button', { name: 'Add' }).click();
  await page.getByText('https://hoop.example/setup#').waitFor();
  await page.waitForTimeout(300);
  await shot(page, 'person-added');
  await page.getByRole('button', { name: 'Done' }).click();
  await page.getByRole('button', { name: 'Lock marie' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Lock' }).click();
  await page.getByRole('button', { name: 'Unlock marie' }).waitFor();
  await page.getByRole('button', { name: 'Reset marie' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Reset' }).click();
  await page.getByText(/setup#r+$/).waitFor();
  await page.getByRole('button', { name: 'Done' }).click();
  await page.getByRole('button', { name: 'Change marie' }).click();
  await page.getByRole('dialog').getByLabel('Groups').fill('dba');
  await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click();
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  assert.deepEqual(mock.state.calls.at(-1), { method: 'PATCH', path: '/users/marie', body: { role: 'user', groups: ['dba'] } });
});

test('a person: what they are, reach and have open; locked from there', async () => {
  await signIn(page, as('grace'), '/people');
  await page.getByRole('link', { name: 'ada', exact: true }).click();
  await page.getByRole('heading', { name: 'ada' }).waitFor();
  const reach = page.getByRole('table', { name: 'What ada can reach' });
  await reach.getByRole('row', { name: /vault.*emergency.*member of dba/ }).waitFor();
  await page.getByRole('table', { name: 'Live sessions' }).getByRole('link', { name: 'clinic' }).waitFor();
  await shot(page, 'person');
  await page.getByRole('button', { name: 'Lock ada' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Lock' }).click();
  await page.getByText('locked', { exact: true }).waitFor();
  await page.getByRole('link', { name: 'What they did' }).click();
  await page.getByRole('table', { name: 'Events' }).waitFor();
  assert.match(page.url(), /\/audit\?actor=ada$/);
  await page.goto('/people/nobody%2F..%2Fgrace');
  await page.getByText('Nobody has this name.').waitFor();
});

test('groups: members, and the rules that name them', async () => {
  mock.state.users[1].groups = ['dba', 'DBA / on-call: night'];
  await signIn(page, as('linus'), '/people?view=groups');
  const row = (name) => page.getByRole('table', { name: 'Groups' }).getByRole('row', { name });
  await row(/^leads 0 1$/).waitFor();
  await row(/^dba 2 2$/).waitFor();
  await shot(page, 'groups');
  await page.getByRole('link', { name: 'DBA / on-call: night' }).click();
  await page.getByText('No rule names it.').waitFor();
  await page.getByRole('table', { name: 'Members' }).getByRole('link', { name: 'ada' }).waitFor();
  await page.goto('/people/groups/dba');
  const rules = page.getByRole('table', { name: 'Rules that name it' });
  await rules.getByRole('row', { name: 'fire may open in emergencies vault' }).waitFor();
  await page.getByRole('table', { name: 'Members' }).getByRole('link', { name: 'grace' }).waitFor();
  assert.equal(await page.getByRole('button', { name: 'Lock ada' }).count(), 0, 'an auditor changes nothing');
  await shot(page, 'group');
});

test('agents: a join token with its command, shown once', async () => {
  await signIn(page, as('grace'), '/agents');
  await page.getByRole('table', { name: 'Agents' }).waitFor();
  await page.getByRole('button', { name: 'New join token' }).click();
  await page.getByLabel('Agent’s name').fill('site-c');
  await page.getByRole('button', { name: 'Make token' }).click();
  await page.getByText(/^HOOP_AGENT_JOIN_TOKEN='hoop-join-v1\.site-c\.x+' hoop-agent run --gateway localhost:8443 --name site-c$/).waitFor();
  await page.waitForTimeout(300);
  await page.getByRole('status').getByText('Waiting for site-c …').waitFor();
  await shot(page, 'join-token');
  mock.state.agents.push({ ...mock.state.agents[0], id: 'agt_c', name: 'site-c' });
  await page.getByText('site-c is online.').waitFor();
  await page.getByRole('button', { name: 'Done' }).click();
  await page.getByRole('button', { name: 'Remove site-b' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
  await page.getByRole('button', { name: 'Remove site-b' }).waitFor({ state: 'detached' });
});

test('my sign-ins: one ended, then all of them', async () => {
  await signIn(page, as('ada'), '/account');
  await page.getByRole('table', { name: 'My sign-ins' }).waitFor();
  await shot(page, 'logins');
  await page.getByRole('button', { name: 'Sign out the cli at 192.0.2.10' }).click();
  await page.getByRole('button', { name: 'Sign out the cli at 192.0.2.10' }).waitFor({ state: 'detached' });
  await page.getByRole('button', { name: 'Sign out everywhere' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Sign out everywhere' }).click();
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  assert.deepEqual(mock.state.calls.map((call) => call.path), ['/me/logins/lgn_2', '/me/logins']);
});

test('a change that needs a fresh second factor asks for it, and goes on', async () => {
  await signIn(page, as('ada'), '/account');
  await page.getByText('8 are left').waitFor();
  await page.getByRole('button', { name: 'Make new ones' }).click();
  const dialog = page.getByRole('dialog', { name: 'Your second factor, please' });
  await dialog.getByLabel('Six-digit code').fill('000000');
  await dialog.getByRole('button', { name: 'Go on' }).click();
  await dialog.getByText('HOOP-3040').waitFor();
  await shot(page, 'step-up');
  await dialog.getByLabel('Six-digit code').fill('123456');
  await dialog.getByRole('button', { name: 'Go on' }).click();
  await page.getByLabel('Recovery codes').getByText('BCDF-GHJK-LMNP-QRSB').waitFor();
  await page.getByText('10 are left').waitFor();
  await shot(page, 'recovery-codes');
});

test('without the second factor the change stays refused', async () => {
  await signIn(page, as('ada'), '/account');
  await page.getByRole('button', { name: 'Make new ones' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
  await page.getByRole('alert').getByText('HOOP-2003').waitFor();
});

test('a sign-in that ends while one works leads to the sign-in page and back', async () => {
  await signIn(page, as('grace'), '/audit');
  await page.getByRole('table', { name: 'Events' }).waitFor();
  mock.state.cookies.clear();
  await page.getByRole('button', { name: 'Verify' }).click();
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  await page.getByLabel('Name').fill('grace');
  await page.getByRole('textbox', { name: 'Password' }).fill(PASSWORD);
  await page.getByLabel('Six-digit code').fill(totp(SECRET));
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Audit' }).waitFor();
});

test('a gateway in trouble is shown as such, with a way to try again', async () => {
  await signIn(page, as('grace'), '/people');
  await page.getByRole('table', { name: 'People' }).waitFor();
  mock.state.down = true;
  await page.getByRole('link', { name: 'Agents' }).click();
  await page.getByText('HOOP-9003').waitFor();
  await shot(page, 'trouble');
  mock.state.down = false;
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.getByRole('table', { name: 'Agents' }).waitFor();
});

test('dark, and on a phone', async () => {
  await context.close();
  ({ page, context, complaints } = await openPage(browser, mock.url, { colorScheme: 'dark', viewport: { width: 390, height: 844 } }));
  await page.goto('/connections');
  await page.getByLabel('Name').fill('grace');
  await page.getByRole('textbox', { name: 'Password' }).fill(PASSWORD);
  await page.getByLabel('Six-digit code').fill(totp(SECRET));
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Connections' }).waitFor();
  await shot(page, 'phone-connections');
  await page.getByRole('button', { name: 'Navigation' }).click();
  await page.waitForTimeout(300);
  await shot(page, 'phone-navigation');
  await page.getByRole('link', { name: 'Sessions' }).click();
  await page.getByRole('table', { name: 'Live sessions' }).waitFor();
  await shot(page, 'phone-sessions');
  await page.goto(PAST);
  await page.getByRole('listbox', { name: 'Statements' }).waitFor();
  await shot(page, 'phone-session');
  const staysNarrow = async () => {
    const wide = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
    assert.equal(wide, false, 'the page itself does not scroll sideways');
  };
  await staysNarrow();
  for (const [path, seen, name] of [
    ['/people/ada', page.getByRole('table', { name: 'What ada can reach' }), 'phone-person'],
    ['/people/groups/dba', page.getByRole('table', { name: 'Members' }), 'phone-group'],
    ['/rules', page.getByRole('listitem', { name: 'dba-prod' }), 'phone-rules'],
    ['/rules?view=text', editor(), 'phone-rules-text'],
    ['/rules?view=history', page.getByRole('table', { name: 'Versions' }), 'phone-rules-history'],
    ['/rules?view=reach&connection=clinic', page.getByRole('table', { name: 'Who can reach clinic' }), 'phone-rules-reach'],
  ]) {
    await page.goto(path);
    await seen.waitFor();
    await page.waitForTimeout(200);
    await shot(page, name);
    await staysNarrow();
  }
  await page.getByRole('button', { name: 'Add a rule' }).click();
  await page.getByRole('dialog').getByRole('textbox', { name: 'Name' }).waitFor();
  await page.waitForTimeout(300);
  await shot(page, 'phone-rule-form');
  await page.goto(PAST);
  await page.getByRole('listbox', { name: 'Statements' }).waitFor();
  await page.setViewportSize({ width: 1280, height: 860 });
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('ArrowDown');
  await page.waitForTimeout(200);
  await shot(page, 'dark-replay');
});
