/**
 * Passkeys with Chromium's own WebAuthn and a virtual authenticator, against a real gateway: registered by an admin, used
 * to sign in and to step up, also for a command line, and worth nothing once removed. Registers its tests for
 * `real.test.mjs`, with whose page of an admin it works.
 */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { openPage, shot } from './browser.mjs';
import { demo, hoop } from './demo.mjs';

/** Its own in each run, should the gateway be one that was here before. */
const NAME = `e2e <b>ключ</b> ${Date.now()}`;
const BY_PASSKEY = { name: 'Sign in with a passkey' };

/** A phone or a laptop that knows its holder, as far as this page can tell. */
async function authenticator(page) {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send('WebAuthn.enable');
  const { authenticatorId } = await cdp.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2',
      transport: 'internal',
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true,
    },
  });
  return {
    verifies: (isUserVerified) => cdp.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified }),
    credentials: async () => (await cdp.send('WebAuthn.getCredentials', { authenticatorId })).credentials,
    give: (credential) => cdp.send('WebAuthn.addCredential', { authenticatorId, credential }),
  };
}

/** The gateway says once that the second factor is too old, as it would after some minutes. */
async function stale(page, path) {
  let asked = false;
  await page.route(`**/api/v1${path}`, async (route) => {
    if (asked || route.request().method() !== 'POST') return route.continue();
    asked = true;
    await route.fulfill({ status: 403, json: { code: 'HOOP-2003', message: 'the second factor is too old' } });
  });
}

async function signOut(page) {
  await page.getByRole('button', { name: /^Signed in as/ }).click();
  await page.getByRole('menuitem', { name: 'Sign out' }).click();
  await page.getByRole('button', BY_PASSKEY).waitFor();
}

async function stepUpByPasskey(page) {
  const dialog = page.getByRole('dialog', { name: 'Your second factor, please' });
  const proven = page.waitForResponse((response) => response.url().endsWith('/auth/step-up/passkey'));
  await dialog.getByRole('button', { name: 'Use a passkey' }).click();
  assert.equal((await proven).status(), 200);
  await dialog.waitFor({ state: 'detached' });
}

export function passkeyTests({ url, browser, page, skip }) {
  const options = { skip, timeout: 120_000 };
  let own;
  let device;
  const running = [];
  after(async () => {
    running.forEach((program) => program.stop());
    await own?.context.close();
  });

  test('a passkey is registered, and shown by its name', options, async () => {
    const admin = page();
    const hers = await authenticator(admin);
    await admin.goto('/account');
    await admin.getByLabel('Name of a new passkey').fill(NAME);
    await admin.getByRole('button', { name: 'Add a passkey' }).click();
    const row = admin.getByRole('table', { name: 'My passkeys' }).getByRole('row').filter({ hasText: NAME });
    await row.getByText('never').waitFor();
    await shot(admin, 'real-passkeys');
    const [credential] = await hers.credentials();
    assert.equal(credential.isResidentCredential, true);
    assert.equal(credential.rpId, new URL(url).hostname);
    // The same device once more has nothing to add.
    await admin.getByLabel('Name of a new passkey').fill('again');
    await admin.getByRole('button', { name: 'Add a passkey' }).click();
    await admin.getByText('has a passkey of yours already').waitFor();
    // From here on it is in another browser, as a synchronised one is.
    own = await openPage(browser(), url, { ignoreHTTPSErrors: true });
    device = await authenticator(own.page);
    await device.give(credential);
  });

  test('one signs in with it alone, signs out, and in again', options, async () => {
    const { page: mine } = own;
    for (const again of [true, false]) {
      await mine.goto('/account');
      await mine.getByRole('button', BY_PASSKEY).click();
      await mine.getByRole('table', { name: 'My sign-ins' }).waitFor();
      const me = await (await mine.request.get('/api/v1/whoami')).json();
      assert.deepEqual([me.method, me.mfa_by], ['passkey', 'passkey']);
      if (!again) break;
      await signOut(mine);
    }
    await shot(mine, 'real-passkey-signed-in');
  });

  test('a change that wants a fresh factor takes the passkey', options, async () => {
    const { page: mine } = own;
    await mine.goto('/account');
    await stale(mine, '/me/recovery-codes');
    await mine.getByRole('button', { name: 'Make new ones' }).click();
    await mine.getByRole('dialog', { name: 'Your second factor, please' }).waitFor();
    await shot(mine, 'real-passkey-step-up');
    await stepUpByPasskey(mine);
    await mine.getByText('10 are left').waitFor();
  });

  const wantsDemo = { ...options, skip: skip || (demo ? false : 'HOOP_E2E_DEMO is not set') };
  test('a command line’s step-up takes it too', wantsDemo, async () => {
    const { page: mine } = own;
    const admin = demo.people.find((person) => person.role === 'admin');
    const command = hoop(admin, 'step-up', '--browser');
    running.push(command);
    const [, code] = await command.says(/step-up\?code=([A-Z0-9-]+)/);
    await stale(mine, '/auth/step-up/approve');
    await mine.goto(`/step-up?code=${code}`);
    await mine.getByRole('button', { name: 'Allow' }).click();
    await stepUpByPasskey(mine);
    await mine.getByText('Proven.').waitFor();
    const ended = await command.ended();
    assert.equal(ended.code, 0, ended.said);
    const who = await hoop(admin, 'whoami').ended();
    assert.match(who.said, /ago \(passkey\)/);
  });

  test('a device that does not know its holder proves nothing, nor does a passkey that was removed', options, async () => {
    const { page: mine } = own;
    await mine.goto('/account');
    await signOut(mine);
    await device.verifies(false);
    await mine.getByRole('button', BY_PASSKEY).click();
    await mine.getByText('No passkey was used').waitFor();
    await device.verifies(true);
    const admin = page();
    await admin.goto('/account');
    await admin.getByRole('button', { name: `Remove ${NAME}` }).click();
    await admin.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
    await admin.getByRole('row').filter({ hasText: NAME }).waitFor({ state: 'detached' });
    await mine.getByRole('button', BY_PASSKEY).click();
    await mine.getByText('HOOP-3071').waitFor();
    await shot(mine, 'real-passkey-removed');
    assert.deepEqual(own.complaints, [], 'no script error and no policy violation');
  });
}
