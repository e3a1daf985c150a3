/** Asks for the second factor when a change needs a fresh one; the change then goes on by itself. */
import { Button, Group, Modal, Stack, Text } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useEffect, useState } from 'react';

import * as calls from '../api/calls';
import { askWith } from '../api/stepUp';
import { meQuery } from '../queries';
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
  const [code, setCode] = useState('');
  const prove = useMutation({
    mutationFn: () => calls.stepUp(code),
    onSuccess: async () => {
      await cache.invalidateQueries({ queryKey: meQuery.queryKey });
      onDone(true);
    },
    // A code is good for one try.
    onError: () => setCode(''),
  });
  const atProvider = cache.getQueryData(meQuery.queryKey)?.method === 'oidc';
  const cancel = (
    <Button variant="default" onClick={() => onDone(false)}>
      Cancel
    </Button>
  );
  if (atProvider) {
    const here = `${window.location.pathname}${window.location.search}`;
    return (
      <Stack>
        <Text size="sm">
          This changes what somebody may do, so your identity provider is asked for your second factor again. You come
          back to this page; then do it once more.
        </Text>
        <Group justify="flex-end">
          {cancel}
          <Button component="a" href={calls.oidcStepUp(here)}>
            Go to the identity provider
          </Button>
        </Group>
      </Stack>
    );
  }
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        prove.mutate();
      }}
    >
      <Stack>
        <Text size="sm">This changes what somebody may do. Show that it is you.</Text>
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
