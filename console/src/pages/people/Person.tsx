/** One person: what they are, what they can reach, what they have open, and what an admin may do about it. */
import { Group, Paper, SimpleGrid, Stack, Text, Title } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { getRouteApi } from '@tanstack/react-router';
import type { ReactNode } from 'react';

import * as calls from '../../api/calls';
import { visible } from '../../lib/visible';
import { usersQuery, useRights } from '../../queries';
import { Empty, Fetched } from '../../ui/Fetched';
import { Page } from '../../ui/Page';
import { TextLink } from '../../ui/RouterLink';
import { Time } from '../../ui/Time';
import { ReachAnswer } from '../rules/Reach';
import { SessionTable } from '../sessions/SessionTable';
import { GroupLinks, PersonLinks } from './GroupLinks';
import { PersonButtons } from './PersonButtons';
import { UserState } from './UserState';
import { sourceWord } from './words';

const route = getRouteApi('/signed-in/shell/people/$name');

export function Person() {
  const { name } = route.useParams();
  const { manages } = useRights();
  const people = useQuery(usersQuery);
  const found = { ...people, data: people.data && { user: people.data.find((user) => user.name === name) } };
  const user = found.data?.user;
  return (
    <Page title={visible(name, true)} about="A person." actions={user && manages ? <PersonButtons user={user} size="sm" /> : null}>
      <Fetched query={found}>
        {(here) =>
          here.user ? (
            <Stack gap="lg">
              <Facts user={here.user} />
              <Section title="What can be reached">
                <ReachAnswer question="person" about={name} />
              </Section>
              <OpenSessions name={name} />
            </Stack>
          ) : (
            <Empty>Nobody has this name.</Empty>
          )
        }
      </Fetched>
    </Page>
  );
}

function Facts({ user }: { user: calls.User }) {
  const facts: [string, ReactNode][] = [
    ['State', <UserState key="state" user={user} />],
    ['Role', user.role],
    ['Groups', <GroupLinks key="groups" groups={user.groups} />],
    ['Account', sourceWord(user.source)],
    ...(user.other_accounts?.length ? [['Also signs in as', <PersonLinks key="others" names={user.other_accounts} />] as [string, ReactNode]] : []),
    ['Last sign-in', user.last_login_at ? <Time key="last" at={user.last_login_at} /> : 'never'],
    [
      'In the ledger',
      <TextLink key="did" to="/audit" search={{ actor: user.name }} inherit>
        What they did
      </TextLink>,
    ],
  ];
  return (
    <Paper withBorder p="md">
      <SimpleGrid cols={{ base: 2, sm: 3, lg: 6 }} component="dl" m={0} verticalSpacing="sm">
        {facts.map(([name, value]) => (
          <div key={name}>
            <Text component="dt" size="xs" c="dimmed">
              {name}
            </Text>
            <Text component="dd" size="sm" m={0} style={{ overflowWrap: 'anywhere' }}>
              {value}
            </Text>
          </div>
        ))}
      </SimpleGrid>
    </Paper>
  );
}

function OpenSessions({ name }: { name: string }) {
  const { manages } = useRights();
  const filter: calls.SessionFilter = { state: 'live', user: name };
  const live = useQuery({
    queryKey: ['sessions', 'of', name],
    queryFn: () => calls.sessions(filter, undefined),
    refetchInterval: 5_000,
  });
  const list = { ...live, data: live.data?.items };
  return (
    <Section title="Live sessions">
      <Fetched query={list} isEmpty={(items) => items.length === 0} empty="No session is open now.">
        {(items) => <SessionTable items={items} live mayKill={manages} />}
      </Fetched>
      <Group gap="md">
        <TextLink size="sm" to="/sessions" search={{ state: 'live', user: name }}>
          All live ones
        </TextLink>
        <TextLink size="sm" to="/sessions" search={{ state: 'past', user: name }}>
          Past ones
        </TextLink>
      </Group>
    </Section>
  );
}

function Section({ title, children }: { title: string; children: ReactNode }) {
  return (
    <Stack component="section" gap="sm" aria-label={title}>
      <Title order={2} size="h4">
        {title}
      </Title>
      {children}
    </Stack>
  );
}
