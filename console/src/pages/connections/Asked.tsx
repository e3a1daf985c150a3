/** Where one's own request for a connection stands, or the way to make one. */
import { Button, Group, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useQuery } from '@tanstack/react-query';

import { myOpenRequestsQuery } from '../../queries';
import { TextLink } from '../../ui/RouterLink';
import type { Wanted } from '../requests/standing';
import { TimeLeft } from '../requests/TimeLeft';
import { RequestAccess } from './RequestAccess';

export function Asked({ connection, wanted }: { connection: string; wanted: Wanted }) {
  const [opened, { open, close }] = useDisclosure();
  const mine = useQuery(myOpenRequestsQuery);
  // Until it is known, a button might ask for what is asked for already.
  if (!mine.data) return null;
  const asked = mine.data.find((request) => request.connection === connection && request.kind === 'access');
  if (asked) {
    return (
      <Text size="sm" component="div">
        <TextLink to="/requests/$id" params={{ id: asked.id }} inherit>
          {asked.state === 'approved' ? 'Approved' : 'Asked for'}
        </TextLink>
        {', '}
        <TimeLeft request={asked} />
      </Text>
    );
  }
  return (
    <Group>
      <Button size="xs" variant="light" onClick={open} aria-label={`Request access to ${connection}`}>
        Request access
      </Button>
      {opened ? <RequestAccess connection={connection} wanted={wanted} onClose={close} /> : null}
    </Group>
  );
}
