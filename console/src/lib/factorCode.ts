/** What a person types as second factor, in the form that is sent: six digits, or `XXXX-XXXX-XXXX-XXXX`. */

const DIGITS = 6;
const LETTERS = 16;

export function factorCode(typed: string, orRecoveryCode: boolean): string {
  const letters = typed.toUpperCase().replace(/[^A-Z]/g, '');
  if (!orRecoveryCode || letters === '') return typed.replace(/\D/g, '').slice(0, DIGITS);
  return (letters.slice(0, LETTERS).match(/.{1,4}/g) ?? []).join('-');
}
