/** What an admin may do to somebody, never to themselves. */
import { Button, Group, Text } from '@mantine/core';
import { useState } from 'react';

import type { User } from '../../api/calls';
import { useMe } from '../../queries';
import { type Change, PersonDialog } from './dialogs';

interface Props {
  user: User;
  size: 'compact-xs' | 'sm';
}

export function PersonButtons({ user, size }: Props) {
  const me = useMe();
  const [opened, setOpened] = useState<Change>();
  if (user.id === me.id) {
    return (
      <Text size="xs" c="dimmed">
        you
      </Text>
    );
  }
  const button = (what: Change, word: string) => (
    <Button
      size={size}
      variant={size === 'sm' ? 'default' : 'subtle'}
      color={word === 'Lock' ? 'red' : undefined}
      c={word === 'Lock' ? 'red' : undefined}
      aria-label={`${word} ${user.name}`}
      onClick={() => setOpened(what)}
    >
      {word}
    </Button>
  );
  return (
    <Group gap={4} wrap={size === 'sm' ? 'wrap' : 'nowrap'} justify="flex-end">
      {button('change', 'Change')}
      {user.source === 'builtin' ? button('reset', 'Reset') : null}
      {button('lock', user.locked ? 'Unlock' : 'Lock')}
      {opened ? <PersonDialog what={opened} user={user} onClose={() => setOpened(undefined)} /> : null}
    </Group>
  );
}
