/**
 * Is anybody there? What every page asks by itself stops when nobody has touched it for a while: else an open page would
 * keep its sign-in alive for ever, which ends when it is not used.
 */

const LONG = 5 * 60_000;

let touched = Date.now();

if (typeof window !== 'undefined') {
  const touch = () => {
    touched = Date.now();
  };
  for (const event of ['pointerdown', 'pointermove', 'keydown', 'wheel', 'focus']) {
    window.addEventListener(event, touch, { capture: true, passive: true });
  }
}

export function isAttended(): boolean {
  return Date.now() - touched < LONG;
}
