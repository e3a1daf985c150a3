/** Tests of connections, service accounts and ways in, against a gateway made of memory. As `mocked.test.mjs`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { shot, signIn } from './browser.mjs';
import { as, PHONE, prove, staysNarrow, suite } from './suite.mjs';

const here = suite();
const calls = () => here.mock.state.calls.map(({ method, path }) => `${method} ${path}`);

test('a connection is tested from its card: what works with its times, what fails with its step', async () => {
  const { page } = here;
  await signIn(page, as('grace'));
  await page.getByLabel('Also those I may not open').check();
  await page.getByRole('button', { name: 'Test clinic', exact: true }).click();
  const dialog = page.getByRole('dialog', { name: 'Test clinic', exact: true });
  await dialog.getByText('PostgreSQL 18.1').waitFor();
  assert.deepEqual(await dialog.getByRole('row').locator('td:last-child').allTextContents(), ['0.1 ms', '1.2 ms', '8.4 ms', '31 ms', '0.9 ms']);
  await dialog.getByText('TLSv1.3').waitFor();
  await page.waitForTimeout(300);
  await shot(page, 'connection-test');
  await dialog.getByRole('button', { name: 'Test again' }).click();
  await dialog.getByText('It works').waitFor();
  await dialog.getByRole('button', { name: 'Done' }).click();
  assert.deepEqual(calls(), ['POST /connections/clinic/test', 'POST /connections/clinic/test']);
  await page.getByRole('button', { name: 'Test billing' }).click();
  const failed = page.getByRole('dialog', { name: 'Test billing' });
  await failed.getByText('HOOP-5007').waitFor();
  await failed.getByText('refused the credential of this connection <b>x</b>').waitFor();
  await failed.getByRole('row', { name: 'log in failed' }).waitFor();
  await page.waitForTimeout(300);
  await shot(page, 'connection-test-failed');
  await failed.getByRole('button', { name: 'Done' }).click();
  await page.getByRole('button', { name: 'Test clinic-replica' }).click();
  await page.getByRole('dialog').getByText('HOOP-4002').waitFor();
});

test('personal data is found, confirmed column by column, and becomes a part of a rule', async () => {
  const { page } = here;
  await signIn(page, as('grace'));
  await page.getByRole('button', { name: 'Find personal data in clinic', exact: true }).click();
  await prove(page);
  const dialog = page.getByRole('dialog', { name: 'Personal data in clinic' });
  await dialog.getByText('3 of 34 columns seem to hold personal data. There is more').waitFor();
  const rule = dialog.locator('code');
  assert.equal(await rule.textContent(), 'masking:\n  columns:\n    - {kind: birth_date, columns: ["public.patients.birth_date"]}\n    - {kind: ssn, columns: ["public.patients.ssn"]}');
  await dialog.getByLabel('public.patients.remarks<b>').check();
  await dialog.getByLabel('public.patients.birth_date').uncheck();
  assert.equal(await rule.textContent(), 'masking:\n  columns:\n    - {kind: phone, columns: ["public.patients.remarks<b>"]}\n    - {kind: ssn, columns: ["public.patients.ssn"]}');
  await page.waitForTimeout(300);
  await shot(page, 'connection-scan');
  const phone = await here.open(PHONE);
  await signIn(phone, as('grace'));
  await phone.getByRole('button', { name: 'Find personal data in clinic', exact: true }).click();
  await phone.getByRole('dialog', { name: 'Personal data in clinic' }).getByText('3 of 34 columns').waitFor();
  await phone.waitForTimeout(300);
  await staysNarrow(phone);
  await shot(phone, 'connection-scan-phone');
});

test('only admins test a connection', async () => {
  const { page } = here;
  for (const name of ['ada', 'linus', 'robin']) {
    await signIn(page, as(name));
    await page.getByRole('heading', { name: 'Connections' }).waitFor();
    assert.equal(await page.getByRole('button', { name: /^Test / }).count(), 0, name);
    here.mock.state.cookies.clear();
  }
});

test('service accounts: added, a token made and shown once, revoked, locked', async () => {
  const { page, mock } = here;
  await signIn(page, as('grace'), '/people');
  await page.getByRole('tab', { name: 'Service accounts' }).click();
  const table = page.getByRole('table', { name: 'Service accounts' });
  await table.getByText('siem').waitFor();
  await page.getByRole('button', { name: 'Add a service account' }).click();
  const form = page.getByRole('dialog', { name: 'Add a service account' });
  await form.getByLabel('Name').fill('not a name');
  await form.getByRole('button', { name: 'Add' }).click();
  assert.deepEqual(calls(), []);
  await form.getByLabel('Name').fill('backup');
  await form.getByRole('button', { name: 'Add' }).click();
  await table.getByRole('link', { name: 'backup' }).waitFor();
  await shot(page, 'service-accounts');
  await table.getByRole('link', { name: 'ci' }).click();
  const tokens = page.getByRole('table', { name: 'API tokens' });
  await tokens.getByText('nightly').waitFor();
  assert.equal(await tokens.getByRole('button').count(), 1, 'what is revoked is not revoked again');
  await page.getByRole('button', { name: 'New token' }).click();
  const made = page.getByRole('dialog', { name: 'New token for ci' });
  await made.getByLabel('Name').fill('weekly');
  await made.getByRole('combobox', { name: 'Scope' }).click();
  assert.equal(await page.getByRole('option', { name: /evidence/ }).count(), 0, 'evidence is for auditors');
  await page.keyboard.press('Escape');
  await made.getByRole('button', { name: 'Make' }).click();
  await prove(page);
  await page.getByText(/^hoop_sa_k+$/).waitFor();
  await shot(page, 'api-token');
  await page.getByRole('button', { name: 'Done' }).click();
  await tokens.getByText('weekly').waitFor();
  assert.equal(await page.getByText(/hoop_sa_k/).count(), 0, 'once');
  await tokens.getByRole('button', { name: 'Revoke weekly' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
  await tokens.getByRole('row', { name: /weekly.*revoked/ }).waitFor();
  await shot(page, 'api-tokens');
  await page.goto('/people?view=services');
  await table.getByRole('button', { name: 'Lock ci' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Lock' }).click();
  await table.getByRole('button', { name: 'Unlock ci' }).waitFor();
  assert.equal(mock.state.services[0].locked, true);
});

test('ways in: who holds them, no code, taken back', async () => {
  const { page } = here;
  await signIn(page, as('grace'), '/ways-in');
  const codes = page.getByRole('table', { name: 'Sealed codes' });
  await codes.getByText('ben, cat (used), dan').waitFor();
  await codes.getByText('2 of 3').waitFor();
  await shot(page, 'ways-in');
  await codes.getByRole('button').click();
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
  await codes.getByText('revoked').waitFor();
  const held = page.getByRole('table', { name: 'Without the gateway' });
  await held.getByRole('button', { name: 'Revoke that of ada for clinic' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
  await held.getByText('revoked').waitFor();
  assert.deepEqual(calls(), ['DELETE /sealed-codes/cds_1', 'POST /capabilities/cap_1/revoke']);
});

test('auditors look and change nothing; a phone does not scroll sideways', async () => {
  const phone = await here.open(PHONE);
  await signIn(phone, as('linus'), '/ways-in');
  await phone.getByText('ben, cat (used), dan').waitFor();
  assert.equal(await phone.getByRole('button', { name: /Revoke/ }).count(), 0);
  await staysNarrow(phone);
  await phone.goto('/people/services/ci');
  await phone.getByText('nightly').waitFor();
  assert.equal(await phone.getByRole('button', { name: /Revoke|New token/ }).count(), 0);
  await staysNarrow(phone);
  await shot(phone, 'service-account-phone');
});
