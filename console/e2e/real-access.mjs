/**
 * Who may, when, and for how long, told once through all of it: rules and emergencies in the console, work on the command
 * line. Registers its tests for `real.test.mjs`, with whose page of an admin it works.
 */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { openPage, shot, signIn } from './browser.mjs';
import { demo, engineer, hoop } from './demo.mjs';
import { totp } from './totp.mjs';

/** Reaches what the demo's own does, but no rule names it yet. */
const NAME = 'clinic-guarded';

const EMERGENCIES = `break_glass:
  - name: fire
    subjects: {groups: [engineers]}
    connections: {names: [${NAME}]}
`;

/** Says something, then works for longer than any access here lasts. */
const WORK = ['connect', NAME, '--', 'psql', '-X', '-c', "SELECT 'let ' || 'in'", '-c', 'SELECT pg_sleep(300)'];

export function accessTests({ url, browser, page, skip }) {
  const options = { skip: skip || (demo ? false : 'HOOP_E2E_DEMO is not set'), timeout: 180_000 };
  const running = [];
  const asEngineer = (...args) => {
    const program = hoop(engineer, ...args);
    running.push(program);
    return program;
  };
  const banner = (on) => on.getByRole('region', { name: 'Emergencies' });
  after(() => running.forEach((program) => program.stop()));

  test('an admin makes a connection, and a rule that lets engineers in once an admin approves', options, async () => {
    const admin = page();
    await admin.goto('/connections');
    await admin.getByRole('button', { name: 'New connection' }).waitFor();
    const known = await (await admin.request.get('/api/v1/connections?all=true')).json();
    const { definition } = known.items.find((one) => one.name === demo.connections[0]);
    await admin.getByRole('button', { name: 'New connection' }).click();
    const form = admin.getByRole('dialog');
    await form.getByRole('textbox', { name: 'Name' }).fill(NAME);
    await form.getByText('JSON').click();
    await form.getByLabel('Definition').fill(JSON.stringify({ ...definition, labels: {} }));
    await form.getByRole('button', { name: 'Save' }).click();
    await form.waitFor({ state: 'detached' });

    await admin.goto('/rules');
    await admin.getByRole('button', { name: 'Add a rule' }).click();
    await form.getByRole('textbox', { name: 'Name' }).fill('guarded-engineers');
    await form.getByRole('textbox', { name: 'Groups', exact: true }).fill('engineers');
    await form.getByLabel('Connections').fill(NAME);
    await form.getByLabel('Others must approve').check();
    await form.getByLabel('Groups of approvers').fill('admins');
    await form.getByRole('button', { name: 'Add to the text' }).click();
    const text = admin.getByRole('textbox', { name: 'Rules as YAML' });
    await text.fill((await text.inputValue()) + EMERGENCIES);
    await admin.getByRole('button', { name: 'Compare' }).click();
    await admin.getByLabel('What would change').getByText(/fire/).waitFor();
    await admin.getByLabel('Note').fill('the guarded clinic');
    await shot(admin, 'real-rules');
    await admin.getByRole('button', { name: 'Put in force' }).click();
    await admin.getByText(/^Version \d+ is in force\.$/).waitFor();
  });

  test('the engineer’s connect waits, the admin approves, psql works, and it ends by itself', options, async () => {
    const admin = page();
    await asEngineer('request', NAME, '--for', '20s', '--reason', 'ticket 4711').ended();
    const work = asEngineer(...WORK);
    await work.says(/is not decided yet/);
    await admin.goto('/requests?view=decide');
    await admin.getByRole('listitem', { name: `${engineer.name} on ${NAME}` }).click();
    await admin.getByText('ticket 4711').waitFor();
    await shot(admin, 'real-request');
    await admin.getByRole('button', { name: 'Approve' }).click();
    await admin.getByText('in force').waitFor();
    await work.says(/let in/);
    await admin.goto(`/sessions?state=live&connection=${NAME}`);
    await admin.getByRole('table', { name: 'Live sessions' }).getByRole('link', { name: NAME }).waitFor();
    const { code, said } = await work.ended();
    assert.notEqual(code, 0, said);
    await admin.getByText('No session is open now.').waitFor({ timeout: 20_000 });
    await admin.goto(`/sessions?state=past&connection=${NAME}`);
    const past = admin.getByRole('table', { name: 'Past sessions' });
    // Not why: agent, gateway and the client's own farewell tell it at the same moment.
    await past.getByRole('row').filter({ hasText: /ended/ }).first().waitFor();
    await shot(admin, 'real-session-over');
    await admin.goto('/requests?view=all&state=expired');
    await admin.getByRole('listitem', { name: `${engineer.name} on ${NAME}` }).getByText('over', { exact: true }).waitFor({ timeout: 20_000 });
    const again = await asEngineer('connect', NAME, '--', 'psql', '-X', '-c', "SELECT 'let ' || 'in'").ended();
    assert.match(again.said, /HOOP-2007/, 'what is over opens nothing');
    assert.doesNotMatch(again.said, /let in/);
  });

  test('the engineer breaks the glass; the admin sees it wherever they are, ends it, and reviews it', options, async () => {
    const admin = page();
    await admin.goto('/agents');
    await admin.getByRole('table', { name: 'Agents' }).waitFor();
    const { page: own, context, complaints } = await openPage(browser(), url, { ignoreHTTPSErrors: true });
    await signIn(own, { ...engineer, code: totp(engineer.totp_secret) });
    await own.getByRole('button', { name: `Break the glass to ${NAME}` }).click();
    const form = own.getByRole('dialog');
    await form.getByLabel('Reason').fill('wards cannot see lab results');
    await form.getByLabel('Incident').fill('INC-42');
    await form.getByLabel(`Type ${NAME} to confirm`).fill(NAME);
    await form.getByRole('button', { name: 'Break the glass' }).click();
    await banner(own).getByText(`Your emergency on ${NAME} is in force`).waitFor();
    const work = asEngineer(...WORK);
    await work.says(/let in/);

    await banner(admin).getByText(`${engineer.name} has broken the glass to ${NAME}.`).waitFor({ timeout: 30_000 });
    await shot(admin, 'real-emergency');
    await banner(admin).getByRole('link', { name: 'Look at it' }).click();
    await admin.getByText('INC-42').waitFor();
    await admin.getByRole('button', { name: 'End now' }).click();
    await admin.getByLabel('Reason').fill('lab results are back');
    await admin.getByRole('dialog').getByRole('button', { name: 'End now' }).click();
    const { code, said } = await work.ended();
    assert.notEqual(code, 0, said);
    await banner(own).getByText('waits for somebody else’s review').waitFor({ timeout: 30_000 });
    await admin.getByLabel('Finding').fill('read what the incident asked for');
    await admin.getByRole('button', { name: 'Close the review' }).click();
    await admin.getByText('reviewed', { exact: true }).first().waitFor();
    await banner(admin).waitFor({ state: 'detached' });
    await banner(own).waitFor({ state: 'detached', timeout: 30_000 });
    await shot(own, 'real-reviewed');
    await context.close();
    assert.deepEqual(complaints, []);
  });
}
