/** The one-use link of a new account: password, then the second factor, then done. The token stays out of the address. */
import { Button, List, PasswordInput, Stack, Text } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { type FormEvent, useEffect, useState } from 'react';

import * as calls from '../api/calls';
import { otpauthSecret } from '../lib/otpauth';
import { Card } from '../ui/Card';
import { CodeInput } from '../ui/CodeInput';
import { CodeList } from '../ui/CodeList';
import { Copyable } from '../ui/Copyable';
import { ProblemAlert } from '../ui/ProblemAlert';
import { QrCode } from '../ui/QrCode';
import { ButtonLink } from '../ui/RouterLink';

const LEAST = 12;

export function SetUp() {
  // After `#`, so that it never reaches a server's log; then out of the address bar and the history.
  const [token] = useState(() => window.location.hash.slice(1));
  useEffect(() => {
    if (window.location.hash !== '') window.history.replaceState(window.history.state, '', window.location.pathname);
  }, []);
  const [password, setPassword] = useState('');
  const [repeated, setRepeated] = useState('');
  const [code, setCode] = useState('');
  const choose = useMutation({ mutationFn: () => calls.setUp(token, password) });
  const confirm = useMutation({ mutationFn: () => calls.setUp(token, password, code), onError: () => setCode('') });

  if (token === '') {
    return (
      <Card title="Set up your account">
        <Text>This page needs the one-use link that an administrator gave you. It is good for 24 hours.</Text>
      </Card>
    );
  }
  if (confirm.data?.active) {
    return (
      <Card title="Your account is ready">
        <Text>
          You can sign in as <b>{confirm.data.name}</b> now, with your password and a code of your authenticator.
        </Text>
        {confirm.data.recovery_codes?.length ? <CodeList codes={confirm.data.recovery_codes} /> : null}
        <ButtonLink to="/login">Sign in</ButtonLink>
      </Card>
    );
  }
  if (choose.data?.otpauth_url) {
    return (
      <Card title={`Second factor for ${choose.data.name}`}>
        <SecondFactor
          url={choose.data.otpauth_url}
          code={code}
          onCode={setCode}
          busy={confirm.isPending}
          error={confirm.error}
          onSubmit={() => confirm.mutate()}
        />
      </Card>
    );
  }
  const differs = repeated !== '' && repeated !== password;
  return (
    <Card title="Set up your account">
      <form
        onSubmit={(event: FormEvent) => {
          event.preventDefault();
          if (repeated === password) choose.mutate();
        }}
      >
        <Stack>
          <PasswordInput
            label="New password"
            description={`At least ${LEAST} characters`}
            autoComplete="new-password"
            required
            autoFocus
            minLength={LEAST}
            value={password}
            onChange={(event) => setPassword(event.currentTarget.value)}
          />
          <PasswordInput
            label="The same again"
            autoComplete="new-password"
            required
            value={repeated}
            error={differs ? 'The two differ.' : undefined}
            onChange={(event) => setRepeated(event.currentTarget.value)}
          />
          {choose.error ? <ProblemAlert error={choose.error} /> : null}
          <Button type="submit" loading={choose.isPending} disabled={differs}>
            Continue
          </Button>
        </Stack>
      </form>
    </Card>
  );
}

interface SecondFactorProps {
  url: string;
  code: string;
  onCode: (code: string) => void;
  busy: boolean;
  error: unknown;
  onSubmit: () => void;
}

function SecondFactor({ url, code, onCode, busy, error, onSubmit }: SecondFactorProps) {
  const secret = otpauthSecret(url);
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        onSubmit();
      }}
    >
      <Stack>
        <List type="ordered" size="sm">
          <List.Item>Scan this with your authenticator app.</List.Item>
          <List.Item>Type the six digits it shows.</List.Item>
        </List>
        <QrCode text={url} label="QR code of the second factor" />
        {secret ? (
          <Stack gap={4}>
            <Text size="sm">Or type this secret into the app:</Text>
            <Copyable value={secret} label="secret" wrap />
          </Stack>
        ) : null}
        <CodeInput value={code} onChange={onCode} autoFocus />
        {error ? <ProblemAlert error={error} /> : null}
        <Button type="submit" loading={busy}>
          Confirm
        </Button>
      </Stack>
    </form>
  );
}
