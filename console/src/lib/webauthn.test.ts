import { afterEach, beforeEach, expect, it, vi } from 'vitest';

import { answer, base64url, bytes, creationOptions, knowsPasskeys, make, requestOptions, use } from './webauthn';

const buffer = (...numbers: number[]) => new Uint8Array(numbers).buffer;

beforeEach(() => vi.stubGlobal('PublicKeyCredential', class {}));
afterEach(() => vi.unstubAllGlobals());

it('writes and reads base64url of every byte and length', () => {
  const all = Array.from({ length: 256 }, (_, at) => at);
  for (const length of [0, 1, 2, 3, 255, 256]) {
    const text = base64url(buffer(...all.slice(0, length)));
    expect(text).toMatch(/^[\w-]*$/);
    expect([...new Uint8Array(bytes(text))]).toEqual(all.slice(0, length));
  }
  expect(base64url(buffer(0xfb, 0xff))).toBe('-_8');
});

it('converts options where the browser does not, and leaves it to one that does', () => {
  const json = {
    rp: { id: 'localhost', name: 'hoop' },
    user: { id: 'AQI', name: 'ada', displayName: 'ada' },
    challenge: 'AwQ',
    pubKeyCredParams: [{ type: 'public-key' as const, alg: -7 }],
    excludeCredentials: [{ type: 'public-key' as const, id: 'BQ' }],
    attestation: 'none',
  };
  const made = creationOptions(json);
  expect(made.challenge).toEqual(buffer(3, 4));
  expect(made.user.id).toEqual(buffer(1, 2));
  expect(made.excludeCredentials).toEqual([{ type: 'public-key', id: buffer(5) }]);
  const asked = requestOptions({ challenge: 'AwQ', rpId: 'localhost', userVerification: 'required' });
  expect(asked).toMatchObject({ challenge: buffer(3, 4), rpId: 'localhost', userVerification: 'required' });
  expect(asked.allowCredentials).toEqual([]);
  const own = vi.fn(() => asked);
  vi.stubGlobal('PublicKeyCredential', { parseRequestOptionsFromJSON: own });
  expect(requestOptions({ challenge: 'x' })).toBe(asked);
});

it('sends what an authenticator said, and nothing that it did not say', () => {
  const credential = {
    id: 'AQ',
    rawId: buffer(1),
    type: 'public-key',
    response: { clientDataJSON: buffer(2), authenticatorData: buffer(3), signature: buffer(4), userHandle: null },
  };
  expect(answer(credential as unknown as PublicKeyCredential)).toEqual({
    id: 'AQ',
    rawId: 'AQ',
    type: 'public-key',
    clientExtensionResults: {},
    response: { clientDataJSON: 'Ag', authenticatorData: 'Aw', signature: 'BA' },
  });
});

it('tells what went wrong in words that help', async () => {
  const failing = (name: string) => () => Promise.reject(new DOMException('words of the browser', name));
  const options = { rpId: 'hoop.example', challenge: 'AQ', rp: { id: 'hoop.example' }, user: { id: 'AQ' } } as object as Record<string, never>;
  for (const [name, words] of [
    ['NotAllowedError', /No passkey was used/],
    ['InvalidStateError', /a passkey of yours already/],
    ['SecurityError', /no passkey on this page/],
    ['ConstraintError', /cannot make such/],
  ] as const) {
    vi.stubGlobal('navigator', { credentials: { get: failing(name), create: failing(name) } });
    await expect(use(options)).rejects.toThrow(words);
    await expect(make(options)).rejects.toThrow(words);
  }
  vi.stubGlobal('navigator', { credentials: { get: failing('SecurityError') } });
  await expect(use(options)).rejects.toMatchObject({ hint: expect.stringContaining('hoop.example') });
  vi.stubGlobal('navigator', { credentials: { get: () => Promise.resolve(null) } });
  await expect(use(options)).rejects.toThrow('No passkey was used');
});

it('knows a browser that has none', () => {
  expect(knowsPasskeys()).toBe(true);
  vi.stubGlobal('PublicKeyCredential', undefined);
  expect(knowsPasskeys()).toBe(false);
});
