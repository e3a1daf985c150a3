/** Where a request stands, in words; how long it has; what one may do with it. Pure. */
import type { AccessRequest, Connection } from '../../api/calls';
import { periodSeconds } from '../../lib/period';

export type Standing =
  | 'waits for approval'
  | 'in force'
  | 'denied'
  | 'not decided in time'
  | 'over'
  | 'withdrawn'
  | 'ended'
  | 'review due'
  | 'reviewed';

export function standing(request: AccessRequest): Standing {
  const { state, kind, ends_at, review } = request;
  if (state === 'pending') return 'waits for approval';
  if (state === 'approved') return 'in force';
  if (state === 'denied') return 'denied';
  if (kind === 'break_glass') return review ? 'reviewed' : 'review due';
  // Only what was in force once has an end.
  if (state === 'expired') return ends_at ? 'over' : 'not decided in time';
  return ends_at ? 'ended' : 'withdrawn';
}

/** May it change by itself, so that it is watched? */
export function isUnderWay({ state }: Pick<AccessRequest, 'state'>): boolean {
  return state === 'pending' || state === 'approved';
}

/** The moment to which time is counted down; `undefined` where nothing runs. */
export function deadline(request: AccessRequest): string | undefined {
  if (request.state === 'pending') return request.decide_until;
  return request.state === 'approved' ? (request.ends_at ?? undefined) : undefined;
}

/** Whole seconds to the deadline, never below 0. */
export function secondsLeft(request: AccessRequest, now: number): number | undefined {
  const at = Date.parse(deadline(request) ?? '');
  return Number.isNaN(at) ? undefined : Math.max(0, Math.ceil((at - now) / 1_000));
}

export function approvals(request: AccessRequest): number {
  return request.decisions.filter((word) => word.approves).length;
}

export interface Actions {
  decide: boolean;
  extend: boolean;
  review: boolean;
  /** What ending it is called. */
  end: 'Withdraw' | 'Give back' | 'End now' | 'Revoke' | undefined;
}

/** What to offer. The gateway decides anew on every call. */
export function actions(request: AccessRequest, me: { name: string; role: string }): Actions {
  const own = request.person === me.name;
  const emergency = request.kind === 'break_glass';
  const inForce = request.state === 'approved';
  const decided = request.decisions.some((word) => word.by === me.name);
  const mayEnd = own || me.role === 'admin' || request.may_review || (decided && inForce);
  return {
    decide: request.may_decide,
    extend: emergency && inForce && request.may_review,
    review: emergency && !inForce && request.may_review,
    // Who may still decide denies instead.
    end: mayEnd && isUnderWay(request) && !request.may_decide ? endWord(own, emergency, inForce) : undefined,
  };
}

function endWord(own: boolean, emergency: boolean, inForce: boolean): Actions['end'] {
  if (emergency) return 'End now';
  if (!own) return 'Revoke';
  return inForce ? 'Give back' : 'Withdraw';
}

export interface Wanted {
  /** Of how many. */
  approvers: number;
  /** Seconds; `undefined` if the gateway did not say it in a way that we know. */
  longest: number | undefined;
}

/** The approval that a connection needs, read from the sentences that the gateway gives (`hoop_policy::rules::reach`). */
export function approvalWanted({ needs = [] }: Pick<Connection, 'needs'>): Wanted | undefined {
  for (const need of needs) {
    const [sentence, count, longest = ''] = /^the approval of (\d+), for at most (\S+)$/.exec(need) ?? [];
    if (sentence !== undefined) return { approvers: Number(count), longest: periodSeconds(longest) };
  }
  return undefined;
}

const USUAL = [900, 1_800, 3_600, 7_200, 14_400, 28_800];

/** Spans to choose from, none beyond the longest, which is one of them. */
export function spans(longest: number | undefined): number[] {
  if (longest === undefined) return USUAL;
  return [...USUAL.filter((seconds) => seconds < longest), longest];
}
