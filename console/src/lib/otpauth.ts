/** The `otpauth://` URL that enrols an authenticator. */

/** Its secret, in groups of four for those who type it; `undefined` if there is none. */
export function otpauthSecret(url: string): string | undefined {
  const secret = /[?&]secret=([A-Za-z2-7]+)/.exec(url)?.[1];
  return secret?.toUpperCase().match(/.{1,4}/g)?.join(' ');
}
