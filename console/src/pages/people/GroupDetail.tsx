/** One group: who is in it, and where the rules name it. */
import { Badge, Stack, Table, Title } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { getRouteApi } from '@tanstack/react-router';

import { visible } from '../../lib/visible';
import { rulesQuery, usersQuery } from '../../queries';
import { Fetched } from '../../ui/Fetched';
import { Listing } from '../../ui/Listing';
import { Page } from '../../ui/Page';
import { readDocument } from '../rules/document';
import { PeopleTable } from './PeopleTable';
import { namings } from './words';

const route = getRouteApi('/signed-in/shell/people/groups/$name');

export function GroupDetail() {
  const { name } = route.useParams();
  const people = useQuery(usersQuery);
  const rules = useQuery(rulesQuery);
  const members = { ...people, data: people.data?.filter(({ groups }) => groups.includes(name)) };
  const places = { ...rules, data: rules.data && namings(readDocument(rules.data.document), name) };
  return (
    <Page title={visible(name, true)} about="A group.">
      <Stack component="section" gap="sm" aria-label="Rules">
        <Title order={2} size="h4">
          Rules that name it
        </Title>
        <Fetched query={places} isEmpty={(items) => items.length === 0} empty="No rule names it.">
          {(items) => (
            <Listing label="Rules that name it" minWidth={420} columns={['Rule', 'Its members', 'Connections']}>
              {items.map((item) => (
                <Table.Tr key={`${item.rule} ${item.as}`}>
                  <Table.Td fw={500}>
                    {item.rule}{' '}
                    {item.enabled ? null : (
                      <Badge variant="light" color="gray" tt="none" size="sm">
                        off
                      </Badge>
                    )}
                  </Table.Td>
                  <Table.Td>{WORDS[item.as]}</Table.Td>
                  <Table.Td>{item.what.join(', ')}</Table.Td>
                </Table.Tr>
              ))}
            </Listing>
          )}
        </Fetched>
      </Stack>
      <Stack component="section" gap="sm" aria-label="Members">
        <Title order={2} size="h4">
          Members
        </Title>
        <Fetched query={members} isEmpty={(items) => items.length === 0} empty="Nobody is in it.">
          {(items) => <PeopleTable label="Members" items={items} />}
        </Fetched>
      </Stack>
    </Page>
  );
}

const WORDS = {
  'may open': 'may open',
  approves: 'approve',
  'in emergencies': 'may open in emergencies',
  reviews: 'review emergencies',
} as const;
