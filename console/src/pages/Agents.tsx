/** Agents: which are up, and the one-use tokens with which new ones enrol. */
import { Alert, Badge, Button, Group, Modal, Select, Stack, Table, Text, TextInput } from '@mantine/core';
import { queryOptions, useMutation, useQuery } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';

import * as calls from '../api/calls';
import { count } from '../lib/format';
import { slugProblem } from '../lib/names';
import { infoQuery, useForget, useRights } from '../queries';
import { Confirm } from '../ui/Confirm';
import { Copyable } from '../ui/Copyable';
import { Fetched } from '../ui/Fetched';
import { Listing } from '../ui/Listing';
import { Page } from '../ui/Page';
import { ProblemAlert } from '../ui/ProblemAlert';
import { Time } from '../ui/Time';
import { joinCommand } from './joinCommand';

const agentsQuery = queryOptions({ queryKey: ['agents'], queryFn: calls.agents, refetchInterval: 10_000 });

export function Agents() {
  const { manages } = useRights();
  const [joining, setJoining] = useState(false);
  const [removing, setRemoving] = useState<string>();
  const list = useQuery(agentsQuery);
  return (
    <Page
      title="Agents"
      about="They run in the private networks, and dial out."
      actions={manages ? <Button onClick={() => setJoining(true)}>New join token</Button> : null}
    >
      <Fetched
        query={list}
        isEmpty={(items) => items.length === 0}
        empty="No agent is enrolled. Make a join token and run the command it comes with beside your databases."
      >
        {(items) => (
          <Listing
            label="Agents"
            minWidth={680}
            columns={['Name', 'State', 'Version', { number: 'Sessions' }, 'Enrolled', 'Certificate until']}
            actions={manages}
          >
            {items.map((agent) => (
              <Table.Tr key={agent.id}>
                <Table.Td fw={500} title={agent.id}>
                  {agent.name}
                </Table.Td>
                <Table.Td>
                  <Badge color={agent.online ? 'teal' : 'red'} variant="light" tt="none">
                    {agent.online ? 'online' : 'offline'}
                  </Badge>
                </Table.Td>
                <Table.Td>{agent.version}</Table.Td>
                <Table.Td ta="right">{count(agent.sessions)}</Table.Td>
                <Table.Td>
                  <Time at={agent.enrolled_at} />
                </Table.Td>
                <Table.Td>
                  <Time at={agent.certificate_expires_at} />
                </Table.Td>
                {manages ? (
                  <Table.Td ta="right">
                    <Button
                      size="compact-xs"
                      variant="subtle"
                      color="red"
                      aria-label={`Remove ${agent.name}`}
                      onClick={() => setRemoving(agent.name)}
                    >
                      Remove
                    </Button>
                  </Table.Td>
                ) : null}
              </Table.Tr>
            ))}
          </Listing>
        )}
      </Fetched>
      {removing ? <RemoveAgent name={removing} onClose={() => setRemoving(undefined)} /> : null}
      {joining ? <NewJoinToken onClose={() => setJoining(false)} /> : null}
    </Page>
  );
}

function RemoveAgent({ name, onClose }: { name: string; onClose: () => void }) {
  const forget = useForget();
  const remove = useMutation({
    mutationFn: () => calls.removeAgent(name),
    onSuccess: async () => {
      await forget('agents', 'connections');
      onClose();
    },
  });
  return (
    <Confirm
      opened
      title={`Remove ${name}`}
      action="Remove"
      busy={remove.isPending}
      error={remove.error}
      onConfirm={() => remove.mutate()}
      onClose={onClose}
    >
      <Text size="sm">Its certificate is no longer accepted, and the connections it serves go offline.</Text>
    </Confirm>
  );
}

function NewJoinToken({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState('');
  const [ttl, setTtl] = useState('3600');
  const [tried, setTried] = useState(false);
  const info = useQuery(infoQuery);
  const make = useMutation({ mutationFn: () => calls.makeJoinToken(name, Number(ttl)) });
  const wrong = slugProblem(name);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setTried(true);
    if (!wrong) make.mutate();
  };
  if (make.data && info.data) {
    return (
      <Modal
        opened
        onClose={onClose}
        size="lg"
        title={`Join token for ${name}`}
        closeOnClickOutside={false}
        closeButtonProps={{ 'aria-label': 'Close' }}
      >
        <Stack>
          <Text size="sm">Run this where the agent shall live:</Text>
          <Copyable value={joinCommand(info.data, name, make.data.token)} label="command" wrap />
          <Text size="sm" c="dimmed">
            Good once, until <Time at={make.data.expires_at} />.
          </Text>
          <Joined name={name} />
          <Alert color="yellow" variant="light">
            It is shown only now.
          </Alert>
          <Group justify="flex-end">
            <Button onClick={onClose}>Done</Button>
          </Group>
        </Stack>
      </Modal>
    );
  }
  return (
    <Modal opened onClose={onClose} title="New join token" closeButtonProps={{ 'aria-label': 'Close' }}>
      <form onSubmit={submit} noValidate>
        <Stack>
          <TextInput
            label="Agent’s name"
            description="The only name that the token is good for"
            required
            data-autofocus
            autoComplete="off"
            value={name}
            error={tried ? wrong : undefined}
            onChange={(event) => setName(event.currentTarget.value)}
          />
          <Select
            label="Good for"
            value={ttl}
            allowDeselect={false}
            onChange={(value) => setTtl(value ?? '3600')}
            data={[
              { value: '900', label: '15 minutes' },
              { value: '3600', label: '1 hour' },
              { value: '86400', label: '24 hours' },
            ]}
          />
          {make.error ? <ProblemAlert error={make.error} /> : null}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={make.isPending}>
              Make token
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

/** Has the agent come? Looked at often while somebody waits for it. */
function Joined({ name }: { name: string }) {
  const list = useQuery({ ...agentsQuery, refetchInterval: 3_000 });
  const online = list.data?.find((agent) => agent.name === name)?.online ?? false;
  return (
    <Text size="sm" role="status" c={online ? 'teal' : 'dimmed'}>
      {online ? `${name} is online.` : `Waiting for ${name} …`}
    </Text>
  );
}
