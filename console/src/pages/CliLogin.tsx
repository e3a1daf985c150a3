/** The browser half of `hoop login`: the signed-in person lets the command line on this computer act as them. */
import { Button, Group, Text } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { getRouteApi, useNavigate } from '@tanstack/react-router';

import * as calls from '../api/calls';
import { isLoopback, loopbackPort } from '../lib/loopback';
import { useMe } from '../queries';
import { Card } from '../ui/Card';
import { ProblemAlert } from '../ui/ProblemAlert';

const route = getRouteApi('/signed-in/cli');

export function CliLogin() {
  const { port: portText, state, challenge } = route.useSearch();
  const me = useMe();
  const navigate = useNavigate();
  const port = loopbackPort(portText);
  const approve = useMutation({
    mutationFn: ({ port, state, challenge }: { port: number; state: string; challenge: string }) =>
      calls.approveCliLogin(port, state, challenge),
    onSuccess: ({ location }, { port }) => {
      // Only ever to the command that asked, whatever the answer says.
      if (!isLoopback(location, port)) throw new Error('The gateway named another place than this computer.');
      window.location.assign(location);
    },
  });
  if (port === undefined || !state || !challenge) {
    return (
      <Card title="Sign in a command line">
        <Text>
          This address is incomplete. Run <code>hoop login</code> again and open the link that it prints.
        </Text>
      </Card>
    );
  }
  return (
    <Card title="Sign in a command line">
      <Text>
        A command line on this computer asks to sign in as <b>{me.name}</b>.
      </Text>
      <Text size="sm" c="dimmed">
        Allow it only if you have just run <code>hoop login</code> yourself. It listens on port {port} of this computer.
      </Text>
      {approve.error ? <ProblemAlert error={approve.error} /> : null}
      {approve.isSuccess ? (
        <Text role="status">Done. You can close this page and go back to the terminal.</Text>
      ) : (
        <Group grow>
          <Button variant="default" onClick={() => void navigate({ to: '/connections' })}>
            Refuse
          </Button>
          <Button loading={approve.isPending} onClick={() => approve.mutate({ port, state, challenge })}>
            Allow
          </Button>
        </Group>
      )}
    </Card>
  );
}
