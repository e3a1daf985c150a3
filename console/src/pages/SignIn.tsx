/** Sign-in: a built-in account with its second factor or a passkey, or the identity provider. Goes back to where one wanted to be. */
import { Alert, Button, Divider, PasswordInput, Stack, Text, TextInput } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { getRouteApi, useRouter } from '@tanstack/react-router';
import { type FormEvent, useState } from 'react';

import * as calls from '../api/calls';
import { safeReturnPath } from '../lib/returnPath';
import { knowsPasskeys } from '../lib/webauthn';
import { infoQuery, meQuery } from '../queries';
import { Card } from '../ui/Card';
import { CodeInput } from '../ui/CodeInput';
import { Loading } from '../ui/Fetched';
import { ProblemAlert } from '../ui/ProblemAlert';

const route = getRouteApi('/login');

export function SignIn() {
  const search = route.useSearch();
  const info = useQuery(infoQuery);
  const returnTo = safeReturnPath(search.return, window.location.origin);
  return (
    <Card title="Sign in">
      {search.error ? (
        <Alert color="red" variant="light" role="alert">
          The identity provider did not sign you in ({search.error.slice(0, 200)}). Try again, or ask an administrator.
        </Alert>
      ) : null}
      {info.isPending ? <Loading /> : null}
      {info.error ? <ProblemAlert error={info.error} onRetry={() => void info.refetch()} /> : null}
      {info.data?.oidc_label ? (
        <Button component="a" href={calls.oidcStart(returnTo)} variant={info.data.password_login ? 'default' : 'filled'}>
          {info.data.oidc_label}
        </Button>
      ) : null}
      {info.data?.oidc_label && info.data.password_login ? <Divider label="or" /> : null}
      {info.data?.password_login ? <PasswordForm returnTo={returnTo} /> : null}
      {info.data?.password_login && info.data.passkeys && knowsPasskeys() ? <ByPasskey returnTo={returnTo} /> : null}
      {info.data && !info.data.password_login && !info.data.oidc_label ? (
        <Text>This gateway has no way to sign in configured. Ask its administrator.</Text>
      ) : null}
    </Card>
  );
}

/** What to do once somebody is signed in: go where they wanted to be. */
function useArrival(returnTo: string) {
  const cache = useQueryClient();
  const router = useRouter();
  return (me: calls.WhoAmI) => {
    cache.setQueryData(meQuery.queryKey, me);
    router.history.push(returnTo);
  };
}

function ByPasskey({ returnTo }: { returnTo: string }) {
  const arrive = useArrival(returnTo);
  const signIn = useMutation({ mutationFn: calls.signInByPasskey, onSuccess: arrive });
  return (
    <Stack mt="md">
      {signIn.error ? <ProblemAlert error={signIn.error} /> : null}
      <Button variant="default" loading={signIn.isPending} onClick={() => signIn.mutate()}>
        Sign in with a passkey
      </Button>
    </Stack>
  );
}

function PasswordForm({ returnTo }: { returnTo: string }) {
  const arrive = useArrival(returnTo);
  const [name, setName] = useState('');
  const [password, setPassword] = useState('');
  const [code, setCode] = useState('');
  const signIn = useMutation({
    mutationFn: () => calls.signIn(name.trim(), password, code),
    onSuccess: arrive,
    // A code is good for one try.
    onError: () => setCode(''),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    signIn.mutate();
  };
  return (
    <form onSubmit={submit}>
      <Stack>
        <TextInput
          label="Name"
          name="username"
          autoComplete="username"
          autoFocus
          required
          maxLength={128}
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
        />
        <PasswordInput
          label="Password"
          name="password"
          autoComplete="current-password"
          required
          value={password}
          onChange={(event) => setPassword(event.currentTarget.value)}
        />
        <CodeInput value={code} onChange={setCode} orRecoveryCode />
        {signIn.error ? <ProblemAlert error={signIn.error} /> : null}
        <Button type="submit" loading={signIn.isPending}>
          Sign in
        </Button>
      </Stack>
    </form>
  );
}
