/** What each suite against the mocked gateway needs: a browser for all, a fresh gateway and page for each test. */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach } from 'node:test';

import { launch, openPage } from './browser.mjs';
import { PASSWORD, SECRET } from './mock/data.mjs';
import { startMock } from './mock/server.mjs';
import { totp } from './totp.mjs';

/** As whom to sign in. */
export const as = (name) => ({ name, password: PASSWORD, code: totp(SECRET) });

export const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };

/** Registers the hooks; `page` and `mock` are those of the running test. */
export function suite() {
  const here = {};
  const complaints = [];
  /** Another page in a profile of its own, such as somebody else's phone. */
  here.open = async (options) => {
    const opened = await openPage(here.browser, here.mock.url, options);
    here.contexts.push(opened.context);
    complaints.push(opened.complaints);
    return opened.page;
  };
  before(async () => {
    here.browser = await launch();
  });
  after(async () => {
    await here.browser?.close();
  });
  beforeEach(async () => {
    here.contexts = [];
    complaints.length = 0;
    here.mock = await startMock();
    here.page = await here.open();
  });
  afterEach(async () => {
    for (const context of here.contexts) await context.close();
    await here.mock.stop();
    assert.deepEqual(complaints.flat(), [], 'no script error and no policy violation');
  });
  return here;
}

export async function staysNarrow(page) {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
  assert.equal(wide, false, 'the page itself does not scroll sideways');
}

/** Answers the dialog that asks for the second factor. */
export async function prove(page) {
  const dialog = page.getByRole('dialog', { name: 'Your second factor, please' });
  await dialog.getByLabel('Six-digit code').fill('123456');
  await dialog.getByRole('button', { name: 'Go on' }).click();
  await dialog.waitFor({ state: 'detached' });
}
