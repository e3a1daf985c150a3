/** What stands around every page of a signed-in person: navigation by role, colour scheme, sign-out. */
import { AppShell, Anchor, Badge, Burger, Button, Group, Menu, ScrollArea, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Outlet, useNavigate, useRouterState } from '@tanstack/react-router';
import { Suspense } from 'react';

import * as calls from '../api/calls';
import { toDecideQuery, useMe, useRights } from '../queries';
import { ColorSchemeToggle } from './ColorSchemeToggle';
import { EmergencyBanner } from './EmergencyBanner';
import { Logo } from './Logo';
import { RoutePending } from './RouteStates';
import { PageLink } from './RouterLink';
import { useSignedOut } from './useSignedOut';

interface Place {
  to: '/connections' | '/sessions' | '/requests' | '/rules' | '/audit' | '/people' | '/agents' | '/ways-in' | '/account';
  label: string;
}

function places(seesEvidence: boolean): Place[] {
  return [
    { to: '/connections', label: 'Connections' },
    { to: '/sessions', label: 'Sessions' },
    { to: '/requests', label: 'Requests' },
    ...(seesEvidence
      ? ([
          { to: '/rules', label: 'Rules' },
          { to: '/audit', label: 'Audit' },
          { to: '/people', label: 'People' },
          { to: '/agents', label: 'Agents' },
          { to: '/ways-in', label: 'Ways in' },
        ] as const)
      : []),
    { to: '/account', label: 'My account' },
  ];
}

export function Shell() {
  useSignedOut();
  const [opened, { toggle, close }] = useDisclosure();
  const path = useRouterState({ select: (state) => state.location.pathname });
  const { seesEvidence } = useRights();
  return (
    <AppShell
      header={{ height: 52 }}
      navbar={{ width: 200, breakpoint: 'sm', collapsed: { mobile: !opened } }}
      padding="lg"
    >
      <Anchor href="#main" className="skip-link">
        Skip to content
      </Anchor>
      <AppShell.Header>
        <Group h="100%" px="md" justify="space-between" wrap="nowrap">
          <Group wrap="nowrap">
            <Burger opened={opened} onClick={toggle} hiddenFrom="sm" size="sm" aria-label="Navigation" />
            <Logo />
          </Group>
          <Group gap="xs" wrap="nowrap">
            <ColorSchemeToggle />
            <PersonMenu />
          </Group>
        </Group>
      </AppShell.Header>
      <AppShell.Navbar p="xs" aria-label="Pages">
        <ScrollArea>
          {places(seesEvidence).map((place) => (
            <PageLink
              key={place.to}
              to={place.to}
              label={place.label}
              active={path.startsWith(place.to)}
              aria-current={path.startsWith(place.to) ? 'page' : undefined}
              rightSection={place.to === '/requests' ? <ToDecide /> : null}
              onClick={close}
            />
          ))}
        </ScrollArea>
      </AppShell.Navbar>
      <AppShell.Main id="main" tabIndex={-1}>
        <EmergencyBanner />
        <Suspense fallback={<RoutePending />}>
          <Outlet />
        </Suspense>
      </AppShell.Main>
    </AppShell>
  );
}

/** How many requests wait for one's word. */
function ToDecide() {
  const waiting = useQuery(toDecideQuery).data?.length ?? 0;
  if (waiting === 0) return null;
  return (
    <Badge size="sm" circle title={`${waiting} to decide`}>
      {waiting}
    </Badge>
  );
}

function PersonMenu() {
  const me = useMe();
  const cache = useQueryClient();
  const navigate = useNavigate();
  const leave = useMutation({
    mutationFn: calls.signOut,
    onSettled: async () => {
      await navigate({ to: '/login' });
      cache.clear();
      // What a page kept for this person.
      sessionStorage.clear();
    },
  });
  return (
    <Menu position="bottom-end" width={220}>
      <Menu.Target>
        <Button variant="subtle" color="gray" size="compact-md" aria-label={`Signed in as ${me.name}`}>
          <Text size="sm" truncate maw={180}>
            {me.name}
          </Text>
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>
          {me.role} · {me.groups.length > 0 ? me.groups.join(', ') : 'no groups'}
        </Menu.Label>
        <Menu.Item onClick={() => void navigate({ to: '/account' })}>My account</Menu.Item>
        <Menu.Item onClick={() => leave.mutate()} disabled={leave.isPending}>
          Sign out
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
