/** People, one a line. */
import { Table } from '@mantine/core';

import type { User } from '../../api/calls';
import { useRights } from '../../queries';
import { Listing } from '../../ui/Listing';
import { TextLink } from '../../ui/RouterLink';
import { Time } from '../../ui/Time';
import { GroupLinks } from './GroupLinks';
import { PersonButtons } from './PersonButtons';
import { UserState } from './UserState';
import { sourceWord } from './words';

export function PeopleTable({ label, items }: { label: string; items: readonly User[] }) {
  const { manages } = useRights();
  return (
    <Listing label={label} minWidth={720} columns={['Name', 'Role', 'Groups', 'Source', 'Last sign-in', 'State']} actions={manages}>
      {items.map((user) => (
        <Table.Tr key={user.id}>
          <Table.Td>
            <TextLink to="/people/$name" params={{ name: user.name }} fw={500} inherit>
              {user.name}
            </TextLink>
          </Table.Td>
          <Table.Td>{user.role}</Table.Td>
          <Table.Td>
            <GroupLinks groups={user.groups} />
          </Table.Td>
          <Table.Td>{sourceWord(user.source)}</Table.Td>
          <Table.Td>{user.last_login_at ? <Time at={user.last_login_at} /> : 'never'}</Table.Td>
          <Table.Td>
            <UserState user={user} />
          </Table.Td>
          {manages ? (
            <Table.Td>
              <PersonButtons user={user} size="compact-xs" />
            </Table.Td>
          ) : null}
        </Table.Tr>
      ))}
    </Listing>
  );
}
