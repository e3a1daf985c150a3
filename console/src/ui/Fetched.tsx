/** The states of something fetched: on its way, failed, nothing there, there. Every list and panel goes through it. */
import { Center, Paper, Skeleton, Stack, Text } from '@mantine/core';
import type { ReactNode } from 'react';

import { ProblemAlert } from './ProblemAlert';

interface Query<T> {
  data: T | undefined;
  error: unknown;
  isPending: boolean;
  refetch: () => unknown;
}

interface Props<T> {
  query: Query<T>;
  isEmpty?: (data: T) => boolean;
  empty?: ReactNode;
  children: (data: T) => ReactNode;
}

export function Fetched<T>({ query, isEmpty, empty, children }: Props<T>) {
  if (query.data === undefined) {
    if (query.isPending) return <Loading />;
    return <ProblemAlert error={query.error} onRetry={() => void query.refetch()} />;
  }
  return (
    <Stack gap="md">
      {/* What is shown may be old by now: say why. */}
      {query.error ? <ProblemAlert error={query.error} onRetry={() => void query.refetch()} /> : null}
      {isEmpty?.(query.data) ? <Empty>{empty}</Empty> : children(query.data)}
    </Stack>
  );
}

export function Loading() {
  return (
    <Stack gap="xs" role="status" aria-label="Loading">
      <Skeleton height={28} />
      <Skeleton height={28} />
      <Skeleton height={28} width="70%" />
    </Stack>
  );
}

export function Empty({ children }: { children: ReactNode }) {
  return (
    <Paper withBorder p="xl">
      <Center>
        <Text c="dimmed" component="div" ta="center">
          {children}
        </Text>
      </Center>
    </Paper>
  );
}
