/** What the list of requests can be narrowed to, as it stands in the address. Pure. */
import type { RequestState } from '../../api/calls';

/** Nothing in the address: one's own. */
export type View = 'decide' | 'emergencies' | 'all';

export type Narrowed = RequestState | 'unreviewed';

export const STATES: readonly { value: Narrowed | ''; label: string }[] = [
  { value: '', label: 'any' },
  { value: 'pending', label: 'waits for approval' },
  { value: 'approved', label: 'in force' },
  { value: 'denied', label: 'denied' },
  { value: 'expired', label: 'out of time' },
  { value: 'ended', label: 'ended' },
  { value: 'unreviewed', label: 'not reviewed yet' },
];

export function viewOf(value: unknown): View | undefined {
  return (['decide', 'emergencies', 'all'] as const).find((view) => view === value);
}

export function narrowedOf(value: unknown): Narrowed | undefined {
  const found = STATES.find((state) => state.value === value)?.value;
  return found === '' ? undefined : found;
}
