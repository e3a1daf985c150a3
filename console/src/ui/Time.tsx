/** A moment: local date and time, the exact value in the title. */
import { Text } from '@mantine/core';

import { dateTime, relative } from '../lib/format';

export function Time({ at }: { at: string }) {
  return (
    <time dateTime={at} title={at}>
      {dateTime(at)}
    </time>
  );
}

export function TimeAgo({ at, now }: { at: string; now: number }) {
  return (
    <Text component="span" inherit title={dateTime(at)}>
      {relative(at, now)}
    </Text>
  );
}
