/** Sessions, live and past: filtered, page by page; the live ones keep themselves up to date. */
import { Button, Group, Tabs } from '@mantine/core';
import { useInfiniteQuery } from '@tanstack/react-query';
import { getRouteApi } from '@tanstack/react-router';

import * as calls from '../../api/calls';
import { localToRfc3339 } from '../../lib/localTime';
import { useRights } from '../../queries';
import { Fetched } from '../../ui/Fetched';
import { FilterInput } from '../../ui/FilterInput';
import { Page } from '../../ui/Page';
import { SessionTable } from './SessionTable';

const route = getRouteApi('/signed-in/shell/sessions');

export function Sessions() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const { manages, seesEvidence } = useRights();
  const live = search.state === 'live';
  const filter: calls.SessionFilter = {
    state: search.state,
    user: search.user,
    connection: search.connection,
    since: localToRfc3339(search.since),
    until: localToRfc3339(search.until),
  };
  const pages = useInfiniteQuery({
    queryKey: ['sessions', filter],
    queryFn: ({ pageParam }) => calls.sessions(filter, pageParam),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next ?? undefined,
    refetchInterval: live ? 4_000 : false,
  });
  const set = (change: Partial<typeof search>) =>
    void navigate({ search: { ...search, ...change }, replace: true });
  const list = { ...pages, data: pages.data?.pages.flatMap((page) => page.items) };
  return (
    <Page title="Sessions" about={seesEvidence ? 'Everybody’s.' : 'Yours.'}>
      <Tabs value={search.state} onChange={(value) => set({ state: value === 'past' ? 'past' : 'live' })}>
        <Tabs.List aria-label="Which sessions">
          <Tabs.Tab value="live">Live</Tabs.Tab>
          <Tabs.Tab value="past">Past</Tabs.Tab>
        </Tabs.List>
      </Tabs>
      <Group align="flex-end" gap="sm" role="search" aria-label="Filters">
        {seesEvidence ? <FilterInput label="User" value={search.user} onChange={(user) => set({ user })} /> : null}
        <FilterInput label="Connection" value={search.connection} onChange={(connection) => set({ connection })} />
        <FilterInput label="Since" type="datetime-local" value={search.since} onChange={(since) => set({ since })} />
        <FilterInput label="Until" type="datetime-local" value={search.until} onChange={(until) => set({ until })} />
      </Group>
      <Fetched
        query={list}
        isEmpty={(items) => items.length === 0}
        empty={live ? 'No session is open now.' : 'No session matches.'}
      >
        {(items) => <SessionTable items={items} live={live} mayKill={manages} />}
      </Fetched>
      {pages.hasNextPage ? (
        <Button variant="default" loading={pages.isFetchingNextPage} onClick={() => void pages.fetchNextPage()}>
          More
        </Button>
      ) : null}
    </Page>
  );
}
