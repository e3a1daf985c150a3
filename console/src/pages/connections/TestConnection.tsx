/** Lets a connection's agent log in at the target, and shows what came of it step by step. */
import { Alert, Badge, Button, Group, Loader, Modal, Stack, Table, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';

import * as calls from '../../api/calls';
import { visible } from '../../lib/visible';
import { Listing } from '../../ui/Listing';
import { ProblemAlert } from '../../ui/ProblemAlert';

export function TestConnection({ name, onClose }: { name: string; onClose: () => void }) {
  const test = useQuery({
    queryKey: ['connection test', name],
    queryFn: () => calls.testConnection(name),
    retry: false,
    staleTime: Infinity,
    gcTime: 0,
    refetchOnWindowFocus: false,
  });
  return (
    <Modal opened onClose={onClose} title={`Test ${name}`} closeButtonProps={{ 'aria-label': 'Close' }}>
      <Stack>
        {test.isFetching ? (
          <Group gap="xs">
            <Loader size="xs" />
            <Text size="sm">Its agent logs in at the target. That takes 10 seconds at most.</Text>
          </Group>
        ) : test.data ? (
          <Outcome test={test.data} />
        ) : null}
        {test.error && !test.isFetching ? <ProblemAlert error={test.error} /> : null}
        <Group justify="flex-end">
          <Button variant="default" onClick={() => void test.refetch()} loading={test.isFetching}>
            Test again
          </Button>
          <Button onClick={onClose}>Done</Button>
        </Group>
      </Stack>
    </Modal>
  );
}

function Outcome({ test }: { test: calls.ConnectionTest }) {
  return (
    <>
      {test.ok ? (
        <Alert color="teal" variant="light" role="status" title="It works">
          {visible(test.server_version ?? '', true)}
        </Alert>
      ) : null}
      <Listing label="Steps" minWidth={280} columns={['Step', 'Result', { number: 'Time' }]}>
        {test.steps.map((step) => (
          <Table.Tr key={step.name}>
            <Table.Td>{visible(step.name, true)}</Table.Td>
            <Table.Td>
              <Badge color="teal" variant="light" tt="none">
                ok
              </Badge>
            </Table.Td>
            <Table.Td ta="right">{milliseconds(step.micros)}</Table.Td>
          </Table.Tr>
        ))}
        {test.failed_step ? (
          <Table.Tr>
            <Table.Td>{visible(test.failed_step, true)}</Table.Td>
            <Table.Td>
              <Badge color="red" variant="light" tt="none">
                failed
              </Badge>
            </Table.Td>
            <Table.Td />
          </Table.Tr>
        ) : null}
      </Listing>
      {test.problem ? <Failure problem={test.problem} /> : null}
      <Text size="xs" c="dimmed" style={{ overflowWrap: 'anywhere' }}>
        Agent {test.agent}
        {test.tls ? ` · ${visible(test.tls.version, true)} · ${visible(test.tls.cipher, true)}` : ' · no TLS'}
        {test.tls?.certificate ? ` · certificate of ${visible(test.tls.certificate, true)}` : ''}
      </Text>
    </>
  );
}

function Failure({ problem }: { problem: NonNullable<calls.ConnectionTest['problem']> }) {
  return (
    <Alert color="red" variant="light" role="alert">
      <Text size="sm">
        {visible(problem.message, true)} <code>{problem.code}</code>
      </Text>
      {problem.hint ? <Text size="sm">{visible(problem.hint, true)}</Text> : null}
    </Alert>
  );
}

export const milliseconds = (micros: number): string =>
  micros < 10_000 ? `${(micros / 1000).toFixed(1)} ms` : `${Math.round(micros / 1000)} ms`;
