/** The way in for emergencies: what will happen is said first, and the connection's name typed. */
import { Button, Group, List, Modal, Stack, TextInput } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useMutation, useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { type FormEvent, useState } from 'react';

import * as calls from '../../api/calls';
import { oneLine, statedProblem } from '../../lib/stated';
import { myOpenRequestsQuery, useForget } from '../../queries';
import { ProblemAlert } from '../../ui/ProblemAlert';
import { ButtonLink } from '../../ui/RouterLink';
import { StatedInput } from '../../ui/StatedInput';

export function BreakGlass({ connection }: { connection: string }) {
  const [opened, { open, close }] = useDisclosure();
  const mine = useQuery(myOpenRequestsQuery);
  const inForce = mine.data?.find((one) => one.connection === connection && one.kind === 'break_glass');
  if (inForce) {
    return (
      <ButtonLink size="xs" color="red" to="/requests/$id" params={{ id: inForce.id }}>
        Your emergency
      </ButtonLink>
    );
  }
  return (
    <>
      <Button size="xs" variant="light" color="red" onClick={open} aria-label={`Break the glass to ${connection}`}>
        Break the glass
      </Button>
      {opened ? <Dialog connection={connection} onClose={close} /> : null}
    </>
  );
}

const NOTHING_TYPED = { reason: '', incident: '', name: '' };

type Typed = typeof NOTHING_TYPED;

function problems(typed: Typed, connection: string): Partial<Typed> {
  const reason = statedProblem(typed.reason, 'Say why.');
  const incident = statedProblem(typed.incident, 'Name the incident.');
  return {
    ...(reason === undefined ? {} : { reason }),
    ...(incident === undefined ? {} : { incident }),
    ...(typed.name === connection ? {} : { name: `Type ${connection}.` }),
  };
}

function Dialog({ connection, onClose }: { connection: string; onClose: () => void }) {
  const forget = useForget();
  const navigate = useNavigate();
  const [typed, setTyped] = useState(NOTHING_TYPED);
  const [tried, setTried] = useState(false);
  const wrong = tried ? problems(typed, connection) : {};
  const open = useMutation({
    mutationFn: () =>
      calls.breakGlass({ connection, reason: typed.reason.trim(), incident: typed.incident.trim() }),
    onSuccess: async ({ id }) => {
      await forget('requests');
      await navigate({ to: '/requests/$id', params: { id } });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setTried(true);
    if (Object.keys(problems(typed, connection)).length === 0) open.mutate();
  };
  const type = (key: keyof Typed) => (text: string) => setTyped({ ...typed, [key]: text });
  return (
    <Modal opened onClose={onClose} title={`Break the glass to ${connection}`} closeButtonProps={{ 'aria-label': 'Close' }}>
      <form onSubmit={submit} noValidate>
        <Stack>
          <List size="sm" spacing={4} aria-label="What will happen">
            <List.Item>You are let in at once, and everybody concerned is told now: who, where and why.</List.Item>
            <List.Item>All that you do is recorded strictly.</List.Item>
            <List.Item>It ends by itself, sessions and all. Only somebody else can let it go on.</List.Item>
            <List.Item>Somebody else reviews afterwards what you did.</List.Item>
          </List>
          <StatedInput label="Reason" required autoFocus minRows={2} value={typed.reason} error={wrong.reason} onChange={type('reason')} />
          <TextInput
            label="Incident"
            description="Its number or link"
            required
            autoComplete="off"
            maxLength={1_000}
            value={typed.incident}
            error={wrong.incident}
            onChange={(event) => type('incident')(oneLine(event.currentTarget.value))}
          />
          <TextInput
            label={`Type ${connection} to confirm`}
            required
            autoComplete="off"
            autoCapitalize="none"
            spellCheck={false}
            value={typed.name}
            error={wrong.name}
            onChange={(event) => type('name')(event.currentTarget.value)}
          />
          {open.error ? <ProblemAlert error={open.error} /> : null}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" color="red" loading={open.isPending}>
              Break the glass
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
