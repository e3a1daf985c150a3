/** Emergencies in a real browser against a gateway made of memory. As `mocked.test.mjs`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { shot, signIn } from './browser.mjs';
import { emergency } from './mock/requests.mjs';
import { as, PHONE, prove, staysNarrow, suite } from './suite.mjs';

const here = suite();
const FIRE = `/requests/${emergency('ada').id}`;
const changes = () => here.mock.state.calls.filter((call) => call.path !== '/auth/step-up').map(({ path, body }) => [path.replace(/req_\w+/, 'ID'), body]);
const banner = (page) => page.getByRole('region', { name: 'Emergencies' });
const over = (more) => ({ state: 'ended', ended_at: new Date().toISOString(), end_reason: 'mended', ...more });

test('the glass is broken: what will happen is said, the name typed, the second factor proven', async () => {
  const { page } = here;
  await signIn(page, as('ada'));
  await page.getByRole('button', { name: 'Break the glass to vault' }).click();
  const form = page.getByRole('dialog', { name: 'Break the glass to vault' });
  await form.getByRole('list', { name: 'What will happen' }).getByText('everybody concerned is told').waitFor();
  await form.getByLabel('Type vault to confirm').fill('clinic');
  await form.getByRole('button', { name: 'Break the glass' }).click();
  for (const words of ['Say why.', 'Name the incident.', 'Type vault.']) await form.getByText(words).waitFor();
  assert.deepEqual(changes(), []);
  await form.getByLabel('Reason').fill('the clinic cannot read its keys');
  await form.getByLabel('Incident').fill('INC-2041');
  await form.getByRole('button', { name: 'Break the glass' }).click();
  assert.deepEqual(changes(), [], 'another name opens nothing');
  await form.getByLabel('Type vault to confirm').fill('vault');
  await page.waitForTimeout(300);
  await shot(page, 'break-glass');
  await form.getByRole('button', { name: 'Break the glass' }).click();
  await prove(page);
  await banner(page).getByText('Your emergency on vault is in force').waitFor();
  await banner(page).getByText(/^59 min \d+ s left$/).waitFor();
  assert.deepEqual(changes().at(-1), ['/break-glass', { connection: 'vault', reason: 'the clinic cannot read its keys', incident: 'INC-2041' }]);
  assert.equal(await page.getByRole('button', { name: 'Extend' }).count(), 0, 'nobody extends their own');
  await shot(page, 'emergency-mine');
  await page.getByRole('link', { name: 'Connections' }).click();
  await page.getByRole('link', { name: 'Your emergency' }).click();
  await page.getByRole('button', { name: 'End now' }).click();
  await page.getByLabel('Reason').fill('mended');
  await page.getByRole('dialog').getByRole('button', { name: 'End now' }).click();
  await banner(page).getByText('waits for somebody else’s review').waitFor();
  assert.equal(await page.getByRole('button', { name: 'Close the review' }).count(), 0, 'nobody reviews their own');
  await page.getByRole('link', { name: 'Connections' }).click();
  await page.getByRole('button', { name: 'Break the glass to vault' }).click();
  await form.getByLabel('Reason').fill('again');
  await form.getByLabel('Incident').fill('INC-2042');
  await form.getByLabel('Type vault to confirm').fill('vault');
  await form.getByRole('button', { name: 'Break the glass' }).click();
  await form.getByText('HOOP-2022').waitFor();
});

test('without the second factor nothing is opened', async () => {
  const { page } = here;
  await signIn(page, as('ada'));
  await page.getByRole('button', { name: 'Break the glass to vault' }).click();
  const form = page.getByRole('dialog', { name: 'Break the glass to vault' });
  await form.getByLabel('Reason').fill('a try');
  await form.getByLabel('Incident').fill('none');
  await form.getByLabel('Type vault to confirm').fill('vault');
  await form.getByRole('button', { name: 'Break the glass' }).click();
  await page.getByRole('dialog', { name: 'Your second factor, please' }).getByRole('button', { name: 'Cancel' }).click();
  await form.getByText('HOOP-2003').waitFor();
  assert.equal(await banner(page).count(), 0);
});

test('an admin sees it on every page as it happens, extends it, ends it, and closes the review', async () => {
  const { page, mock } = here;
  await page.clock.install();
  await signIn(page, as('grace'), '/agents');
  await page.getByRole('table', { name: 'Agents' }).waitFor();
  assert.equal(await banner(page).count(), 0);
  mock.state.requests.unshift(emergency('ada'));
  mock.state.proven = true;
  await page.clock.runFor(16_000);
  await banner(page).getByText('ada has broken the glass to vault.').waitFor();
  await shot(page, 'emergency-banner');
  await page.getByRole('link', { name: 'Audit' }).click();
  await page.getByRole('heading', { name: 'Audit' }).waitFor();
  await banner(page).getByRole('link', { name: 'Look at it' }).click();
  await page.getByText('INC-2041').waitFor();
  await page.getByLabel('By').selectOption('30 min');
  await page.getByRole('button', { name: 'Extend' }).click();
  await page.getByText('Let go on by').waitFor();
  assert.deepEqual(changes(), [['/requests/ID/extend', { seconds: 1_800 }]]);
  await banner(page).getByText(/^1 h 29 min left$/).waitFor();
  await shot(page, 'emergency-admin');
  await page.getByRole('button', { name: 'End now' }).click();
  await page.getByLabel('Reason').fill('it is mended');
  await page.getByRole('dialog').getByRole('button', { name: 'End now' }).click();
  await banner(page).getByText('The emergency of ada on vault waits for its review.').waitFor();
  await page.getByRole('button', { name: 'Close the review' }).click();
  await page.getByText('Say what you found.').waitFor();
  await page.getByLabel('Finding').fill('read two keys,\nas the incident asked');
  await shot(page, 'emergency-review');
  await page.getByRole('button', { name: 'Close the review' }).click();
  await banner(page).waitFor({ state: 'detached' });
  await page.getByText('read two keys, as the incident asked').waitFor();
  assert.deepEqual(changes().at(-1), ['/requests/ID/review', { finding: 'read two keys, as the incident asked' }]);
});

test('an emergency that ends elsewhere turns into a review due by itself', async () => {
  const { page, mock } = here;
  const request = emergency('ada');
  mock.state.requests.unshift(request);
  await page.clock.install();
  await signIn(page, as('grace'), '/connections');
  await banner(page).getByText('ada has broken the glass').waitFor();
  Object.assign(request, over());
  await page.clock.runFor(16_000);
  await banner(page).getByRole('link', { name: 'Review it' }).click();
  await page.getByLabel('Finding').waitFor();
  request.review = { by: 'linus', at: new Date().toISOString(), finding: 'elsewhere' };
  await page.clock.runFor(16_000);
  await banner(page).waitFor({ state: 'detached' });
});

test('a page that nobody touches asks for nothing more, so that its sign-in can end', async () => {
  const { page } = here;
  await page.clock.install();
  await signIn(page, as('grace'), '/audit');
  await page.getByRole('table', { name: 'Events' }).waitFor();
  const asked = [];
  page.on('request', (request) => asked.push(request.url()));
  await page.clock.runFor(20_000);
  assert.ok(asked.length > 0, 'while somebody is there it asks');
  await page.clock.fastForward(6 * 60_000);
  asked.length = 0;
  await page.clock.runFor(60_000);
  assert.deepEqual(asked, []);
  await page.keyboard.press('Tab');
  const again = page.waitForRequest(/unreviewed=true/);
  await page.clock.runFor(20_000);
  await again;
});

test('who has no part in it sees no banner; many are counted', async () => {
  const { page, mock } = here;
  mock.state.requests.unshift(emergency('grace'));
  await signIn(page, as('ada'));
  await page.getByRole('listitem', { name: 'vault' }).waitFor();
  await page.getByRole('link', { name: 'Requests' }).click();
  await page.getByRole('listitem', { name: 'ada on billing' }).waitFor();
  assert.equal(await banner(page).count(), 0);
  const more = ['ada', 'bob', 'eve', 'mallory'].map((name) => ({ ...emergency(name, over()), id: `req_${name}` }));
  mock.state.requests.unshift(...more);
  const other = await here.open();
  await signIn(other, as('linus'), '/requests?view=emergencies&state=unreviewed');
  await other.getByRole('listitem', { name: 'mallory on vault' }).waitFor();
  await banner(other).getByRole('link', { name: '2 more' }).waitFor();
  await banner(other).getByText('grace has broken the glass to vault.').waitFor();
  assert.equal(await banner(other).getByRole('link', { name: 'Review it' }).count(), 0, 'an auditor reviews nothing');
  await shot(other, 'emergencies');
});

test('on a phone, in the dark', async () => {
  here.mock.state.requests.unshift(emergency('ada'), { ...emergency('mary', over()), id: 'req_other' });
  const page = await here.open({ ...PHONE, colorScheme: 'dark' });
  await page.goto(FIRE);
  await page.getByLabel('Name').fill('grace');
  await page.getByRole('textbox', { name: 'Password' }).fill(as('grace').password);
  await page.getByLabel('Six-digit code').fill(as('grace').code);
  await page.getByRole('button', { name: 'Sign in', exact: true }).tap();
  await page.getByRole('button', { name: 'End now' }).waitFor();
  await staysNarrow(page);
  await page.screenshot({ path: new URL('../test-results/phone-emergency.png', import.meta.url).pathname, fullPage: true });
  await page.goto('/connections');
  await page.getByRole('button', { name: 'Break the glass to vault' }).tap();
  await page.getByLabel('Incident').waitFor();
  await page.waitForTimeout(300);
  await shot(page, 'phone-break-glass');
  await staysNarrow(page);
});
