/** Where a request stands, in words and a colour. */
import { Badge } from '@mantine/core';

import type { AccessRequest } from '../../api/calls';
import { type Standing, standing } from './standing';

const COLOR: Record<Standing, string> = {
  'waits for approval': 'yellow',
  'in force': 'teal',
  denied: 'red',
  'not decided in time': 'gray',
  over: 'gray',
  withdrawn: 'gray',
  ended: 'gray',
  'review due': 'orange',
  reviewed: 'gray',
};

export function StandingBadge({ request }: { request: AccessRequest }) {
  const words = standing(request);
  const burns = request.kind === 'break_glass' && words === 'in force';
  return (
    <Badge color={burns ? 'red' : COLOR[words]} variant={burns ? 'filled' : 'light'} tt="none" miw="max-content">
      {burns ? 'emergency in force' : words}
    </Badge>
  );
}
