/** What the router shows when a page is on its way, missing, or failed. */
import { Anchor, Center, Container, Loader, Stack, Text, Title } from '@mantine/core';
import type { ErrorComponentProps } from '@tanstack/react-router';

import { ProblemAlert } from './ProblemAlert';

export function RoutePending() {
  return (
    <Center mih="40vh" role="status" aria-label="Loading">
      <Loader />
    </Center>
  );
}

export function NotFound() {
  return (
    <Container size="xs" py="xl">
      <Stack>
        <Title order={1} size="h2">
          No such page
        </Title>
        <Text>The address leads nowhere in this console.</Text>
        <Anchor href="/connections">Go to the connections</Anchor>
      </Stack>
    </Container>
  );
}

export function RouteFailed({ error, reset }: ErrorComponentProps) {
  return (
    <Container size="sm" py="xl">
      <ProblemAlert error={error} onRetry={reset} />
    </Container>
  );
}
