/** Service accounts: programs that call with API tokens. Admins add and lock them. */
import { Button, Group, Modal, Select, Stack, Table, Text, TextInput } from '@mantine/core';
import { queryOptions, useMutation, useQuery } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';

import * as calls from '../../api/calls';
import { count } from '../../lib/format';
import { userProblem } from '../../lib/names';
import { useForget, useRights } from '../../queries';
import { Confirm } from '../../ui/Confirm';
import { Fetched } from '../../ui/Fetched';
import { Listing } from '../../ui/Listing';
import { ProblemAlert } from '../../ui/ProblemAlert';
import { TextLink } from '../../ui/RouterLink';
import { Time } from '../../ui/Time';

export const servicesQuery = queryOptions({ queryKey: ['services'], queryFn: calls.serviceAccounts });

export function Services() {
  const { manages } = useRights();
  const [locking, setLocking] = useState<calls.ServiceAccount>();
  const list = useQuery(servicesQuery);
  return (
    <>
      <Fetched query={list} isEmpty={(items) => items.length === 0} empty="No service account yet.">
        {(items) => (
          <Listing
            label="Service accounts"
            minWidth={560}
            columns={['Name', 'Role', { number: 'Tokens' }, 'Last use', 'State']}
            actions={manages}
          >
            {items.map((account) => (
              <Table.Tr key={account.id}>
                <Table.Td>
                  <TextLink to="/people/services/$name" params={{ name: account.name }} fw={500} inherit>
                    {account.name}
                  </TextLink>
                </Table.Td>
                <Table.Td>{account.role}</Table.Td>
                <Table.Td ta="right">{count(account.tokens)}</Table.Td>
                <Table.Td>{account.used_at ? <Time at={account.used_at} /> : 'never'}</Table.Td>
                <Table.Td>{account.locked ? 'locked' : 'active'}</Table.Td>
                {manages ? (
                  <Table.Td ta="right">
                    <Button
                      size="compact-xs"
                      variant="subtle"
                      color={account.locked ? undefined : 'red'}
                      aria-label={`${account.locked ? 'Unlock' : 'Lock'} ${account.name}`}
                      onClick={() => setLocking(account)}
                    >
                      {account.locked ? 'Unlock' : 'Lock'}
                    </Button>
                  </Table.Td>
                ) : null}
              </Table.Tr>
            ))}
          </Listing>
        )}
      </Fetched>
      {locking ? <Lock account={locking} onClose={() => setLocking(undefined)} /> : null}
    </>
  );
}

function Lock({ account, onClose }: { account: calls.ServiceAccount; onClose: () => void }) {
  const forget = useForget();
  const word = account.locked ? 'Unlock' : 'Lock';
  const lock = useMutation({
    mutationFn: () => calls.lockServiceAccount(account.name, !account.locked),
    onSuccess: async () => {
      await forget('services', 'sessions');
      onClose();
    },
  });
  return (
    <Confirm
      opened
      title={`${word} ${account.name}`}
      action={word}
      busy={lock.isPending}
      error={lock.error}
      onConfirm={() => lock.mutate()}
      onClose={onClose}
    >
      <Text size="sm">
        {account.locked ? 'Its tokens are good again.' : 'Its tokens are no good and its live sessions end, until it is unlocked.'}
      </Text>
    </Confirm>
  );
}

const ROLES = [
  { value: 'user', label: 'user: opens what rules name it for' },
  { value: 'auditor', label: 'auditor: may read evidence' },
];

export function AddService({ onClose }: { onClose: () => void }) {
  const forget = useForget();
  const [name, setName] = useState('');
  const [role, setRole] = useState('user');
  const [tried, setTried] = useState(false);
  const add = useMutation({
    mutationFn: () => calls.addServiceAccount(name.trim(), role),
    onSuccess: async () => {
      await forget('services');
      onClose();
    },
  });
  const wrong = userProblem(name.trim());
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setTried(true);
    if (!wrong) add.mutate();
  };
  return (
    <Modal opened onClose={onClose} title="Add a service account" closeButtonProps={{ 'aria-label': 'Close' }}>
      <form onSubmit={submit} noValidate>
        <Stack>
          <TextInput
            label="Name"
            required
            data-autofocus
            autoComplete="off"
            value={name}
            error={tried ? wrong : undefined}
            onChange={(event) => setName(event.currentTarget.value)}
          />
          <Select label="Role" data={ROLES} value={role} allowDeselect={false} onChange={(value) => setRole(value ?? 'user')} />
          <Text size="xs" c="dimmed">
            A rule opens something to it by naming it as a service account. It has no second factor.
          </Text>
          {add.error ? <ProblemAlert error={add.error} /> : null}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={add.isPending}>
              Add
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
