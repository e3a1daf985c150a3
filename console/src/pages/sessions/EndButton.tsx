/** Ends one's own session: for a laptop left open elsewhere. */
import { Button, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useMutation } from '@tanstack/react-query';

import * as calls from '../../api/calls';
import { useForget } from '../../queries';
import { Confirm } from '../../ui/Confirm';

export function EndButton({ session }: { session: Pick<calls.Session, 'id' | 'connection'> }) {
  const forget = useForget();
  const [opened, { open, close }] = useDisclosure();
  const end = useMutation({
    mutationFn: () => calls.endSession(session.id),
    onSuccess: async () => {
      close();
      await forget('sessions', 'session');
    },
  });
  return (
    <>
      <Button size="sm" color="red" variant="light" onClick={open}>
        End session
      </Button>
      <Confirm
        opened={opened}
        title={`End your session on ${session.connection}`}
        action="End it"
        busy={end.isPending}
        error={end.error}
        onConfirm={() => end.mutate()}
        onClose={close}
      >
        <Text size="sm">Everything that is connected through it is cut off.</Text>
      </Confirm>
    </>
  );
}
