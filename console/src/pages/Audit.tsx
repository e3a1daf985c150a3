/** The ledger: what happened, by whom; whether it is whole; and the checkpoint to keep elsewhere. */
import { Alert, Badge, Button, Code, Drawer, Group, List, Paper, Stack, Table, Text, Title, UnstyledButton } from '@mantine/core';
import { useInfiniteQuery, useMutation, useQuery } from '@tanstack/react-query';
import { getRouteApi } from '@tanstack/react-router';
import { useState } from 'react';

import * as calls from '../api/calls';
import { count, counted } from '../lib/format';
import { localToRfc3339 } from '../lib/localTime';
import { Copyable } from '../ui/Copyable';
import { Fetched } from '../ui/Fetched';
import { Listing } from '../ui/Listing';
import { FilterInput } from '../ui/FilterInput';
import { Page } from '../ui/Page';
import { ProblemAlert } from '../ui/ProblemAlert';
import { Time } from '../ui/Time';
import { Visible } from '../ui/Visible';

const route = getRouteApi('/signed-in/shell/audit');

export function Audit() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const [shown, setShown] = useState<calls.AuditEvent>();
  const filter: calls.AuditFilter = {
    ...search,
    since: localToRfc3339(search.since),
    until: localToRfc3339(search.until),
  };
  const pages = useInfiniteQuery({
    queryKey: ['audit', filter],
    queryFn: ({ pageParam }) => calls.auditEvents(filter, pageParam),
    initialPageParam: undefined as number | undefined,
    getNextPageParam: (last) => (last.items.length < calls.AUDIT_PAGE ? undefined : last.items.at(-1)?.seq),
    // Each read is an event itself: none behind the reader's back.
    staleTime: Infinity,
    refetchOnWindowFocus: false,
  });
  const set = (change: Partial<typeof search>) => void navigate({ search: { ...search, ...change }, replace: true });
  const list = { ...pages, data: pages.data?.pages.flatMap((page) => page.items) };
  return (
    <Page
      title="Audit"
      about="Everything that happened, newest first. Reading it is an event too."
      actions={
        <Button variant="default" loading={pages.isRefetching} onClick={() => void pages.refetch()}>
          Refresh
        </Button>
      }
    >
      <Ledger />
      <Group align="flex-end" gap="sm" role="search" aria-label="Filters">
        <FilterInput label="Code" placeholder="session.opened" value={search.code} onChange={(code) => set({ code })} />
        <FilterInput label="Actor" value={search.actor} onChange={(actor) => set({ actor })} />
        <FilterInput label="Subject (an id)" value={search.subject} onChange={(subject) => set({ subject })} />
        <FilterInput label="Since" type="datetime-local" value={search.since} onChange={(since) => set({ since })} />
        <FilterInput label="Until" type="datetime-local" value={search.until} onChange={(until) => set({ until })} />
      </Group>
      <Fetched query={list} isEmpty={(items) => items.length === 0} empty="No event matches.">
        {(items) => <EventTable items={items} onShow={setShown} />}
      </Fetched>
      {pages.hasNextPage ? (
        <Button variant="default" loading={pages.isFetchingNextPage} onClick={() => void pages.fetchNextPage()}>
          Older
        </Button>
      ) : null}
      <EventDrawer event={shown} onClose={() => setShown(undefined)} />
    </Page>
  );
}

function EventTable({ items, onShow }: { items: calls.AuditEvent[]; onShow: (event: calls.AuditEvent) => void }) {
  return (
    <Listing label="Events" minWidth={620} columns={[{ number: 'No.' }, 'When', 'Event', 'Who', 'Leaf hash']}>
      {items.map((item) => (
        <Table.Tr key={item.seq}>
          <Table.Td ta="right" c="dimmed">
            {count(item.seq)}
          </Table.Td>
          <Table.Td>
            <Time at={item.at} />
          </Table.Td>
          <Table.Td>
            <UnstyledButton onClick={() => onShow(item)} aria-label={`Event ${item.seq}, ${item.code}: details`}>
              <Badge variant="light" tt="none" className="clickable">
                {item.code}
              </Badge>
            </UnstyledButton>
          </Table.Td>
          <Table.Td>
            <Visible text={item.actor} oneLine />
          </Table.Td>
          <Table.Td className="mono" title={item.leaf_hash}>
            {item.leaf_hash.slice(0, 12)}…
          </Table.Td>
        </Table.Tr>
      ))}
    </Listing>
  );
}

function EventDrawer({ event, onClose }: { event: calls.AuditEvent | undefined; onClose: () => void }) {
  return (
    <Drawer
      opened={event !== undefined}
      onClose={onClose}
      position="right"
      size="lg"
      title={event ? `Event ${event.seq}` : ''}
      closeButtonProps={{ 'aria-label': 'Close' }}
    >
      {event ? (
        <Stack>
          <Group>
            <Badge tt="none" variant="light">
              {event.code}
            </Badge>
            <Text size="sm">
              <Visible text={event.actor} oneLine />, <Time at={event.at} />
            </Text>
          </Group>
          <Copyable value={event.id} label="event id" />
          <Stack gap={2}>
            <Text size="xs" c="dimmed">
              Leaf hash
            </Text>
            <Copyable value={event.leaf_hash} label="leaf hash" wrap />
          </Stack>
          <Code block aria-label="Event as it is hashed">
            <Visible text={JSON.stringify(event.event, null, 2)} />
          </Code>
        </Stack>
      ) : null}
    </Drawer>
  );
}

function Ledger() {
  const verify = useMutation({ mutationFn: calls.verifyLedger });
  const checkpoint = useQuery({ queryKey: ['checkpoint'], queryFn: calls.checkpoint, enabled: false });
  return (
    <Paper withBorder p="md" component="section" aria-label="Ledger">
      <Stack gap="sm">
        <Group justify="space-between">
          <div>
            <Title order={2} size="h4">
              Ledger
            </Title>
            <Text size="sm" c="dimmed">
              Keep a checkpoint outside: with it, <code>hoop audit verify</code> finds what was altered, dropped or rolled back.
            </Text>
          </div>
          <Group gap="xs">
            <Button variant="default" loading={checkpoint.isFetching} onClick={() => void checkpoint.refetch()}>
              Show checkpoint
            </Button>
            <Button variant="light" loading={verify.isPending} onClick={() => verify.mutate()}>
              Verify
            </Button>
          </Group>
        </Group>
        {verify.error ? <ProblemAlert error={verify.error} /> : null}
        {verify.data ? <LedgerResult report={verify.data} /> : null}
        {checkpoint.error ? <ProblemAlert error={checkpoint.error} /> : null}
        {checkpoint.data ? (
          <Stack gap="xs">
            <Copyable value={checkpoint.data.note} label="checkpoint" wrap />
            <Text size="xs" c="dimmed">
              Verifier key
            </Text>
            <Copyable value={checkpoint.data.verifier_key} label="verifier key" wrap />
          </Stack>
        ) : null}
      </Stack>
    </Paper>
  );
}

function LedgerResult({ report }: { report: calls.LedgerReport }) {
  return (
    <Stack gap="xs" role="status">
      <Alert color={report.clean ? 'teal' : 'red'} variant="light" title={report.clean ? 'Nothing was found' : 'Something is wrong'}>
        <Text size="sm">{counted(report.events, 'event')} checked.</Text>
        <List size="sm">
          {report.findings.map((finding, index) => (
            <List.Item key={index}>{finding}</List.Item>
          ))}
        </List>
      </Alert>
      <Copyable value={report.root} label="root hash" wrap />
    </Stack>
  );
}
