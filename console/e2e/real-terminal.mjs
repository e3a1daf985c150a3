/** A terminal on a real host: worked in on the page, and replayed. Registers its tests for `real.test.mjs`, with whose page it works. */
import { test } from 'node:test';

import { shot } from './browser.mjs';
import { demo } from './demo.mjs';
import { shows, until } from './screen.mjs';

const HOST = 'demo-ssh';
const PATIENCE = 30_000;

export function terminalTests({ page, skip }) {
  const missing = demo?.connections.includes(HOST) ? false : `there is no ${HOST}`;

  test('a terminal on a real host is worked in, and replayed with its commands', { skip: skip || missing, timeout: 120_000 }, async () => {
    const on = page();
    await on.goto('/connections');
    await on.getByRole('link', { name: `Open a terminal on ${HOST}` }).click();
    await on.getByText('connected', { exact: true }).waitFor();
    await until(on, 'the prompt', (shown) => /[$#]\s*$/.test(shown.trimEnd()), PATIENCE);
    await on.keyboard.type('echo "<b>$((40 + 2))</b>"');
    await on.keyboard.press('Enter');
    await shows(on, '<b>42</b>', PATIENCE);
    await shot(on, 'real-terminal');
    await on.keyboard.type('exit 7');
    await on.keyboard.press('Enter');
    await on.getByText('The shell ended with exit code 7').waitFor();

    await on.goto(`/sessions?state=past&connection=${HOST}`);
    await on.getByRole('table', { name: 'Past sessions' }).getByRole('link').first().click();
    await on.getByRole('button', { name: '2 commands at prompts' }).click({ timeout: PATIENCE });
    const entered = on.getByRole('list', { name: 'Commands at prompts' });
    await entered.getByRole('button', { name: 'exit 7' }).click();
    await until(on, 'what came before the end', (shown) => /<b>42<\/b>\n.*exit 7/.test(shown), PATIENCE);
    await shot(on, 'real-terminal-replayed');
    // The moment of its Enter: its answer may have come a blink later.
    await entered.getByRole('button', { name: 'echo' }).click();
    await until(on, 'the earlier moment', (shown) => shown.includes('$((40 + 2))') && !shown.includes('exit 7'), PATIENCE);
  });
}
