/** A terminal on a host, or in a pod, for who has no command line at hand. */
import { Alert, Badge, Button, Group, Loader, Stack, Text, TextInput } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { getRouteApi } from '@tanstack/react-router';
import { lazy, Suspense, useState } from 'react';

import * as calls from '../../api/calls';
import { NEEDED, prove } from '../../api/stepUp';
import type { Ended, Pod } from '../../terminal/shell';
import { Fetched } from '../../ui/Fetched';
import { Page } from '../../ui/Page';
import { ProblemAlert } from '../../ui/ProblemAlert';
import { TextLink } from '../../ui/RouterLink';
import { CLUSTER } from '../connections/commands';
import { NO_POD, PodFields, podProblems } from './PodFields';

/** With the terminal emulator. */
const ShellScreen = lazy(async () => ({ default: (await import('../../terminal/ShellScreen')).ShellScreen }));

const route = getRouteApi('/signed-in/shell/terminal/$connection');

export function TerminalPage() {
  const { connection } = route.useParams();
  const query = useQuery({ queryKey: ['connections', false], queryFn: () => calls.connections(false) });
  return (
    <Page
      title={connection}
      about={
        <>
          <TextLink to="/connections" size="sm">
            Connections
          </TextLink>{' '}
          / terminal
        </>
      }
    >
      <Fetched query={query}>
        {(all) => {
          const found = all.find((one) => one.name === connection);
          return <Opening key={connection} connection={connection} inPod={found?.protocol === CLUSTER} asks={found?.needs ?? []} />;
        }}
      </Fetched>
    </Page>
  );
}

type Where = { at: 'asking' } | { at: 'open'; attempt: number; session?: string } | { at: 'over'; end: Ended };

interface OpeningProps {
  connection: string;
  inPod: boolean;
  asks: readonly string[];
}

export function Opening({ connection, inPod, asks }: OpeningProps) {
  const wantsReason = asks.includes('a reason');
  const [reason, setReason] = useState('');
  const [pod, setPod] = useState<Pod>(NO_POD);
  const [tried, setTried] = useState(false);
  const [where, setWhere] = useState<Where>(wantsReason || inPod ? { at: 'asking' } : { at: 'open', attempt: 0 });
  const over = async (end: Ended) => {
    // As with every change: the factor is asked for where it is needed, and then it goes on.
    const again = end.kind === 'failed' && end.problem.code === NEEDED && (await prove());
    setWhere(again ? { at: 'open', attempt: Date.now() } : { at: 'over', end });
  };
  const wrong = inPod ? podProblems(pod) : {};
  const open = () => {
    setTried(true);
    if (Object.keys(wrong).length === 0) setWhere({ at: 'open', attempt: Date.now() });
  };
  if (where.at === 'open') {
    return (
      <Stack gap="xs">
        <Group gap="sm">
          <Badge color={where.session ? 'teal' : 'gray'} variant="dot" tt="none" role="status">
            {where.session ? 'connected' : 'connecting'}
          </Badge>
          <Text size="xs" c="dimmed">
            {inPod ? (
              <>
                <code>
                  {pod.namespace}/{pod.name}
                </code>
                . Recorded. For all else use <code>hoop kube login {connection}</code>.
              </>
            ) : (
              <>
                Recorded. For files, forwards and scripts use <code>hoop ssh {connection}</code>.
              </>
            )}
          </Text>
        </Group>
        <Suspense fallback={<Loader size="sm" />}>
          <ShellScreen
            key={where.attempt}
            connection={connection}
            pod={inPod ? pod : undefined}
            reason={reason.trim()}
            onOpened={(session) => setWhere({ ...where, session })}
            onEnded={(end) => void over(end)}
          />
        </Suspense>
      </Stack>
    );
  }
  return (
    <Stack gap="md" align="flex-start" component="form" onSubmit={(event) => (event.preventDefault(), open())}>
      {where.at === 'over' ? <Over end={where.end} /> : null}
      {inPod ? <PodFields pod={pod} wrong={tried ? wrong : {}} onChange={setPod} /> : null}
      {wantsReason ? (
        <TextInput
          label="Reason"
          description="Stands in the ledger, beside your name"
          required
          maxLength={500}
          w="min(100%, 480px)"
          value={reason}
          onChange={(event) => setReason(event.currentTarget.value)}
        />
      ) : null}
      <Button type="submit">{where.at === 'over' ? 'Open again' : inPod ? 'Open shell' : 'Open terminal'}</Button>
    </Stack>
  );
}

function Over({ end }: { end: Ended }) {
  if (end.kind === 'failed') return <ProblemAlert error={end.problem} />;
  return (
    <Alert color="gray" variant="light" role="status">
      The shell ended{end.code === undefined ? '' : ` with exit code ${end.code}`}.
    </Alert>
  );
}
