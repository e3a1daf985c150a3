/** The demo that a gateway belongs to (`HOOP_E2E_DEMO`, what `cargo xtask demo --json` prints), and `hoop` as its people. */
import { spawn } from 'node:child_process';

export const demo = process.env.HOOP_E2E_DEMO ? JSON.parse(process.env.HOOP_E2E_DEMO) : undefined;

export const engineer = demo?.people.find((person) => person.role === 'user');

/** Longer than anything here takes on a slow machine. */
const PATIENCE = 60_000;

/** Runs `hoop` as somebody. `says` waits for words of it, `ended` for its end; both fail with all that it said. */
export function hoop(person, ...args) {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('HOOP_'));
  const child = spawn(demo.binaries.hoop, args, {
    env: { ...Object.fromEntries(own), HOOP_CONFIG_DIR: person.profile, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  let code;
  const watching = new Set();
  const look = () => watching.forEach((one) => one());
  const hear = (chunk) => {
    said += chunk;
    look();
  };
  child.stdout.on('data', hear);
  child.stderr.on('data', hear);
  child.on('error', hear);
  child.on('close', (exit, signal) => {
    code = exit ?? signal;
    look();
  });
  const until = (what, answer) =>
    new Promise((resolve, reject) => {
      const done = (act) => {
        watching.delete(check);
        clearTimeout(timer);
        act();
      };
      const failed = () => reject(new Error(`hoop ${args.join(' ')} ${what} (its end: ${code}):\n${said}`));
      const check = () => {
        const found = answer();
        if (found !== undefined) done(() => resolve(found));
        else if (code !== undefined) done(failed);
      };
      const timer = setTimeout(() => done(failed), PATIENCE);
      watching.add(check);
      check();
    });
  return {
    says: (words) => until(`did not say ${words}`, () => said.match(words) ?? undefined),
    ended: () => until('did not end', () => (code === undefined ? undefined : { code, said })),
    stop: () => child.kill(),
  };
}
