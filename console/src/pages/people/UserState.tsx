/** May they sign in? In a word and a colour. */
import { Badge } from '@mantine/core';

import type { User } from '../../api/calls';

export function UserState({ user }: { user: Pick<User, 'locked' | 'active'> }) {
  if (user.locked) {
    return (
      <Badge color="red" variant="light" tt="none">
        locked
      </Badge>
    );
  }
  return (
    <Badge color={user.active ? 'teal' : 'yellow'} variant="light" tt="none">
      {user.active ? 'active' : 'not set up'}
    </Badge>
  );
}
