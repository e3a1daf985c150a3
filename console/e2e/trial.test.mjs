/** Tests of trying rules on statements, against a gateway made of memory. As `mocked.test.mjs`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { shot, signIn } from './browser.mjs';
import { as, PHONE, staysNarrow, suite } from './suite.mjs';

const here = suite();
const PAST = '/sessions/ses_pastpastpastpastpastpastp';
const STATEMENTS = '    statements: [{"name":"no-changes","action":"deny","classes":["write"]},{"name":"read","action":"allow","classes":["read"]}]\n';

const editor = (page) => page.getByRole('textbox', { name: 'Rules as YAML' });
const panel = (page) => page.getByRole('region', { name: 'Try it' });
const outcome = (page) => page.getByRole('status', { name: 'What would become of it' });
const table = (page) => page.getByRole('table', { name: 'Then and now' });
/** With statement rules for the first access rule. */
const restrict = async (page) => {
  const text = await editor(page).inputValue();
  await editor(page).fill(text.replace('    limits: {"duration":"8h"', `${STATEMENTS}    limits: {"duration":"8h"`));
};
const changes = () => here.mock.state.calls.filter(({ path }) => path !== '/rules/try');

test('a statement is tried as it is typed, by the rules as they are typed', async () => {
  const { page } = here;
  await signIn(page, as('grace'), '/rules?view=text');
  await panel(page).getByRole('textbox', { name: 'Statement' }).fill("update clinic.notes set text = 'secret'");
  await outcome(page).getByText('It would run: dba-prod has no statement rules').waitFor();
  await restrict(page);
  await outcome(page).getByText('It would be refused').waitFor();
  await outcome(page).getByText('statement rule no-changes does not allow this statement (write) HOOP-2030').waitFor();
  await outcome(page).getByText('refused by no-changes').waitFor();
  await outcome(page).getByText('clinic.notes').first().waitFor();
  await outcome(page).getByText('none that names a column: may change every row').waitFor();
  await page.getByText('2 statement rules').waitFor();
  await shot(page, 'trial');
  await panel(page).getByRole('textbox', { name: 'Statement' }).fill('select 1; select unheard_of(2)');
  await outcome(page).getByText('Statement 2 of 2: allowed by read').waitFor();
  await outcome(page).getByText('unheard_of: not known').waitFor();
  await panel(page).getByRole('textbox', { name: 'Statement' }).fill('truncate clinic.notes');
  await outcome(page).getByText('refused: no statement rule fits').waitFor();
  await outcome(page).getByText('read: the statement may do more than its classes').waitFor();
  await shot(page, 'trial-none-fits');
  await panel(page).getByRole('combobox', { name: 'Access rule' }).click();
  await page.getByRole('option', { name: 'fire' }).click();
  await outcome(page).getByText('It would run: in emergencies any statement may').waitFor();
  assert.deepEqual(changes(), [], 'trying changes nothing');
});

test('a mistake in the rules is shown at its line without being asked for, and nothing is decided by them', async () => {
  const { page } = here;
  await signIn(page, as('grace'), '/rules?view=text');
  await panel(page).getByRole('textbox', { name: 'Statement' }).fill('select 1');
  await outcome(page).getByText('It would run').waitFor();
  const before = await editor(page).inputValue();
  await editor(page).fill(before.replace('"max_age":"15m"', '"max_agee":"15m"'));
  await page.getByText('Line 12, column 26').waitFor();
  await outcome(page).getByText('It would run').waitFor({ state: 'detached' });
  assert.equal(await panel(page).getByRole('combobox', { name: 'Access rule' }).isDisabled(), true);
  await editor(page).fill(before);
  await outcome(page).getByText('It would run').waitFor();
  assert.equal(await page.getByText('Line 12, column 26').count(), 0);
});

