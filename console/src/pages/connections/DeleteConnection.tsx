/** Removes a connection, once its name was typed. */
import { Text, TextInput } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { useState } from 'react';

import * as calls from '../../api/calls';
import { useForget } from '../../queries';
import { Confirm } from '../../ui/Confirm';

export function DeleteConnection({ name, onClose }: { name: string; onClose: () => void }) {
  const forget = useForget();
  const [typed, setTyped] = useState('');
  const remove = useMutation({
    mutationFn: () => calls.deleteConnection(name),
    onSuccess: async () => {
      await forget('connections');
      onClose();
    },
  });
  return (
    <Confirm
      opened
      title={`Delete ${name}`}
      action="Delete"
      busy={remove.isPending}
      error={remove.error}
      onConfirm={() => {
        if (typed === name) remove.mutate();
      }}
      onClose={onClose}
    >
      <Text size="sm">Nobody can open it any more, and its live sessions end. Recordings stay.</Text>
      <TextInput
        label={`Type ${name} to confirm`}
        value={typed}
        required
        data-autofocus
        autoComplete="off"
        onChange={(event) => setTyped(event.currentTarget.value)}
      />
    </Confirm>
  );
}
