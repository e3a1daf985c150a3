/** One's own sign-ins: where one is signed in, and how to end that. */
import { Badge, Button, Table, Text } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';

import * as calls from '../api/calls';
import { needsSignIn } from '../api/problem';
import { useForget } from '../queries';
import { Confirm } from '../ui/Confirm';
import { Fetched } from '../ui/Fetched';
import { Listing } from '../ui/Listing';
import { Page } from '../ui/Page';
import { ProblemAlert } from '../ui/ProblemAlert';
import { Time } from '../ui/Time';

export function Logins() {
  const forget = useForget();
  const [everywhere, setEverywhere] = useState(false);
  const list = useQuery({ queryKey: ['logins'], queryFn: calls.logins });
  const end = useMutation({ mutationFn: calls.endLogin, onSuccess: () => forget('logins') });
  return (
    <Page
      title="My sign-ins"
      about="Where you are signed in. End what you do not know, and tell an administrator."
      actions={
        <Button color="red" variant="light" onClick={() => setEverywhere(true)} disabled={!list.data}>
          Sign out everywhere
        </Button>
      }
    >
      {end.error ? <ProblemAlert error={end.error} /> : null}
      <Fetched query={list} isEmpty={(items) => items.length === 0} empty="You are signed in nowhere.">
        {(items) => (
          <Listing label="My sign-ins" minWidth={560} columns={['With', 'From', 'Since', 'Last used']} actions>
            {items.map((login) => (
              <Table.Tr key={login.id}>
                <Table.Td>{login.client === 'cli' ? 'command line' : login.client}</Table.Td>
                <Table.Td>{login.address}</Table.Td>
                <Table.Td>
                  <Time at={login.created_at} />
                </Table.Td>
                <Table.Td>
                  <Time at={login.used_at} />
                </Table.Td>
                <Table.Td ta="right">
                  {login.current ? (
                    <Badge variant="light" tt="none">
                      this one
                    </Badge>
                  ) : (
                    <Button
                      size="compact-xs"
                      variant="subtle"
                      color="red"
                      aria-label={`Sign out the ${login.client} at ${login.address}`}
                      loading={end.isPending && end.variables === login.id}
                      onClick={() => end.mutate(login.id)}
                    >
                      Sign out
                    </Button>
                  )}
                </Table.Td>
              </Table.Tr>
            ))}
          </Listing>
        )}
      </Fetched>
      {everywhere ? <SignOutEverywhere logins={list.data ?? []} onClose={() => setEverywhere(false)} /> : null}
    </Page>
  );
}

function SignOutEverywhere({ logins, onClose }: { logins: calls.Login[]; onClose: () => void }) {
  const cache = useQueryClient();
  const navigate = useNavigate();
  const leave = useMutation({
    mutationFn: async () => {
      // This one last: without it the others could not be ended.
      for (const login of logins.filter((one) => !one.current)) await calls.endLogin(login.id);
      await calls.signOut();
    },
    onSettled: async (_, error) => {
      if (error && !needsSignIn(error)) return;
      await navigate({ to: '/login' });
      cache.clear();
    },
  });
  return (
    <Confirm
      opened
      title="Sign out everywhere"
      action="Sign out everywhere"
      busy={leave.isPending}
      error={leave.error}
      onConfirm={() => leave.mutate()}
      onClose={onClose}
    >
      <Text size="sm">Every browser and command line signed in as you has to sign in again, this one too.</Text>
    </Confirm>
  );
}
