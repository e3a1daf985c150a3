/** The queries that more than one page uses, with their keys. */
import { queryOptions, useQueryClient, useSuspenseQuery } from '@tanstack/react-query';

import * as calls from './api/calls';
import { isAttended } from './lib/attended';

export const meQuery = queryOptions({ queryKey: ['me'], queryFn: calls.whoami, staleTime: 60_000 });

export const infoQuery = queryOptions({ queryKey: ['info'], queryFn: calls.info, staleTime: 600_000 });

export const passkeysQuery = queryOptions({ queryKey: ['passkeys'], queryFn: calls.passkeys });

export const usersQuery = queryOptions({ queryKey: ['users', 'all'], queryFn: calls.users });

export const rulesQuery = queryOptions({ queryKey: ['rules', 'in force'], queryFn: calls.rules });

export const sessionQuery = (id: string) =>
  queryOptions({
    queryKey: ['session', id],
    queryFn: () => calls.session(id),
    refetchInterval: (query) => (query.state.data && isOpen(query.state.data.state) ? 4_000 : false),
  });

export const requestQuery = (id: string) =>
  queryOptions({
    queryKey: ['request', id],
    queryFn: () => calls.request(id),
    refetchInterval: ({ state: { data } }) => (data && (data.state === 'pending' || data.state === 'approved') ? 4_000 : false),
  });

/** Asked on every page, so seldom enough. */
const SELDOM = 15_000;

/** Asked seldom, and only while somebody is there; till then what was known stands. */
function seldom<T>(what: string, ask: () => Promise<T>) {
  return queryOptions<T, Error, T, string[]>({
    queryKey: ['requests', what],
    queryFn: ({ client, queryKey }) => (isAttended() ? undefined : client.getQueryData<T>(queryKey)) ?? ask(),
    refetchInterval: SELDOM,
  });
}

/** What waits for the signed-in person's word. */
export const toDecideQuery = seldom('to decide', async () =>
  (await calls.everyRequest({ state: 'pending' })).filter((request) => request.may_decide),
);

/** Emergencies: those in force first, then those that wait for their review. */
export const emergenciesQuery = seldom('emergencies', async () => {
  const [inForce, due] = await Promise.all([
    calls.everyRequest({ kind: 'break_glass', state: 'approved' }),
    calls.everyRequest({ unreviewed: true }),
  ]);
  // What ended in between is in both.
  return [...inForce.filter((one) => !due.some(({ id }) => id === one.id)), ...due];
});

/** One's own requests that wait or are in force. */
export const myOpenRequestsQuery = seldom('mine, open', async () => {
  const [waiting, inForce] = await Promise.all([
    calls.everyRequest({ mine: true, state: 'pending' }),
    calls.everyRequest({ mine: true, state: 'approved' }),
  ]);
  return [...inForce, ...waiting];
});

/** Is the session still under way, so that its figures change? */
export function isOpen(state: calls.SessionState): boolean {
  return state === 'opening' || state === 'live' || state === 'ending';
}

/** The signed-in person. Only for pages inside the shell, whose route has fetched it. */
export function useMe(): calls.WhoAmI {
  return useSuspenseQuery(meQuery).data;
}

/** What the signed-in person's role lets them see and do here. The gateway decides anew on every call. */
export function useRights() {
  const { role } = useMe();
  return { manages: role === 'admin', seesEvidence: role === 'admin' || role === 'auditor' };
}

/** Forgets what was fetched under these keys, so that it is fetched again. */
export function useForget(): (...keys: string[]) => Promise<void> {
  const cache = useQueryClient();
  return async (...keys) => {
    await Promise.all(keys.map((key) => cache.invalidateQueries({ queryKey: [key] })));
  };
}
