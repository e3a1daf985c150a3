/** Is the recording whole and unchanged? The gateway checks on request; the result is shown with its proof. */
import { Alert, Button, Group, List, Paper, SimpleGrid, Stack, Text, Title } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';

import * as calls from '../../api/calls';
import { count } from '../../lib/format';
import { Copyable } from '../../ui/Copyable';
import { ProblemAlert } from '../../ui/ProblemAlert';

export function Verification({ id, live }: { id: string; live: boolean }) {
  const verify = useMutation({ mutationFn: () => calls.verifySession(id) });
  return (
    <Paper withBorder p="md" component="section" aria-label="Verification">
      <Stack gap="sm">
        <Group justify="space-between">
          <div>
            <Title order={2} size="h4">
              Verification
            </Title>
            <Text size="sm" c="dimmed">
              Checks the hash chain, the agent’s signature and the place in the ledger.
              {live ? ' A live session can be checked as far as it has come.' : ''}
            </Text>
          </div>
          <Button variant="light" loading={verify.isPending} onClick={() => verify.mutate()}>
            {verify.data ? 'Verify again' : 'Verify'}
          </Button>
        </Group>
        {verify.error ? <ProblemAlert error={verify.error} /> : null}
        {verify.data ? <Report report={verify.data} /> : null}
      </Stack>
    </Paper>
  );
}

function Report({ report }: { report: calls.VerifyReport }) {
  const covered = report.in_checkpoint ?? undefined;
  return (
    <Stack gap="sm" role="status">
      <Alert color={report.clean ? 'teal' : 'red'} variant="light" title={report.clean ? 'Nothing was found' : 'Something is wrong'}>
        {report.clean ? (
          <Text size="sm">The recording is as the agent wrote it.</Text>
        ) : (
          <List size="sm">
            {report.findings.map((finding, index) => (
              <List.Item key={index}>{finding}</List.Item>
            ))}
          </List>
        )}
      </Alert>
      <SimpleGrid cols={{ base: 2, sm: 4 }} component="dl" m={0}>
        <Fact name="Chunks checked" value={count(report.chunks)} />
        <Fact name="Agent’s signature" value={report.signature_ok ? 'right' : 'wrong or missing'} bad={!report.signature_ok} />
        <Fact name="In the ledger" value={covered === undefined ? 'not yet covered by a checkpoint' : `under checkpoint ${count(covered)}`} />
        <Fact name="Ends" value={report.ending.replaceAll('_', ' ')} />
      </SimpleGrid>
      <Stack gap={2}>
        <Text size="xs" c="dimmed">
          Head of the chain
        </Text>
        <Copyable value={report.head} label="head hash" wrap />
      </Stack>
    </Stack>
  );
}

function Fact({ name, value, bad = false }: { name: string; value: string; bad?: boolean }) {
  return (
    <div>
      <Text component="dt" size="xs" c="dimmed">
        {name}
      </Text>
      <Text component="dd" size="sm" m={0} c={bad ? 'red' : undefined}>
        {value}
      </Text>
    </div>
  );
}
