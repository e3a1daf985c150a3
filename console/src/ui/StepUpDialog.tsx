/** Asks for the second factor when a change needs a fresh one; the change then goes on by itself. */
import { Button, Divider, Group, Modal, Stack, Text } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { type ReactNode, useEffect, useState } from 'react';

import * as calls from '../api/calls';
import { askWith } from '../api/stepUp';
import { knowsPasskeys } from '../lib/webauthn';
import { meQuery, passkeysQuery } from '../queries';
import { CodeInput } from './CodeInput';
import { ProblemAlert } from './ProblemAlert';

interface Question {
  answer: (proven: boolean) => void;
}

export function StepUpDialog() {
  const [question, setQuestion] = useState<Question>();
  useEffect(
    () =>
      askWith(
        () =>
          new Promise((resolve) => {
            setQuestion({ answer: resolve });
          }),
      ),
    [],
  );
  const close = (proven: boolean) => {
    question?.answer(proven);
    setQuestion(undefined);
  };
  return (
    <Modal
      opened={question !== undefined}
      onClose={() => close(false)}
      title="Your second factor, please"
      closeButtonProps={{ 'aria-label': 'Close' }}
      zIndex={400}
    >
      {question ? <Ask onDone={close} /> : null}
    </Modal>
  );
}

function Ask({ onDone }: { onDone: (proven: boolean) => void }) {
  const cache = useQueryClient();
  const own = useQuery(passkeysQuery);
  const atProvider = cache.getQueryData(meQuery.queryKey)?.method === 'oidc';
  const proven = async () => {
    await cache.invalidateQueries({ queryKey: meQuery.queryKey });
    onDone(true);
  };
  const cancel = (
    <Button variant="default" onClick={() => onDone(false)}>
      Cancel
    </Button>
  );
  return (
    <Stack>
      <Text size="sm">This changes what somebody may do. Show that it is you.</Text>
      {own.data && own.data.length > 0 && knowsPasskeys() ? <ByPasskey onProven={proven} /> : null}
      {atProvider ? <AtProvider cancel={cancel} /> : <ByCode cancel={cancel} onProven={proven} />}
    </Stack>
  );
}

function ByPasskey({ onProven }: { onProven: () => Promise<void> }) {
  const prove = useMutation({ mutationFn: calls.stepUpByPasskey, onSuccess: onProven });
  return (
    <>
      {prove.error ? <ProblemAlert error={prove.error} /> : null}
      <Button loading={prove.isPending} onClick={() => prove.mutate()}>
        Use a passkey
      </Button>
      <Divider label="or" />
    </>
  );
}

function AtProvider({ cancel }: { cancel: ReactNode }) {
  const here = `${window.location.pathname}${window.location.search}`;
  return (
    <>
      <Text size="sm">
        Your identity provider can ask for your second factor again. You come back to this page; then do it once more.
      </Text>
      <Group justify="flex-end">
        {cancel}
        <Button component="a" href={calls.oidcStepUp(here)}>
          Go to the identity provider
        </Button>
      </Group>
    </>
  );
}

function ByCode({ cancel, onProven }: { cancel: ReactNode; onProven: () => Promise<void> }) {
  const [code, setCode] = useState('');
  const prove = useMutation({
    mutationFn: () => calls.stepUp(code),
    onSuccess: onProven,
    // A code is good for one try.
    onError: () => setCode(''),
  });
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        prove.mutate();
      }}
    >
      <Stack>
        <CodeInput value={code} onChange={setCode} autoFocus orRecoveryCode />
        {prove.error ? <ProblemAlert error={prove.error} /> : null}
        <Group justify="flex-end">
          {cancel}
          <Button type="submit" loading={prove.isPending}>
            Go on
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
