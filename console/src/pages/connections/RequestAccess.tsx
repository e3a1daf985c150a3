/** Asks for access that others approve: for how long, and why. */
import { Button, Group, Modal, NativeSelect, Stack, Text } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { type FormEvent, useState } from 'react';

import * as calls from '../../api/calls';
import { span } from '../../lib/format';
import { statedProblem } from '../../lib/stated';
import { useForget } from '../../queries';
import { ProblemAlert } from '../../ui/ProblemAlert';
import { StatedInput } from '../../ui/StatedInput';
import { spans, type Wanted } from '../requests/standing';

interface Props {
  connection: string;
  wanted: Wanted;
  onClose: () => void;
}

const AN_HOUR = 3_600;

export function RequestAccess({ connection, wanted, onClose }: Props) {
  const forget = useForget();
  const navigate = useNavigate();
  const choices = spans(wanted.longest);
  const [seconds, setSeconds] = useState(choices.includes(AN_HOUR) ? AN_HOUR : (choices.at(-1) ?? AN_HOUR));
  const [reason, setReason] = useState('');
  const [wrong, setWrong] = useState<string>();
  const ask = useMutation({
    mutationFn: () => calls.askForAccess({ connection, duration_seconds: seconds, reason: reason.trim() }),
    onSuccess: async ({ id }) => {
      await forget('requests');
      await navigate({ to: '/requests/$id', params: { id } });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const problem = statedProblem(reason, 'Say why.');
    setWrong(problem);
    if (problem === undefined) ask.mutate();
  };
  return (
    <Modal opened onClose={onClose} title={`Request access to ${connection}`} closeButtonProps={{ 'aria-label': 'Close' }}>
      <form onSubmit={submit} noValidate>
        <Stack>
          <Text size="sm">
            {wanted.approvers === 1 ? 'Somebody else has' : `${wanted.approvers} others have`} to approve it, within a day.
          </Text>
          <NativeSelect
            label="For"
            description="From the last approval on"
            value={String(seconds)}
            data={choices.map((choice) => ({ value: String(choice), label: span(choice) }))}
            onChange={(event) => setSeconds(Number(event.currentTarget.value))}
          />
          <StatedInput label="Reason" required autoFocus minRows={2} value={reason} error={wrong} onChange={setReason} />
          {ask.error ? <ProblemAlert error={ask.error} /> : null}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={ask.isPending}>
              Ask
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
