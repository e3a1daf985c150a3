/** People: who may sign in, in which role and groups; the groups themselves; programs. Admins add, change and lock; auditors look. */
import { Button, Table, Tabs, TextInput } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { getRouteApi } from '@tanstack/react-router';
import { useState } from 'react';

import type { User } from '../../api/calls';
import { count, counted } from '../../lib/format';
import { rulesQuery, usersQuery, useRights } from '../../queries';
import { Fetched } from '../../ui/Fetched';
import { Listing } from '../../ui/Listing';
import { Page } from '../../ui/Page';
import { TextLink } from '../../ui/RouterLink';
import { readDocument } from '../rules/document';
import { AddPerson } from './dialogs';
import { PeopleTable } from './PeopleTable';
import { AddService, Services } from './Services';
import { groupLines } from './words';

const route = getRouteApi('/signed-in/shell/people');

export function People() {
  const { view } = route.useSearch();
  const navigate = route.useNavigate();
  const { manages } = useRights();
  const [adding, setAdding] = useState(false);
  return (
    <Page
      title="People"
      about="Who may sign in, as what."
      actions={manages ? <Button onClick={() => setAdding(true)}>{view === 'services' ? 'Add a service account' : 'Add a person'}</Button> : null}
    >
      <Tabs
        value={view ?? 'people'}
        onChange={(next) => void navigate({ search: { view: next === 'groups' || next === 'services' ? next : undefined }, replace: true })}
        keepMounted={false}
      >
        <Tabs.List mb="md">
          <Tabs.Tab value="people">People</Tabs.Tab>
          <Tabs.Tab value="groups">Groups</Tabs.Tab>
          <Tabs.Tab value="services">Service accounts</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="people">
          <Everybody />
        </Tabs.Panel>
        <Tabs.Panel value="groups">
          <Groups />
        </Tabs.Panel>
        <Tabs.Panel value="services">
          <Services />
        </Tabs.Panel>
      </Tabs>
      {adding && view === 'services' ? <AddService onClose={() => setAdding(false)} /> : null}
      {adding && view !== 'services' ? <AddPerson onClose={() => setAdding(false)} /> : null}
    </Page>
  );
}

/** More than anybody reads; who looks for one of more looks for them by name. */
const MOST_SHOWN = 200;

function Everybody() {
  const list = useQuery(usersQuery);
  const [wanted, setWanted] = useState('');
  const found = (items: User[]) => items.filter((user) => searchable(user).includes(wanted.trim().toLowerCase()));
  return (
    <Fetched query={list} isEmpty={(items) => items.length === 0} empty="Nobody yet.">
      {(items) => (
        <>
          {items.length > 6 ? (
            <TextInput
              aria-label="Find a person"
              placeholder="Find by name, role or group"
              maw={360}
              value={wanted}
              onChange={(event) => setWanted(event.currentTarget.value)}
            />
          ) : null}
          <PeopleTable label="People" items={found(items).slice(0, MOST_SHOWN)} />
          {found(items).length > MOST_SHOWN ? `${counted(found(items).length - MOST_SHOWN, 'more person', 'more people')}: narrow it down above.` : null}
        </>
      )}
    </Fetched>
  );
}

const searchable = ({ name, role, groups }: User): string => [name, role, ...groups].join(' ').toLowerCase();

function Groups() {
  const people = useQuery(usersQuery);
  const rules = useQuery(rulesQuery);
  const failed = people.error ?? rules.error;
  const lines = {
    data: people.data && rules.data ? groupLines(people.data, readDocument(rules.data.document)) : undefined,
    error: failed,
    isPending: failed === null,
    refetch: () => void Promise.all([people.refetch(), rules.refetch()]),
  };
  return (
    <Fetched query={lines} isEmpty={(items) => items.length === 0} empty="Nobody is in a group, and no rule names one.">
      {(items) => (
        <Listing label="Groups" minWidth={300} columns={['Group', { number: 'Members' }, { number: 'Places in rules' }]}>
          {items.map((group) => (
            <Table.Tr key={group.name}>
              <Table.Td>
                <TextLink to="/people/groups/$name" params={{ name: group.name }} fw={500} inherit>
                  {group.name}
                </TextLink>
              </Table.Td>
              <Table.Td ta="right">{count(group.members)}</Table.Td>
              <Table.Td ta="right">{count(group.rules)}</Table.Td>
            </Table.Tr>
          ))}
        </Listing>
      )}
    </Fetched>
  );
}
