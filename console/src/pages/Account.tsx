/** One's own account: where one is signed in and how to end that, passkeys, and the codes for a lost authenticator. */
import { Badge, Button, Stack, Table, Text, Title } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';

import * as calls from '../api/calls';
import { needsSignIn } from '../api/problem';
import { useForget } from '../queries';
import { CodeList } from '../ui/CodeList';
import { Confirm } from '../ui/Confirm';
import { Fetched } from '../ui/Fetched';
import { Listing } from '../ui/Listing';
import { Page } from '../ui/Page';
import { ProblemAlert } from '../ui/ProblemAlert';
import { Time } from '../ui/Time';
import { Passkeys } from './Passkeys';

export function Account() {
  const forget = useForget();
  const [everywhere, setEverywhere] = useState(false);
  const list = useQuery({ queryKey: ['logins'], queryFn: calls.logins });
  const end = useMutation({ mutationFn: calls.endLogin, onSuccess: () => forget('logins') });
  return (
    <Page
      title="My account"
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
      <Passkeys />
      <RecoveryCodes />
      {everywhere ? <SignOutEverywhere onClose={() => setEverywhere(false)} /> : null}
    </Page>
  );
}

function SignOutEverywhere({ onClose }: { onClose: () => void }) {
  const cache = useQueryClient();
  const navigate = useNavigate();
  const leave = useMutation({
    mutationFn: calls.signOutEverywhere,
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
      <Text size="sm">
        Every browser and command line signed in as you has to sign in again, this one too. Your live sessions end.
      </Text>
    </Confirm>
  );
}

function RecoveryCodes() {
  const forget = useForget();
  const left = useQuery({ queryKey: ['recovery-codes'], queryFn: calls.recoveryCodesLeft });
  const renew = useMutation({ mutationFn: calls.renewRecoveryCodes, onSuccess: () => forget('recovery-codes') });
  if (!left.data?.available) return null;
  return (
    <Stack gap="sm" mt="xl" align="flex-start">
      <Title order={2} size="h4">
        Recovery codes
      </Title>
      <Text size="sm">
        For the day when your authenticator is lost: each is good once, in place of a six-digit code. {left.data.left}{' '}
        {left.data.left === 1 ? 'is' : 'are'} left.
      </Text>
      {renew.error ? <ProblemAlert error={renew.error} /> : null}
      {renew.data ? <CodeList codes={renew.data} /> : null}
      <Button variant="default" loading={renew.isPending} onClick={() => renew.mutate()}>
        Make new ones
      </Button>
    </Stack>
  );
}
