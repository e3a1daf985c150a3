import { http, HttpResponse } from 'msw';
import { setupServer } from 'msw/node';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';

import * as calls from './calls';
import { rememberCsrf } from './client';
import type { ApiProblem } from './problem';

const server = setupServer();
beforeAll(() => server.listen({ onUnhandledRequest: 'error' }));
afterEach(() => {
  server.resetHandlers();
  rememberCsrf(undefined);
});
afterAll(() => server.close());

const caught = (call: Promise<unknown>): Promise<ApiProblem> =>
  call.then(
    () => Promise.reject(new Error('it should have failed')),
    (problem: ApiProblem) => problem,
  );

test('a change carries the token of the session, a read does not', async () => {
  const seen: (string | null)[] = [];
  server.use(
    http.get('*/api/v1/whoami', ({ request }) => {
      seen.push(request.headers.get('x-hoop-csrf'));
      return HttpResponse.json({ id: 'usr_x', name: 'ada', role: 'admin', groups: [], method: 'password_totp', login: 'lgn_x', expires_at: '', csrf: 'tok' });
    }),
    http.post('*/api/v1/sessions/ses_1/kill', async ({ request }) => {
      seen.push(request.headers.get('x-hoop-csrf'));
      expect(await request.json()).toEqual({ reason: 'why' });
      return HttpResponse.json({});
    }),
  );
  await calls.whoami();
  await calls.killSession('ses_1', 'why');
  expect(seen).toEqual([null, 'tok']);
});

test('what a page asks by itself with nobody there says so', async () => {
  const seen: (string | null)[] = [];
  server.use(
    http.get('*/api/v1/info', ({ request }) => {
      seen.push(request.headers.get('x-hoop-unattended'));
      return HttpResponse.json({});
    }),
  );
  window.dispatchEvent(new Event('keydown'));
  await calls.info();
  const now = vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 5 * 60_000);
  await calls.info();
  now.mockRestore();
  expect(seen).toEqual([null, '1']);
});

test('an id cannot leave its place in the path', async () => {
  let path = '';
  server.use(
    http.get('*', ({ request }) => {
      path = new URL(request.url).pathname;
      return HttpResponse.json({ code: 'HOOP-4004', message: 'No such session.' }, { status: 404 });
    }),
  );
  const problem = await caught(calls.session('../users?x=1#y'));
  expect(path).toBe('/api/v1/sessions/..%2Fusers%3Fx%3D1%23y');
  expect(problem.code).toBe('HOOP-4004');
  expect(calls.timelineStream('../x', 3)).toBe('/api/v1/sessions/..%2Fx/timeline?follow=true&after=3');
});

test('people beyond the first page are fetched, but not for ever', async () => {
  let asked = 0;
  server.use(
    http.get('*/api/v1/users', ({ request }) => {
      asked += 1;
      const after = new URL(request.url).searchParams.get('after');
      return HttpResponse.json(after === 'b' ? { items: [{ name: 'c' }] } : { items: [{ name: 'a' }], next: 'b' });
    }),
  );
  expect((await calls.users()).map((user) => user.name)).toEqual(['a', 'c']);
  server.use(
    http.get('*/api/v1/users', () => {
      asked += 1;
      return HttpResponse.json({ items: [], next: 'again' });
    }),
  );
  asked = 0;
  await calls.users();
  expect(asked).toBe(20);
});

test('filters that are not set are not sent', async () => {
  let query = '';
  server.use(
    http.get('*/api/v1/sessions', ({ request }) => {
      query = new URL(request.url).search;
      return HttpResponse.json({ items: [] });
    }),
  );
  await calls.sessions({ state: 'live', user: '', connection: undefined }, undefined);
  expect(query).toBe('?state=live&limit=50');
});

test('an error page of something in between is not shown raw', async () => {
  server.use(http.get('*/api/v1/info', () => new HttpResponse('<h1>nginx</h1>', { status: 502 })));
  const problem = await caught(calls.info());
  expect(problem.code).toBe('HTTP 502');
  expect(problem.message).not.toContain('nginx');
});

test('no answer is said in words', async () => {
  server.use(http.get('*/api/v1/info', () => HttpResponse.error()));
  const problem = await caught(calls.info());
  expect(problem.status).toBe(0);
  expect(problem.message).toBe('The gateway does not answer.');
});
