/** Requests for access and emergencies: one's own, those that wait for one's word, for some all of them. */
import { Badge, Button, Group, NativeSelect, Paper, Tabs, Text } from '@mantine/core';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { getRouteApi } from '@tanstack/react-router';

import * as calls from '../../api/calls';
import { counted, span } from '../../lib/format';
import { emergenciesQuery, toDecideQuery, useMe, useRights } from '../../queries';
import { Fetched } from '../../ui/Fetched';
import { Page } from '../../ui/Page';
import { TextLink } from '../../ui/RouterLink';
import { Time } from '../../ui/Time';
import { Visible } from '../../ui/Visible';
import { type Narrowed, STATES, type View, viewOf } from './narrowed';
import classes from './Requests.module.css';
import { approvals, isUnderWay } from './standing';
import { StandingBadge } from './StandingBadge';
import { TimeLeft } from './TimeLeft';

const route = getRouteApi('/signed-in/shell/requests');

export function Requests() {
  const { view = 'mine', state } = route.useSearch();
  const navigate = route.useNavigate();
  const { seesEvidence } = useRights();
  const toDecide = useQuery(toDecideQuery);
  const waiting = toDecide.data?.length ?? 0;
  const due = useQuery(emergenciesQuery).data?.filter((one) => one.may_review && !isUnderWay(one)).length ?? 0;
  const show = (next: View | undefined) => void navigate({ search: { view: next }, replace: true });
  return (
    <Page title="Requests" about="Access that others approve, and emergencies that others review.">
      <Tabs value={view} onChange={(value) => show(viewOf(value))} keepMounted={false}>
        <Tabs.List mb="md" aria-label="Which requests">
          <Tabs.Tab value="mine">Mine</Tabs.Tab>
          <Tabs.Tab value="decide">{waiting > 0 ? `To decide (${waiting})` : 'To decide'}</Tabs.Tab>
          <Tabs.Tab value="emergencies">{due > 0 ? `Emergencies (${due} to review)` : 'Emergencies'}</Tabs.Tab>
          {seesEvidence ? <Tabs.Tab value="all">All</Tabs.Tab> : null}
        </Tabs.List>
        <Tabs.Panel value={view}>
          {view === 'decide' ? (
            <Fetched query={toDecide} isEmpty={(items) => items.length === 0} empty="Nothing waits for your word.">
              {(items) => <Items label="Requests to decide" items={items} />}
            </Fetched>
          ) : (
            <Narrowable
              key={view}
              view={view}
              state={state}
              onState={(next) => void navigate({ search: { view: viewOf(view), state: next }, replace: true })}
            />
          )}
        </Tabs.Panel>
      </Tabs>
    </Page>
  );
}

interface NarrowableProps {
  view: 'mine' | 'emergencies' | 'all';
  state: Narrowed | undefined;
  onState: (state: Narrowed | undefined) => void;
}

const FILTERS: Record<NarrowableProps['view'], calls.RequestFilter> = {
  mine: { mine: true },
  emergencies: { kind: 'break_glass' },
  all: {},
};

function Narrowable({ view, state, onState }: NarrowableProps) {
  const filter: calls.RequestFilter = {
    ...FILTERS[view],
    ...(state === 'unreviewed' ? { unreviewed: true } : { state }),
  };
  const pages = useInfiniteQuery({
    queryKey: ['requests', filter],
    queryFn: ({ pageParam }) => calls.requests(filter, pageParam),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next ?? undefined,
    refetchInterval: 15_000,
  });
  const list = { ...pages, data: pages.data?.pages.flatMap((page) => page.items) };
  const choices = STATES.filter(({ value }) => view === 'emergencies' || value !== 'unreviewed');
  return (
    <>
      <NativeSelect
        label="State"
        size="xs"
        w={200}
        mb="md"
        data={choices}
        value={state ?? ''}
        onChange={(event) => onState(STATES.find(({ value }) => value === event.currentTarget.value)?.value || undefined)}
      />
      {/* A page may be empty although others follow: what one may not see is left out of it. */}
      <Fetched query={list} isEmpty={(items) => items.length === 0 && !pages.hasNextPage} empty="No request matches.">
        {(items) => <Items label="Requests" items={items} />}
      </Fetched>
      {pages.hasNextPage ? (
        <Button mt="md" variant="default" loading={pages.isFetchingNextPage} onClick={() => void pages.fetchNextPage()}>
          Older
        </Button>
      ) : null}
    </>
  );
}

function Items({ label, items }: { label: string; items: calls.AccessRequest[] }) {
  return (
    <ul className={classes.list} aria-label={label}>
      {items.map((item) => (
        <Item key={item.id} item={item} />
      ))}
    </ul>
  );
}

function Item({ item }: { item: calls.AccessRequest }) {
  const me = useMe();
  return (
    <Paper component="li" withBorder p="sm" className={classes.item} aria-label={`${item.person} on ${item.connection}`}>
      <Group justify="space-between" wrap="nowrap" align="flex-start">
        <TextLink to="/requests/$id" params={{ id: item.id }} fw={500} style={{ overflowWrap: 'anywhere' }}>
          {item.person === me.name ? 'You' : item.person} on {item.connection}
        </TextLink>
        <Group gap={6} justify="flex-end">
          {item.kind === 'break_glass' && !isUnderWay(item) ? (
            <Badge variant="default" c="dimmed" tt="none" miw="max-content">
              emergency
            </Badge>
          ) : null}
          <StandingBadge request={item} />
        </Group>
      </Group>
      <Text size="sm" lineClamp={2} my={4}>
        <Visible text={item.reason} oneLine />
      </Text>
      <Text size="xs" c="dimmed" component="div">
        <Time at={item.created_at} /> · for {span(item.duration_seconds)}
        {item.state === 'pending' ? ` · ${approvals(item)} of ${counted(item.needed, 'approval')}` : null}
        {isUnderWay(item) ? (
          <>
            {' · '}
            <TimeLeft request={item} />
          </>
        ) : null}
      </Text>
    </Paper>
  );
}
