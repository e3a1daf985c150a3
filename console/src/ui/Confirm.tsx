/** Asks before something that cannot be undone, and shows what went wrong with it. */
import { Button, Group, Modal, Stack } from '@mantine/core';
import type { ReactNode } from 'react';

import { ProblemAlert } from './ProblemAlert';

interface Props {
  opened: boolean;
  title: string;
  action: string;
  busy: boolean;
  error: unknown;
  children: ReactNode;
  onConfirm: () => void;
  onClose: () => void;
}

export function Confirm({ opened, title, action, busy, error, children, onConfirm, onClose }: Props) {
  return (
    <Modal opened={opened} onClose={onClose} title={title} closeButtonProps={{ 'aria-label': 'Close' }}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          onConfirm();
        }}
      >
        <Stack>
          {children}
          {error ? <ProblemAlert error={error} /> : null}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" color="red" loading={busy}>
              {action}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
