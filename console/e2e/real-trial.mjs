/** Rules tried on statements before they are in force: typed ones, and those of a recorded session. For `real.test.mjs`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { shot } from './browser.mjs';

const STATEMENTS = `statements:
  - {name: no-patients, action: deny, tables: ["*.patients"]}
  - {name: whole-table, action: deny, classes: [write], without_where: true}
  - {name: read, action: allow, classes: [read]}
`;

/** The rules with statement rules in one of them, by its name. */
function restricted(text, rule) {
  const lines = text.split('\n');
  const at = lines.findIndex((line) => line.replace(/^[\s-]*name:\s*/, '').replaceAll('"', '') === rule);
  assert.ok(at >= 0, `${rule} is not in:\n${text}`);
  const indent = ' '.repeat(lines[at].indexOf('name:'));
  const added = STATEMENTS.trimEnd().split('\n').map((line) => indent + line);
  return [...lines.slice(0, at + 1), ...added, ...lines.slice(at + 1)].join('\n');
}

export function trialTests({ page: open, skip, statement }) {
  test('rules are tried on what is typed and on the statements of a past session', { skip: skip || (statement ? false : 'HOOP_E2E_STATEMENT is not set') }, async () => {
    const page = open();
    await page.goto('/sessions?state=past');
    await page.getByRole('table', { name: 'Past sessions' }).getByRole('link').first().click();
    await page.getByRole('option').filter({ hasText: statement }).first().waitFor();
    await page.getByRole('button', { name: 'Try with other rules' }).click();
    const table = page.getByRole('table', { name: 'Then and now' });
    const editor = page.getByRole('textbox', { name: 'Rules as YAML' });
    const panel = page.getByRole('region', { name: 'Try it' });
    const outcome = page.getByRole('status', { name: 'What would become of it' });
    await page.getByText('Each would be decided as it was.').waitFor();
    const rule = await panel.getByRole('combobox', { name: 'Access rule' }).inputValue();
    const before = await editor.inputValue();
    await editor.fill(restricted(before, rule));

    await page.getByText('1 statement that ran would be refused.').waitFor();
    const first = table.getByRole('row').nth(1);
    await first.filter({ hasText: statement }).getByText('refused by no-patients').waitFor();
    await table.scrollIntoViewIfNeeded();
    await shot(page, 'real-trial-session');
    await page.getByRole('button', { name: 'Look at statement 1' }).click();
    await outcome.getByText('statement rule no-patients does not allow this statement (read) HOOP-2030').waitFor();
    await shot(page, 'real-trial');

    const typed = panel.getByRole('textbox', { name: 'Statement' });
    for (const [text, words] of [
      ['create table clinic.x (a int)', 'read: the statement may do more than its classes'],
      ['select name from clinic.wards', 'allowed by read'],
      ['update clinic.wards set name = upper(name)', 'refused by whole-table'],
      ['select 1; select unheard_of(2)', 'Statement 2 of 2: refused by no-patients'],
      ["select 'open", 'HOOP-2031'],
    ]) {
      await typed.fill(text);
      await outcome.getByText(words).waitFor();
    }
    await editor.fill(`${before}nonsense: 1\n`);
    await page.getByText(/^Line \d+, column 1$/).waitFor();
    await page.getByRole('button', { name: 'Discard' }).click();
    assert.equal(await editor.inputValue(), before, 'nothing of it is in force');
  });
}
