/** The browser half of `hoop login --device`: the person types the code that the other machine shows. */
import { Button, Group, Stack, Text, TextInput } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { getRouteApi } from '@tanstack/react-router';
import { useState } from 'react';

import * as calls from '../api/calls';
import { isWholeUserCode, userCode } from '../lib/userCode';
import { useMe } from '../queries';
import { Card } from '../ui/Card';
import { ProblemAlert } from '../ui/ProblemAlert';

const route = getRouteApi('/signed-in/device');

export function DeviceLogin() {
  const search = route.useSearch();
  const me = useMe();
  const [code, setCode] = useState(() => userCode(search.code ?? ''));
  const decide = useMutation({ mutationFn: (approve: boolean) => calls.approveDevice(code, approve) });
  if (decide.isSuccess) {
    return (
      <Card title="Sign in another machine">
        <Text role="status">
          {decide.variables ? 'Allowed. The other machine is signed in within a few seconds.' : 'Refused.'} You can close
          this page.
        </Text>
      </Card>
    );
  }
  const whole = isWholeUserCode(code);
  return (
    <Card title="Sign in another machine">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (whole) decide.mutate(true);
        }}
      >
        <Stack>
          <Text>
            A machine without a browser asks to sign in as <b>{me.name}</b>. Type the code that it shows.
          </Text>
          <TextInput
            label="Code"
            placeholder="XXXX-XXXX"
            autoFocus
            required
            autoComplete="off"
            autoCapitalize="characters"
            spellCheck={false}
            ff="monospace"
            value={code}
            onChange={(event) => setCode(userCode(event.currentTarget.value))}
          />
          <Text size="sm" c="dimmed">
            Allow it only if you have just run <code>hoop login --device</code> yourself. Nobody who helps you needs this code.
          </Text>
          {decide.error ? <ProblemAlert error={decide.error} /> : null}
          <Group grow>
            <Button variant="default" disabled={!whole || decide.isPending} onClick={() => decide.mutate(false)}>
              Refuse
            </Button>
            <Button type="submit" disabled={!whole} loading={decide.isPending}>
              Allow
            </Button>
          </Group>
        </Stack>
      </form>
    </Card>
  );
}
