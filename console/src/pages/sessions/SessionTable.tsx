/** Sessions, one a line; the live ones count their time. */
import { Table, Text } from '@mantine/core';

import type * as calls from '../../api/calls';
import { bytes, count, span } from '../../lib/format';
import { Listing } from '../../ui/Listing';
import { TextLink } from '../../ui/RouterLink';
import { Time } from '../../ui/Time';
import { useNow } from '../../ui/useNow';
import { atLeast } from './figures';
import { KillButton } from './KillButton';
import { StateBadge } from './StateBadge';

export function SessionTable({ items, live, mayKill }: { items: calls.Session[]; live: boolean; mayKill: boolean }) {
  const now = useNow(live);
  return (
    <Listing
      label={live ? 'Live sessions' : 'Past sessions'}
      minWidth={760}
      columns={['Session', 'User', 'Started', 'Lasted', { number: 'Requests' }, { number: 'Rows' }, { number: 'Sent' }, 'State']}
      actions={mayKill && live}
    >
      {items.map((item) => (
        <Table.Tr key={item.id}>
          <Table.Td>
            <TextLink to="/sessions/$id" params={{ id: item.id }} fw={500} title={item.id}>
              {item.connection}
            </TextLink>
            <Text size="xs" c="dimmed">
              {item.protocol} · {item.address}
            </Text>
          </Table.Td>
          <Table.Td>{item.user}</Table.Td>
          <Table.Td>
            <Time at={item.started_at} />
          </Table.Td>
          <Table.Td>{lasted(item, now)}</Table.Td>
          <Table.Td ta="right">{atLeast(item, count(item.requests))}</Table.Td>
          <Table.Td ta="right">{atLeast(item, count(item.rows))}</Table.Td>
          <Table.Td ta="right">{atLeast(item, bytes(item.bytes_out))}</Table.Td>
          <Table.Td>
            <StateBadge state={item.state} />
            {item.end_reason ? (
              <Text size="xs" c="dimmed" lineClamp={1} maw={180} title={item.end_reason}>
                {item.end_reason}
              </Text>
            ) : null}
          </Table.Td>
          {mayKill && live ? (
            <Table.Td>
              <KillButton session={item} size="compact-xs" />
            </Table.Td>
          ) : null}
        </Table.Tr>
      ))}
    </Listing>
  );
}

function lasted(session: calls.Session, now: number): string {
  const end = session.ended_at ? Date.parse(session.ended_at) : now;
  return span((end - Date.parse(session.started_at)) / 1_000);
}
