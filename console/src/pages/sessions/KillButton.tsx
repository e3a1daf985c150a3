/** Ends somebody's session, with a reason that they are told and the ledger keeps. */
import { Button, Text, TextInput } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useMutation } from '@tanstack/react-query';
import { useState } from 'react';

import * as calls from '../../api/calls';
import { useForget } from '../../queries';
import { Confirm } from '../../ui/Confirm';

interface Props {
  session: Pick<calls.Session, 'id' | 'user' | 'connection'>;
  size: 'compact-xs' | 'sm';
}

export function KillButton({ session, size }: Props) {
  const forget = useForget();
  const [opened, { open, close }] = useDisclosure();
  const [reason, setReason] = useState('');
  const kill = useMutation({
    mutationFn: () => calls.killSession(session.id, reason.trim()),
    onSuccess: async () => {
      close();
      await forget('sessions', 'session');
    },
  });
  return (
    <>
      <Button
        size={size}
        color="red"
        variant="light"
        onClick={open}
        aria-label={`Kill the session of ${session.user} on ${session.connection}`}
      >
        Kill
      </Button>
      <Confirm
        opened={opened}
        title={`Kill the session of ${session.user} on ${session.connection}`}
        action="Kill the session"
        busy={kill.isPending}
        error={kill.error}
        onConfirm={() => kill.mutate()}
        onClose={close}
      >
        <Text size="sm">It ends at once: the running statement is cancelled, and the recording is sealed.</Text>
        <TextInput
          label="Reason"
          description="Told to the person, written to the ledger"
          required
          data-autofocus
          maxLength={500}
          value={reason}
          onChange={(event) => setReason(event.currentTarget.value)}
        />
      </Confirm>
    </>
  );
}
