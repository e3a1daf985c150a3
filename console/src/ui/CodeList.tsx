/** Recovery codes, shown this once. */
import { Code, Stack, Text } from '@mantine/core';

export function CodeList({ codes }: { codes: string[] }) {
  return (
    <Stack gap="xs">
      <Text size="sm">
        Keep these where your authenticator is not: on paper, say. They are not shown again, and those made before are
        void.
      </Text>
      <Code block aria-label="Recovery codes" tabIndex={0}>
        {codes.join('\n')}
      </Code>
    </Stack>
  );
}
