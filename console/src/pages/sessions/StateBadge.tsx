/** Where a session stands, in a word and a colour. */
import { Badge } from '@mantine/core';

import type { SessionState } from '../../api/calls';

const COLOR: Record<SessionState, string> = {
  opening: 'yellow',
  live: 'teal',
  ending: 'yellow',
  ended: 'gray',
  interrupted: 'red',
};

export function StateBadge({ state }: { state: SessionState }) {
  return (
    <Badge color={COLOR[state]} variant="light" tt="none">
      {state}
    </Badge>
  );
}
