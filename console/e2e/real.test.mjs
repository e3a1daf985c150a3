/**
 * The same console against a real gateway: sign in with the second factor, see the connections, replay and verify a
 * recorded session, end a live one. Runs only when told where:
 *
 *   HOOP_E2E_URL           the gateway, such as https://localhost:8443
 *   HOOP_E2E_USER          name of an admin
 *   HOOP_E2E_PASSWORD      their password
 *   HOOP_E2E_TOTP_SECRET   base32 secret of their authenticator
 *   HOOP_E2E_CONNECTION    (optional) a connection that must be listed
 *   HOOP_E2E_STATEMENT     (optional) text that must stand in the replay of the newest past session
 *   HOOP_E2E_RESULT        (optional) text that must stand in its answer
 *   HOOP_E2E_KILL          (optional) `1`: a session is live, and may be killed
 *   HOOP_E2E_DEMO          (optional) what `cargo xtask demo --json` printed: access is asked for, approved and ended there
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';

import { launch, openPage, shot, signIn } from './browser.mjs';
import { accessTests } from './real-access.mjs';
import { passkeyTests } from './real-passkeys.mjs';
import { terminalTests } from './real-terminal.mjs';
import { trialTests } from './real-trial.mjs';
import { totp } from './totp.mjs';

const env = process.env;
const url = env.HOOP_E2E_URL;
const skip = url ? false : 'HOOP_E2E_URL is not set';

let browser;
let page;
let complaints;

before(async () => {
  if (skip) return;
  browser = await launch();
  // One sign-in for all: a code is good once.
  ({ page, complaints } = await openPage(browser, url, { ignoreHTTPSErrors: true }));
  const code = totp(env.HOOP_E2E_TOTP_SECRET);
  await signIn(page, { name: env.HOOP_E2E_USER, password: env.HOOP_E2E_PASSWORD, code });
});
afterEach(() => {
  assert.deepEqual(complaints, [], 'no script error and no policy violation');
});
after(async () => {
  await browser?.close();
});

// First: what they change wants the factor of the sign-in.
passkeyTests({ url, browser: () => browser, page: () => page, skip });

test('the connections are listed, with what to paste', { skip }, async () => {
  await page.goto('/connections');
  const card = env.HOOP_E2E_CONNECTION
    ? page.getByRole('listitem', { name: env.HOOP_E2E_CONNECTION, exact: true })
    : page.getByRole('main').getByRole('listitem').first();
  await card.waitFor();
  await card.getByText(/hoop connect /).first().waitFor();
  await shot(page, 'real-connections');
});

test('a past session is replayed and verified', { skip }, async () => {
  await page.goto('/sessions?state=past');
  await page.getByRole('table', { name: 'Past sessions' }).getByRole('link').first().click();
  await page.getByRole('listbox', { name: 'Statements' }).waitFor();
  await page.getByRole('region', { name: 'Statement' }).waitFor();
  if (env.HOOP_E2E_STATEMENT) {
    await page.getByRole('option').filter({ hasText: env.HOOP_E2E_STATEMENT }).first().click();
    await page.getByLabel('Statement text').filter({ hasText: env.HOOP_E2E_STATEMENT }).waitFor();
    if (env.HOOP_E2E_RESULT) await page.getByRole('region', { name: 'Statement' }).getByText(env.HOOP_E2E_RESULT).first().waitFor();
  }
  await shot(page, 'real-replay');
  await page.getByRole('button', { name: 'Verify' }).click();
  await page.getByText('Nothing was found').waitFor();
  await shot(page, 'real-verified');
});

trialTests({ page: () => page, skip, statement: env.HOOP_E2E_STATEMENT });

test('the ledger is whole, and has events', { skip }, async () => {
  await page.goto('/audit');
  await page.getByRole('table', { name: 'Events' }).waitFor();
  await page.getByRole('button', { name: 'Verify' }).click();
  await page.getByText('Nothing was found').waitFor();
  await shot(page, 'real-audit');
});

test('people, agents and sign-ins are shown', { skip }, async () => {
  for (const [path, table] of [
    ['/people', 'People'],
    ['/agents', 'Agents'],
    ['/account', 'My sign-ins'],
  ]) {
    await page.goto(path);
    await page.getByRole('table', { name: table }).waitFor();
    await shot(page, `real${path.replace('/', '-')}`);
  }
});

test('a live session is followed, and killed', { skip: skip || (env.HOOP_E2E_KILL === '1' ? false : 'HOOP_E2E_KILL is not 1') }, async () => {
  await page.goto('/sessions');
  await page.getByRole('table', { name: 'Live sessions' }).getByRole('link').first().click();
  await page.getByText('following live').waitFor();
  await shot(page, 'real-live');
  await page.getByRole('button', { name: /^Kill the session/ }).click();
  await page.getByLabel('Reason').fill('console test');
  await page.keyboard.press('Enter');
  await page.getByText(/ended|ending|interrupted/).first().waitFor();
});

terminalTests({ page: () => page, skip });

accessTests({ url, browser: () => browser, page: () => page, skip });
