/** What a terminal on a page shows. */
import assert from 'node:assert/strict';

/** Line by line. */
const screen = (page) =>
  page.evaluate(() => [...document.querySelectorAll('.xterm-rows > div')].map((row) => row.textContent.replaceAll('\u00a0', ' ').trimEnd()).join('\n'));

/** Waits until it holds of what is shown. */
export async function until(page, what, holds, patience = 8_000) {
  for (const end = Date.now() + patience; Date.now() < end; ) {
    if (holds(await screen(page))) return;
    await page.waitForFunction(() => new Promise((done) => requestAnimationFrame(() => done(true))));
  }
  assert.fail(`${what} is not on the screen:\n${await screen(page)}`);
}

export const shows = (page, text, patience) => until(page, text, (shown) => shown.includes(text), patience);
