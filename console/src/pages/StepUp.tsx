/** The browser half of `hoop step-up`: passes a fresh second factor on to a command line of the same person. */
import { Button, Code, Group, Stack, Text } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { getRouteApi } from '@tanstack/react-router';

import * as calls from '../api/calls';
import { isWholeUserCode, userCode } from '../lib/userCode';
import { useMe } from '../queries';
import { Card } from '../ui/Card';
import { ProblemAlert } from '../ui/ProblemAlert';

const route = getRouteApi('/signed-in/step-up');

export function StepUp() {
  const search = route.useSearch();
  const me = useMe();
  const code = userCode(search.code ?? '');
  const decide = useMutation({ mutationFn: (approve: boolean) => calls.approveStepUp(code, approve) });
  if (decide.isSuccess) {
    return (
      <Card title="Second factor for the command line">
        <Text role="status">
          {decide.variables ? 'Proven. The command goes on within a few seconds.' : 'Refused.'} You can close this page.
        </Text>
      </Card>
    );
  }
  return (
    <Card title="Second factor for the command line">
      <Stack>
        <Text>
          A command line signed in as <b>{me.name}</b> wants a fresh second factor, and shows this code:
        </Text>
        <Code fz="xl" ta="center" block>
          {code}
        </Code>
        <Text size="sm" c="dimmed">
          Allow it only if you run that command yourself, now, and it shows the same code. Nobody who helps you needs it.
        </Text>
        {decide.error ? <ProblemAlert error={decide.error} /> : null}
        <Group grow>
          <Button variant="default" disabled={decide.isPending} onClick={() => decide.mutate(false)}>
            Refuse
          </Button>
          <Button disabled={!isWholeUserCode(code)} loading={decide.isPending} onClick={() => decide.mutate(true)}>
            Allow
          </Button>
        </Group>
      </Stack>
    </Card>
  );
}
