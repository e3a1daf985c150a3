/** One's own passkeys, on the page of one's account: which there are, a new one, another name, none any more. */
import { Button, Group, Modal, Stack, Table, Text, TextInput, Title } from '@mantine/core';
import { useMutation, useQuery } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';

import * as calls from '../api/calls';
import { knowsPasskeys } from '../lib/webauthn';
import { infoQuery, passkeysQuery, useForget } from '../queries';
import { Confirm } from '../ui/Confirm';
import { Listing } from '../ui/Listing';
import { ProblemAlert } from '../ui/ProblemAlert';
import { Time } from '../ui/Time';
import { Visible } from '../ui/Visible';

const LONGEST_NAME = 100;

export function Passkeys() {
  const info = useQuery(infoQuery);
  const list = useQuery(passkeysQuery);
  const [renaming, setRenaming] = useState<calls.Passkey>();
  const [removing, setRemoving] = useState<calls.Passkey>();
  if (!info.data) return null;
  return (
    <Stack gap="sm" mt="xl" align="stretch">
      <Title order={2} size="h4">
        Passkeys
      </Title>
      <Text size="sm">
        A passkey is a key on your phone, computer or security key that opens with your finger, face or PIN. It proves your
        second factor without a code, and cannot be given away to another site.
      </Text>
      {list.error ? <ProblemAlert error={list.error} onRetry={() => void list.refetch()} /> : null}
      {list.data && list.data.length > 0 ? (
        <Listing label="My passkeys" minWidth={480} columns={['Name', 'Registered', 'Last used']} actions>
          {list.data.map((passkey) => (
            <Table.Tr key={passkey.id}>
              <Table.Td>
                <Visible text={passkey.name} oneLine />
              </Table.Td>
              <Table.Td>
                <Time at={passkey.created_at} />
              </Table.Td>
              <Table.Td>{passkey.used_at ? <Time at={passkey.used_at} /> : 'never'}</Table.Td>
              <Table.Td ta="right">
                <Button
                  size="compact-xs"
                  variant="subtle"
                  aria-label={`Rename ${passkey.name}`}
                  onClick={() => setRenaming(passkey)}
                >
                  Rename
                </Button>
                <Button
                  size="compact-xs"
                  variant="subtle"
                  color="red"
                  aria-label={`Remove ${passkey.name}`}
                  onClick={() => setRemoving(passkey)}
                >
                  Remove
                </Button>
              </Table.Td>
            </Table.Tr>
          ))}
        </Listing>
      ) : null}
      <Add possible={info.data.passkeys === true} />
      {renaming ? <Rename passkey={renaming} onClose={() => setRenaming(undefined)} /> : null}
      {removing ? <Remove passkey={removing} onClose={() => setRemoving(undefined)} /> : null}
    </Stack>
  );
}

function Add({ possible }: { possible: boolean }) {
  const forget = useForget();
  const [name, setName] = useState('');
  const add = useMutation({
    mutationFn: () => calls.addPasskey(name.trim()),
    onSuccess: () => {
      setName('');
      return forget('passkeys');
    },
  });
  if (!possible) {
    return (
      <Text size="sm" c="dimmed">
        There are none at this gateway: passkeys are bound to a host name, and it is reached by an address.
      </Text>
    );
  }
  if (!knowsPasskeys()) {
    return (
      <Text size="sm" c="dimmed">
        This browser knows no passkeys.
      </Text>
    );
  }
  const submit = (event: FormEvent) => {
    event.preventDefault();
    add.mutate();
  };
  return (
    <form onSubmit={submit}>
      <Stack gap="sm" align="flex-start">
        <Group align="flex-end">
          <TextInput
            label="Name of a new passkey"
            placeholder="such as: phone"
            required
            maxLength={LONGEST_NAME}
            value={name}
            onChange={(event) => setName(event.currentTarget.value)}
          />
          <Button type="submit" variant="default" loading={add.isPending} disabled={name.trim() === ''}>
            Add a passkey
          </Button>
        </Group>
        {add.error ? <ProblemAlert error={add.error} /> : null}
      </Stack>
    </form>
  );
}

function Rename({ passkey, onClose }: { passkey: calls.Passkey; onClose: () => void }) {
  const forget = useForget();
  const [name, setName] = useState(passkey.name);
  const rename = useMutation({
    mutationFn: () => calls.renamePasskey(passkey.id, name.trim()),
    onSuccess: async () => {
      await forget('passkeys');
      onClose();
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    rename.mutate();
  };
  return (
    <Modal opened onClose={onClose} title="Rename a passkey" closeButtonProps={{ 'aria-label': 'Close' }}>
      <form onSubmit={submit}>
        <Stack>
          <TextInput
            label="Name"
            required
            maxLength={LONGEST_NAME}
            value={name}
            onChange={(event) => setName(event.currentTarget.value)}
          />
          {rename.error ? <ProblemAlert error={rename.error} /> : null}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={rename.isPending} disabled={name.trim() === ''}>
              Rename
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

function Remove({ passkey, onClose }: { passkey: calls.Passkey; onClose: () => void }) {
  const forget = useForget();
  const remove = useMutation({
    mutationFn: () => calls.removePasskey(passkey.id),
    onSuccess: async () => {
      await forget('passkeys');
      onClose();
    },
  });
  return (
    <Confirm
      opened
      title="Remove a passkey"
      action="Remove"
      busy={remove.isPending}
      error={remove.error}
      onConfirm={() => remove.mutate()}
      onClose={onClose}
    >
      <Text size="sm">
        <Visible text={passkey.name} oneLine /> proves nothing here any more. Delete it on the device too: the gateway cannot.
      </Text>
    </Confirm>
  );
}
