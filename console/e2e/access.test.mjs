/** Requests for access in a real browser against a gateway made of memory. As `mocked.test.mjs`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { shot, signIn } from './browser.mjs';
import { as, PHONE, prove, staysNarrow, suite } from './suite.mjs';

const here = suite();
const WAITS = '/requests/req_waitswaitswaitswaitswaitsw';
const HOSTILE = '/requests/req_hostilehostilehostilehosti';
const changes = () => here.mock.state.calls.map(({ path, body }) => [path.replace(/req_\w+/, 'ID'), body]);

test('access is asked for from the connection, and stands there afterwards', async () => {
  const { page, mock } = here;
  const billing = mock.state.connections.find((one) => one.name === 'billing');
  Object.assign(billing, { may_connect: true, needs: ['a reason', 'the approval of 2, for at most 4h'] });
  await signIn(page, as('ada'));
  const card = page.getByRole('listitem', { name: 'billing' });
  await card.getByRole('button', { name: 'Request access to billing' }).click();
  const form = page.getByRole('dialog', { name: 'Request access to billing' });
  assert.deepEqual(await form.getByLabel('For').locator('option').allTextContents(), ['15 min', '30 min', '1 h', '2 h', '4 h']);
  await form.getByRole('button', { name: 'Ask' }).click();
  await form.getByText('Say why.').waitFor();
  assert.deepEqual(changes(), [], 'nothing is asked without a reason');
  await form.getByLabel('Reason').fill('ticket 4711:\nthe invoices');
  await form.getByLabel('For').selectOption('2 h');
  await page.waitForTimeout(300);
  await shot(page, 'request-ask');
  await form.getByRole('button', { name: 'Ask' }).click();
  await page.getByText('waits for approval').waitFor();
  assert.deepEqual(changes(), [['/requests', { connection: 'billing', duration_seconds: 7_200, reason: 'ticket 4711: the invoices' }]]);
  await page.getByText(/^23 h 59 min left$/).waitFor();
  assert.equal(await page.getByRole('button', { name: 'Approve' }).count(), 0, 'nobody decides on their own');
  await shot(page, 'request-mine');
  await page.getByRole('link', { name: 'Connections' }).click();
  await card.getByRole('link', { name: 'Asked for' }).click();
  await page.getByRole('button', { name: 'Withdraw' }).click();
  await page.getByLabel('Reason').fill('no longer needed');
  await page.getByRole('dialog').getByRole('button', { name: 'Withdraw' }).click();
  await page.getByText('withdrawn').waitFor();
  assert.equal(await page.getByRole('button', { name: 'Withdraw' }).count(), 0);
});

test('an approver finds what waits, proves the second factor, and approves as the second of two', async () => {
  const { page } = here;
  await signIn(page, as('mary'), '/requests');
  await page.getByText('No request matches.').waitFor();
  await page.getByRole('tab', { name: 'To decide (3)' }).click();
  assert.match(page.url(), /\?view=decide$/);
  await shot(page, 'requests-to-decide');
  await page.getByRole('listitem', { name: 'linus on billing' }).filter({ hasText: '4711' }).click();
  await page.getByText('1 of 2 approvals').waitFor();
  await page.getByText('fine, as agreed').waitFor();
  await shot(page, 'request-to-decide');
  await page.getByRole('button', { name: 'Approve' }).click();
  await prove(page);
  await page.getByText('in force').waitFor();
  await page.getByText('2 of 2 approvals').waitFor();
  await page.getByText(/^1 h 59 min left$/).waitFor();
  await shot(page, 'request-approved');
  await page.getByRole('button', { name: 'Revoke' }).click();
  await page.getByLabel('Reason').fill('the wrong month');
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
  await page.getByText('the wrong month').waitFor();
});

test('a denial says why, and hostile words do nothing', async () => {
  const { page } = here;
  await signIn(page, as('mary'), HOSTILE);
  await page.getByText('\\u{202e}').waitFor();
  await page.getByRole('button', { name: 'Deny' }).click();
  await page.getByText('Say why.').waitFor();
  assert.deepEqual(changes(), []);
  await page.getByLabel('Note').fill('ask in words');
  await shot(page, 'request-hostile');
  await page.getByRole('button', { name: 'Deny' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
  await page.getByText('HOOP-2003').waitFor();
  await page.getByText('waits for approval').waitFor();
  await page.getByRole('button', { name: 'Deny' }).click();
  await prove(page);
  await page.getByText('denied', { exact: true }).first().waitFor();
  await page.getByText('ask in words').waitFor();
  assert.equal(await page.locator('img').count(), 0, 'no markup of a stranger in the page');
});

test('who approves one statement reads every character of it, the hidden ones too', async () => {
  const { page } = here;
  await signIn(page, as('mary'), '/requests/req_singlesinglesinglesinglesi');
  const statement = page.getByRole('region', { name: 'The statement' });
  await statement.getByText('In database finance, exactly as written.').waitFor();
  const text = await statement.getByLabel('Statement text').innerText();
  assert.match(text, /DELETE FROM invoices -- the second of the two\n {2}WHERE id = 4712\n/);
  assert.match(text, /\\u\{202e\} eslaf DNA \\u\{2066\}/, 'nothing reorders what others put their names to');
  await shot(page, 'request-of-one-statement');
});

test('somebody else was quicker: it is told, and what stands is the present state', async () => {
  const { page, mock } = here;
  mock.state.proven = true;
  await signIn(page, as('mary'), WAITS);
  await page.getByRole('button', { name: 'Approve' }).waitFor();
  const request = mock.state.requests.find((one) => WAITS.endsWith(one.id));
  Object.assign(request, { state: 'denied', decisions: [...request.decisions, { by: 'grace', approves: false, note: 'not now', at: new Date().toISOString() }] });
  await page.getByRole('button', { name: 'Approve' }).click();
  await page.getByRole('alert').getByText('HOOP-7006').waitFor();
  await page.getByText('Nothing was changed. This is how it stands now.').waitFor();
  await page.getByText('not now').waitFor();
  assert.equal(await page.getByRole('button', { name: 'Approve' }).count(), 0);
  await shot(page, 'request-overtaken');
});

test('what becomes of it is seen without a reload', async () => {
  const { page, mock } = here;
  const request = mock.state.requests.find((one) => WAITS.endsWith(one.id));
  await signIn(page, as('linus'), WAITS);
  await page.getByText('waits for approval').waitFor();
  Object.assign(request, { state: 'approved', ends_at: new Date(Date.now() + 3_000).toISOString() });
  await page.getByRole('button', { name: 'Copy Connect' }).waitFor();
  await page.getByText('no time left').waitFor();
  Object.assign(request, { state: 'expired', ended_at: new Date().toISOString(), end_reason: 'its time is over' });
  await page.getByText('its time is over').waitFor();
});

test('the list is narrowed in the address; who may see all sees all', async () => {
  const { page } = here;
  await signIn(page, as('linus'), '/requests?view=all&state=denied');
  await page.getByRole('listitem', { name: 'ada on billing' }).waitFor();
  assert.equal(await page.getByRole('main').getByRole('listitem').count(), 1);
  await page.getByLabel('State').selectOption('in force');
  await page.getByRole('listitem', { name: 'linus on clinic' }).waitFor();
  assert.match(page.url(), /\?view=all&state=approved$/);
  await page.getByLabel('State').selectOption('any');
  await page.getByRole('listitem', { name: 'new.person on billing' }).waitFor();
  await shot(page, 'requests-all');
});

test('whoever may not see a request is told that there is none', async () => {
  const { page } = here;
  await signIn(page, as('ada'), WAITS);
  await page.getByText('HOOP-7002').waitFor();
  await page.goto('/requests');
  await page.getByRole('listitem', { name: 'ada on billing' }).waitFor();
  assert.equal(await page.getByRole('tab', { name: 'All' }).count(), 0);
});

test('approving on a phone: large targets, nothing to scroll sideways', async () => {
  const page = await here.open({ ...PHONE, colorScheme: 'dark' });
  here.mock.state.proven = true;
  await page.goto(`${WAITS}`);
  await page.getByLabel('Name').fill('mary');
  await page.getByRole('textbox', { name: 'Password' }).fill(as('mary').password);
  await page.getByLabel('Six-digit code').fill(as('mary').code);
  await page.getByRole('button', { name: 'Sign in', exact: true }).tap();
  const approve = page.getByRole('button', { name: 'Approve' });
  await approve.waitFor();
  for (const name of ['Approve', 'Deny']) {
    const { width, height } = await page.getByRole('button', { name }).boundingBox();
    assert.ok(height >= 44 && width >= 120, `${name} is ${width} × ${height}`);
  }
  await staysNarrow(page);
  await page.screenshot({ path: new URL('../test-results/phone-request.png', import.meta.url).pathname, fullPage: true });
  await approve.tap();
  await page.getByText('in force').waitFor();
  await page.goto('/requests?view=decide');
  await page.getByRole('listitem', { name: 'new.person on billing' }).waitFor();
  await staysNarrow(page);
  await shot(page, 'phone-requests');
  await page.getByRole('listitem', { name: 'new.person on billing' }).tap();
  await page.getByText('\\u{202e}').waitFor();
  await staysNarrow(page);
});
