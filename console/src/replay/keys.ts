/** Keys that step through statements, and where they must not. */
import type { KeyboardEvent } from 'react';

const SCROLL_KEYS = new Set(['ArrowDown', 'ArrowUp', 'PageDown', 'PageUp', 'Home', 'End']);

/** Inside a box that scrolls, the scrolling keys scroll it. */
export function keepScrollKeys(event: KeyboardEvent): void {
  if (SCROLL_KEYS.has(event.key)) event.stopPropagation();
}
