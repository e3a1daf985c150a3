/** Labels as people type them: `env=prod`, one a line. Checked as the gateway does (`hoop_model::name`). */
import { labelKeyProblem, labelValueProblem } from './names';

const MOST = 50;

/** What stands in the lines, in their order; lines that are empty say nothing. */
export function readLabels(text: string): [key: string, value: string][] {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const at = line.indexOf('=');
      return at < 0 ? [line.trim(), ''] : [line.slice(0, at).trim(), line.slice(at + 1).trim()];
    });
}

/** What is wrong with the lines; `undefined`: nothing. */
export function labelsProblem(text: string): string | undefined {
  for (const [key, value] of readLabels(text)) {
    const wrong = labelKeyProblem(key) ?? labelValueProblem(value);
    if (wrong !== undefined) return `${key}=${value}: ${wrong}`;
  }
  return undefined;
}

/** As {@link labelsProblem}, for a connection: it has one value for each key. */
export function ownLabelsProblem(text: string): string | undefined {
  const keys = readLabels(text).map(([key]) => key);
  const twice = keys.find((key, index) => keys.indexOf(key) !== index);
  if (twice !== undefined) return `${twice} stands there twice.`;
  if (keys.length > MOST) return `At most ${MOST} labels.`;
  return labelsProblem(text);
}

export function writeLabels(labels: Record<string, string>): string {
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join('\n');
}

/** Every value of each key: what a rule selects by. */
export function labelValues(text: string): Record<string, string[]> {
  const found = new Map<string, string[]>();
  for (const [key, value] of readLabels(text)) found.set(key, [...new Set([...(found.get(key) ?? []), value])]);
  return Object.fromEntries(found);
}