test('statements of a session: what differs comes first, and nothing of them is kept', async () => {
  const { page } = here;
  await signIn(page, as('grace'), PAST);
  await page.getByRole('button', { name: 'Try with other rules' }).click();
  await page.getByText('Each would be decided as it was.').waitFor();
  await page.getByRole('region', { name: 'Statements of a session' }).getByText('Held against dba-prod').waitFor();
  await restrict(page);
  await page.getByText('1 statement that ran would be refused.').waitFor();
  const rows = table(page).getByRole('row');
  await rows.nth(1).getByText('refused by no-changes').waitFor();
  assert.match(await rows.nth(1).textContent(), /^UPDATE patients SET email = .*ran/);
  assert.equal(await rows.filter({ hasText: 'START_REPLICATION' }).getByText('refused, for another reason').count(), 1);
  assert.equal(await rows.filter({ hasText: '<img src=x' }).count(), 1, 'foreign text is text');
  await table(page).scrollIntoViewIfNeeded();
  await shot(page, 'trial-session');
  await page.getByRole('button', { name: 'Look at statement 1' }).click();
  await outcome(page).getByText('refused by no-changes').waitFor();
  assert.match(await panel(page).getByRole('textbox', { name: 'Statement' }).inputValue(), /^UPDATE patients/);
  await page.getByRole('tab', { name: 'History' }).click();
  await page.getByRole('tab', { name: /^Text/ }).click();
  await page.getByText('1 statement that ran would be refused.').waitFor();
  const stored = await page.evaluate(() => JSON.stringify([{ ...sessionStorage }, { ...localStorage }, location.href]));
  assert.doesNotMatch(stored, /UPDATE|patients/);
  await page.reload();
  await page.getByText('The session’s statements are not here any more').waitFor();
  await page.getByRole('link', { name: 'Take them from its replay again' }).click();
  await page.getByRole('button', { name: 'Try with other rules' }).click();
  await table(page).waitFor();
  await page.getByRole('button', { name: 'Put them away' }).click();
  await table(page).waitFor({ state: 'detached' });
  assert.doesNotMatch(page.url(), /session=/);
  assert.deepEqual(changes(), []);
});

test('auditors try what is in force', async () => {
  const { page } = here;
  await signIn(page, as('linus'), PAST);
  await page.getByRole('button', { name: 'Try with other rules' }).click();
  await table(page).waitFor();
  assert.equal(await editor(page).isEditable(), false);
  await panel(page).getByRole('textbox', { name: 'Statement' }).fill('drop table a');
  await outcome(page).getByText('not understood, or it runs code that is not in its text').waitFor();
});

test('on a phone in the dark nothing scrolls sideways but lists', async () => {
  const phone = await here.open({ ...PHONE, colorScheme: 'dark' });
  await signIn(phone, as('grace'), PAST);
  await phone.getByRole('button', { name: 'Try with other rules' }).click();
  await restrict(phone);
  await phone.getByText('1 statement that ran would be refused.').waitFor();
  await phone.getByRole('button', { name: 'Look at statement 1' }).click();
  await outcome(phone).getByText('refused by no-changes').waitFor();
  await staysNarrow(phone);
  await shot(phone, 'phone-trial');
  await table(phone).scrollIntoViewIfNeeded();
  await shot(phone, 'phone-trial-session');
  await phone.setViewportSize({ width: 1280, height: 860 });
  await phone.evaluate(() => scrollTo(0, 0));
  await shot(phone, 'dark-trial');
});

test('a sample is masked as it is typed', async () => {
  const { page } = here;
  await signIn(page, as('grace'), '/rules?view=text');
  const preview = page.getByRole('region', { name: 'Masking preview' });
  const seen = page.getByRole('status', { name: 'What would be seen of it' });
  await preview.getByLabel('Sample value').fill('SSN 123-45-6789 <b>');
  await seen.getByText('SSN [ssn] <b>').waitFor();
  await seen.getByText('Found by detectors: 1 ssn').waitFor();
  await preview.getByLabel('Column').fill('clinic.scans.photo');
  await seen.getByText('By the rule for *.photo').waitFor();
  await seen.getByText('NULL').waitFor();
  await shot(page, 'masking-preview');
});
