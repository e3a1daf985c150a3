import { describe, expect, it, vi } from 'vitest';

import { askWith, fetchWithFactor } from './stepUp';

const change = (path = '/api/v1/users', method = 'POST') =>
  new Request(`https://hoop.test${path}`, { method, ...(method === 'GET' ? {} : { body: '{"name":"bob"}' }) });

const refused = () => Response.json({ code: 'HOOP-2003', message: 'a second factor is needed' }, { status: 403 });

describe('a change that needs a fresh second factor', () => {
  it('is repeated, body and all, once it was proven', async () => {
    const bodies: string[] = [];
    const fetch = vi.fn(async (request: Request) => {
      bodies.push(await request.text());
      return bodies.length === 1 ? refused() : Response.json({});
    });
    const forget = askWith(() => Promise.resolve(true));
    expect((await fetchWithFactor(change(), fetch)).status).toBe(200);
    expect(bodies).toEqual(['{"name":"bob"}', '{"name":"bob"}']);
    forget();
  });

  it('stays refused when it was not, and is not tried a third time', async () => {
    const fetch = vi.fn(async () => refused());
    const forget = askWith(() => Promise.resolve(false));
    expect((await fetchWithFactor(change(), fetch)).status).toBe(403);
    expect(fetch).toHaveBeenCalledTimes(1);
    forget();
    const insist = askWith(() => Promise.resolve(true));
    expect((await fetchWithFactor(change(), fetch)).status).toBe(403);
    expect(fetch).toHaveBeenCalledTimes(3);
    insist();
  });

  it('asks once for two', async () => {
    let answered = 0;
    const ask = vi.fn(() => Promise.resolve(true));
    const forget = askWith(ask);
    const fetch = async () => ((answered += 1) <= 2 ? refused() : Response.json({}));
    await Promise.all([fetchWithFactor(change(), fetch), fetchWithFactor(change(), fetch)]);
    expect(ask).toHaveBeenCalledTimes(1);
    forget();
  });

  it('does not ask for reading, for the proof itself, nor for another refusal', async () => {
    const ask = vi.fn(() => Promise.resolve(true));
    const forget = askWith(ask);
    await fetchWithFactor(change('/api/v1/audit/events', 'GET'), async () => refused());
    await fetchWithFactor(change('/api/v1/auth/step-up'), async () => refused());
    await fetchWithFactor(change(), async () => Response.json({ code: 'HOOP-3003', message: 'no' }, { status: 403 }));
    await fetchWithFactor(change(), async () => new Response('no json', { status: 403 }));
    expect(ask).not.toHaveBeenCalled();
    forget();
  });
});
