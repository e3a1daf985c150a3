/**
 * What the browser's authenticator does for us: makes a passkey, and answers a challenge with one. Options come from the
 * gateway as JSON and answers go there as JSON; browsers that cannot convert them themselves are helped. Knows no API.
 */
import { ApiProblem } from '../api/problem';

/** As the generated schema has an object whose inside is no matter of the API. */
type Json = Record<string, never>;

/** Does this browser know passkeys, and is the page where they are allowed? */
export const knowsPasskeys = (): boolean => typeof window.PublicKeyCredential === 'function';

export function bytes(base64url: string): ArrayBuffer {
  const text = atob(base64url.replace(/-/g, '+').replace(/_/g, '/'));
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0)).buffer;
}

export function base64url(data: ArrayBuffer): string {
  const text = String.fromCharCode(...new Uint8Array(data));
  return btoa(text).replace(/\+/g, '-').replace(/\//g, '_').replace(/=/g, '');
}

const named = (list: PublicKeyCredentialDescriptorJSON[] | undefined): PublicKeyCredentialDescriptor[] =>
  (list ?? []).map(({ id }) => ({ id: bytes(id), type: 'public-key' }));

export function creationOptions(json: PublicKeyCredentialCreationOptionsJSON): PublicKeyCredentialCreationOptions {
  if (typeof PublicKeyCredential.parseCreationOptionsFromJSON === 'function') {
    return PublicKeyCredential.parseCreationOptionsFromJSON(json);
  }
  return {
    ...(json as object),
    rp: json.rp,
    pubKeyCredParams: json.pubKeyCredParams as PublicKeyCredentialParameters[],
    challenge: bytes(json.challenge),
    user: { ...json.user, id: bytes(json.user.id) },
    excludeCredentials: named(json.excludeCredentials),
  };
}

export function requestOptions(json: PublicKeyCredentialRequestOptionsJSON): PublicKeyCredentialRequestOptions {
  if (typeof PublicKeyCredential.parseRequestOptionsFromJSON === 'function') {
    return PublicKeyCredential.parseRequestOptionsFromJSON(json);
  }
  return { ...(json as object), challenge: bytes(json.challenge), allowCredentials: named(json.allowCredentials) };
}

/** The answer as JSON. By hand everywhere: some password managers stand in for the browser without its `toJSON`. */
export function answer(credential: PublicKeyCredential): Json {
  const response = credential.response as AuthenticatorAttestationResponse & AuthenticatorAssertionResponse;
  const parts: Record<string, string> = { clientDataJSON: base64url(response.clientDataJSON) };
  for (const part of ['attestationObject', 'authenticatorData', 'signature', 'userHandle'] as const) {
    // An attestation has its authenticator data inside, and needs it only there.
    if (response[part] instanceof ArrayBuffer) parts[part] = base64url(response[part]);
  }
  return {
    id: credential.id,
    rawId: base64url(credential.rawId),
    type: credential.type,
    clientExtensionResults: {},
    response: parts,
  } as object as Json;
}

const CODE = 'passkey';

/** What the browser throws, in words that help. */
function problem(error: unknown, host: string | undefined): unknown {
  if (!(error instanceof DOMException)) return error;
  switch (error.name) {
    case 'InvalidStateError':
      return new ApiProblem(0, CODE, 'This device has a passkey of yours already.', 'Use that one, or another device.');
    case 'SecurityError':
      return new ApiProblem(
        0,
        CODE,
        'The browser allows no passkey on this page.',
        `Passkeys of this gateway belong to ${host ?? 'its public name'}: open the console under that name.`,
      );
    case 'NotSupportedError':
    case 'ConstraintError':
      return new ApiProblem(0, CODE, 'This device cannot make such a passkey.', 'It must have a PIN, or know your finger or face.');
    default:
      return new ApiProblem(0, CODE, 'No passkey was used.', 'It was cancelled, or it took too long. Try again.');
  }
}

async function ask(host: string | undefined, act: () => Promise<Credential | null>): Promise<Json> {
  try {
    const made = await act();
    if (made === null) throw new DOMException('nothing', 'NotAllowedError');
    return answer(made as PublicKeyCredential);
  } catch (error) {
    throw problem(error, host);
  }
}

/** A new passkey. */
export function make(options: Json): Promise<Json> {
  const json = options as object as PublicKeyCredentialCreationOptionsJSON;
  return ask(json.rp.id, () => navigator.credentials.create({ publicKey: creationOptions(json) }));
}

/** The answer of one that there is. */
export function use(options: Json): Promise<Json> {
  const json = options as object as PublicKeyCredentialRequestOptionsJSON;
  return ask(json.rpId, () => navigator.credentials.get({ publicKey: requestOptions(json) }));
}
