/** One service account: its API tokens, which are made, shown once, and revoked here. */
import { Alert, Badge, Button, Group, Modal, Select, Stack, Table, Text, TextInput } from '@mantine/core';
import { useMutation, useQuery } from '@tanstack/react-query';
import { getRouteApi } from '@tanstack/react-router';
import { type FormEvent, useState } from 'react';

import * as calls from '../../api/calls';
import { visible } from '../../lib/visible';
import { useForget, useRights } from '../../queries';
import { Confirm } from '../../ui/Confirm';
import { Copyable } from '../../ui/Copyable';
import { Fetched } from '../../ui/Fetched';
import { Listing } from '../../ui/Listing';
import { Page } from '../../ui/Page';
import { ProblemAlert } from '../../ui/ProblemAlert';
import { Time } from '../../ui/Time';
import { servicesQuery } from './Services';

const route = getRouteApi('/signed-in/shell/people/services/$name');

export function Service() {
  const { name } = route.useParams();
  const { manages } = useRights();
  const [making, setMaking] = useState(false);
  const [revoking, setRevoking] = useState<calls.ApiToken>();
  const account = useQuery(servicesQuery).data?.find((one) => one.name === name);
  const list = useQuery({ queryKey: ['services', 'tokens', name], queryFn: () => calls.apiTokens(name) });
  return (
    <Page
      title={visible(name, true)}
      about={account ? `A service account, ${account.role}${account.locked ? ', locked' : ''}.` : 'A service account.'}
      actions={manages ? <Button onClick={() => setMaking(true)}>New token</Button> : null}
    >
      <Fetched query={list} isEmpty={(items) => items.length === 0} empty="It has no token, so it can do nothing.">
        {(items) => (
          <Listing
            label="API tokens"
            minWidth={720}
            columns={['Name', 'Scope', 'Made by', 'Made', 'Good until', 'Last use', 'State']}
            actions={manages}
          >
            {items.map((token) => (
              <Table.Tr key={token.id}>
                <Table.Td fw={500} title={token.id}>
                  {visible(token.name, true)}
                </Table.Td>
                <Table.Td>{token.scope}</Table.Td>
                <Table.Td>{token.made_by}</Table.Td>
                <Table.Td>
                  <Time at={token.created_at} />
                </Table.Td>
                <Table.Td>
                  <Time at={token.expires_at} />
                </Table.Td>
                <Table.Td>{token.used_at ? <Time at={token.used_at} /> : 'never'}</Table.Td>
                <Table.Td>
                  <Badge color={token.good ? 'teal' : 'gray'} variant="light" tt="none">
                    {stateOf(token)}
                  </Badge>
                </Table.Td>
                {manages ? (
                  <Table.Td ta="right">
                    {token.good ? (
                      <Button
                        size="compact-xs"
                        variant="subtle"
                        color="red"
                        aria-label={`Revoke ${token.name}`}
                        onClick={() => setRevoking(token)}
                      >
                        Revoke
                      </Button>
                    ) : null}
                  </Table.Td>
                ) : null}
              </Table.Tr>
            ))}
          </Listing>
        )}
      </Fetched>
      {making ? <NewToken account={name} auditor={account?.role === 'auditor'} onClose={() => setMaking(false)} /> : null}
      {revoking ? <Revoke account={name} token={revoking} onClose={() => setRevoking(undefined)} /> : null}
    </Page>
  );
}

function stateOf({ good, revoked_at }: calls.ApiToken): string {
  if (revoked_at) return 'revoked';
  return good ? 'good' : 'over';
}

function Revoke({ account, token, onClose }: { account: string; token: calls.ApiToken; onClose: () => void }) {
  const forget = useForget();
  const revoke = useMutation({
    mutationFn: () => calls.revokeApiToken(account, token.id),
    onSuccess: async () => {
      await forget('services', 'sessions');
      onClose();
    },
  });
  return (
    <Confirm
      opened
      title={`Revoke ${token.name}`}
      action="Revoke"
      busy={revoke.isPending}
      error={revoke.error}
      onConfirm={() => revoke.mutate()}
      onClose={onClose}
    >
      <Text size="sm">Whatever uses it stops at once, and the sessions that it opened end.</Text>
    </Confirm>
  );
}

const DAY = 86_400;
const LIVES = [7, 30, 90, 365].map((days) => ({ value: String(days * DAY), label: days === 365 ? 'a year' : `${days} days` }));

function NewToken({ account, auditor, onClose }: { account: string; auditor: boolean; onClose: () => void }) {
  const forget = useForget();
  const [name, setName] = useState('');
  const [scope, setScope] = useState('connect');
  const [life, setLife] = useState(String(90 * DAY));
  const make = useMutation({
    mutationFn: () => calls.makeApiToken(account, { name: name.trim(), scope, ttl_seconds: Number(life) }),
    onSuccess: () => forget('services'),
  });
  if (make.data) return <Made token={make.data.token} onClose={onClose} />;
  const scopes = [
    { value: 'connect', label: 'connect: opens what rules name it for' },
    ...(auditor ? [{ value: 'evidence:read', label: 'evidence:read: reads sessions, recordings, the ledger' }] : []),
    { value: 'scim', label: 'scim: provisions people and groups' },
  ];
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (name.trim() !== '') make.mutate();
  };
  return (
    <Modal opened onClose={onClose} title={`New token for ${account}`} closeButtonProps={{ 'aria-label': 'Close' }}>
      <form onSubmit={submit} noValidate>
        <Stack>
          <TextInput
            label="Name"
            description="What will use it"
            required
            data-autofocus
            autoComplete="off"
            value={name}
            onChange={(event) => setName(event.currentTarget.value)}
          />
          <Select label="Scope" data={scopes} value={scope} allowDeselect={false} onChange={(value) => setScope(value ?? 'connect')} />
          <Select label="Good for" data={LIVES} value={life} allowDeselect={false} onChange={(value) => setLife(value ?? String(90 * DAY))} />
          {make.error ? <ProblemAlert error={make.error} /> : null}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={make.isPending}>
              Make
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

function Made({ token, onClose }: { token: string; onClose: () => void }) {
  return (
    <Modal opened onClose={onClose} title="The token" closeOnClickOutside={false} closeButtonProps={{ 'aria-label': 'Close' }}>
      <Stack>
        <Copyable value={token} label="token" wrap />
        <Alert color="yellow" variant="light">
          It is shown only now. Programs give it as HOOP_TOKEN, or as a bearer token.
        </Alert>
        <Group justify="flex-end">
          <Button onClick={onClose}>Done</Button>
        </Group>
      </Stack>
    </Modal>
  );
}
