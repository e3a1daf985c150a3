/** The rules for names that people choose, as the gateway checks them (`hoop_model::name`): early words beside the field. */

const SLUG = /^[a-z0-9][a-z0-9._-]*$/;
const DNS_LABEL = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/;
const DNS_NAME = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/;
const USER = /^[A-Za-z0-9][A-Za-z0-9._\-+@]*$/;
const GROUP = /^[A-Za-z0-9][A-Za-z0-9._\-:/ ]*$/;

/** What is wrong with a connection's or agent's name; `undefined`: nothing. */
export function slugProblem(name: string): string | undefined {
  return check(name, SLUG, 63, 'a-z, 0-9, “-”, “_” and “.”, the first a letter or digit');
}

export function userProblem(name: string): string | undefined {
  return check(name, USER, 128, 'letters, digits and . _ - + @, the first a letter or digit');
}

/** A namespace or container of a cluster (`hoop_model::dns`). */
export function dnsLabelProblem(name: string): string | undefined {
  return check(name, DNS_LABEL, 63, 'a-z, 0-9 and “-”, the first and last a letter or digit');
}

/** A pod of a cluster. */
export function dnsNameProblem(name: string): string | undefined {
  return check(name, DNS_NAME, 253, 'a-z, 0-9, “-” and “.”, each part beginning and ending with a letter or digit');
}

/** A label's key, such as `env`. */
export const labelKeyProblem = slugProblem;

/** What a label says, such as `prod`. */
export function labelValueProblem(value: string): string | undefined {
  return value === '' ? 'Give a value, as in env=prod.' : groupProblem(value);
}

export function groupProblem(name: string): string | undefined {
  return check(name, GROUP, 128, 'letters, digits, space and . _ - : /, the first a letter or digit');
}

function check(name: string, rule: RegExp, limit: number, allowed: string): string | undefined {
  if (name === '') return 'Give a name.';
  if (name.length > limit) return `At most ${limit} characters.`;
  return rule.test(name) ? undefined : `Allowed are ${allowed}.`;
}

/** Groups as typed, separated by commas. */
export function splitGroups(text: string): string[] {
  const names = text.split(',').map((name) => name.trim());
  return [...new Set(names.filter((name) => name !== ''))];
}
