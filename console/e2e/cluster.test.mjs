/** Clusters in a real browser: a shell in a pod, what the cluster has against one, and a session that is read. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { shot, signIn } from './browser.mjs';
import { cluster, CLUSTER, clusterSession } from './mock/cluster.mjs';
import { as, PHONE, staysNarrow, suite } from './suite.mjs';

const here = suite();

const screen = (page) => page.locator('.xterm-rows');

test('a shell in a pod: asked for by its names, typed into, ended, opened again', async () => {
  const { page, mock } = here;
  mock.state.connections.push(cluster());
  await signIn(page, as('ada'));
  await page.getByText('hoop kube login k8s-shop').waitFor();
  await shot(page, 'cluster-card');
  await page.getByRole('link', { name: 'Open a shell in a pod of k8s-shop' }).click();
  await page.getByLabel('Namespace').fill('shop');
  await page.getByLabel('Pod').fill('web/..');
  await page.getByRole('button', { name: 'Open shell' }).click();
  await page.getByText('Allowed are a-z').waitFor();
  await shot(page, 'pod-asked');
  assert.equal(mock.state.terminals, undefined, 'nothing was opened');
  await page.getByLabel('Pod').fill('pod/web-7f9c');
  await page.getByRole('button', { name: 'Open shell' }).click();
  await page.getByText('connected', { exact: true }).waitFor();
  await screen(page).getByText('ada@web-1').first().waitFor();
  await page.keyboard.type('echo hello there');
  await page.keyboard.press('Enter');
  await screen(page).getByText('hello there', { exact: true }).waitFor();
  await shot(page, 'pod-shell');
  assert.deepEqual(mock.state.terminals[0].pod, { namespace: 'shop', name: 'web-7f9c' });
  await page.keyboard.type('exit');
  await page.keyboard.press('Enter');
  await page.getByText('The shell ended with exit code 0').waitFor();
  assert.equal(await page.getByLabel('Pod').inputValue(), 'web-7f9c', 'what was asked for is kept');
  await page.getByLabel('Container').fill('app');
  await page.getByRole('button', { name: 'Open again' }).click();
  await page.getByText('connected', { exact: true }).waitFor();
  assert.deepEqual(mock.state.terminals[1].pod, { namespace: 'shop', name: 'web-7f9c', container: 'app' });
});

test('what the cluster has against it is told in its words', async () => {
  const { page, mock } = here;
  mock.state.connections.push(cluster());
  const message = 'there is no shell in that pod: pods "nowhere" not found [NotFound]';
  mock.state.refuseTerminal = [{ code: 'HOOP-7090', message, hint: 'look at namespace, pod and container' }];
  await signIn(page, as('ada'), '/terminal/k8s-shop');
  await page.getByLabel('Pod').fill('nowhere');
  await page.getByRole('button', { name: 'Open shell' }).click();
  await page.getByText('pods "nowhere" not found [NotFound]').waitFor();
  await page.getByText('HOOP-7090').waitFor();
  await shot(page, 'pod-refused');
});

test('a session with a cluster is read: paths, what was set, answers, a shell, a file, a forward', async () => {
  const { page, mock } = here;
  mock.state.sessions.push(clusterSession());
  await signIn(page, as('grace'), `/sessions/${CLUSTER}`);
  await page.getByRole('rowheader', { name: 'path' }).waitFor();
  assert.match(await page.getByLabel('Answer', { exact: true }).textContent(), /PodList/);
  await shot(page, 'cluster-answer');
  const choose = (text) => page.getByRole('option').filter({ hasText: text }).click();
  await choose('patch deployments.apps');
  assert.equal(await page.getByRole('rowheader', { name: 'sets' }).count(), 2);
  await page.getByText('metadata.annotations.<b>x</b> = 1').waitFor();
  await shot(page, 'cluster-patch');
  await choose('write /tmp/report.csv');
  await page.getByText(/^4\.?\d* KiB sent$/).waitFor();
  await choose('forward web-7f9c:5432');
  await page.getByText('HOOP-2042').waitFor();
  assert.equal(await page.getByText('$1').count(), 0);
});

test('on a phone the names stand below each other', async () => {
  const { mock } = here;
  mock.state.connections.push(cluster({ needs: ['a reason'] }));
  const page = await here.open({ ...PHONE, colorScheme: 'dark' });
  await signIn(page, as('ada'), '/terminal/k8s-shop');
  await page.getByLabel('Container').waitFor();
  await staysNarrow(page);
  await shot(page, 'pod-phone');
});

test('a connection to a cluster is made by form, its groups as JSON', async () => {
  const { page } = here;
  await signIn(page, as('grace'));
  await page.getByRole('button', { name: 'New connection' }).click();
  await page.getByRole('combobox', { name: 'Protocol' }).click();
  await page.getByRole('option', { name: 'kubernetes' }).click();
  await page.getByLabel('API server').fill('kubernetes.default.svc');
  await page.getByLabel('Groups in the cluster').fill('{"engineers": [');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('This is no JSON object.').waitFor();
  await shot(page, 'cluster-form');
  await page.getByLabel('Groups in the cluster').fill('{"engineers": ["hoop:engineers"]}');
  await page.getByText('JSON', { exact: true }).click();
  const definition = JSON.parse(await page.getByLabel('Definition').inputValue());
  assert.deepEqual(definition.settings, { host: 'kubernetes.default.svc', port: 6443, groups: { engineers: ['hoop:engineers'] } });
});
