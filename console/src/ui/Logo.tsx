/** Mark and name. */
import { Group, Text } from '@mantine/core';

export function Logo() {
  return (
    <Group gap={8} wrap="nowrap">
      <svg width="22" height="22" viewBox="0 0 32 32" aria-hidden="true">
        <circle cx="16" cy="16" r="11" fill="none" stroke="var(--mantine-primary-color-filled)" strokeWidth="6" />
      </svg>
      <Text fw={700} fz="lg" component="span">
        hoop
      </Text>
    </Group>
  );
}
