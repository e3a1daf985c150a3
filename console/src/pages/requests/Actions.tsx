/** What one may do with a request: decide it, end it, let an emergency go on, close its review. Made for a thumb. */
import { Button, Group, NativeSelect, Paper, SimpleGrid, Stack, Text, Title } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';

import * as calls from '../../api/calls';
import { asProblem } from '../../api/problem';
import { span } from '../../lib/format';
import { statedProblem } from '../../lib/stated';
import { requestQuery, useForget, useMe } from '../../queries';
import { Confirm } from '../../ui/Confirm';
import { ProblemAlert } from '../../ui/ProblemAlert';
import { StatedInput } from '../../ui/StatedInput';
import { actions, spans } from './standing';

type Change = (id: string) => Promise<calls.AccessRequest>;
type Request = calls.AccessRequest;

interface Changing {
  busy: boolean;
  error: unknown;
  forgetError: () => void;
  /** Resolves to whether it was taken. */
  make: (change: Change) => Promise<boolean>;
}

/** Changes the request. Whatever comes of it, what stands on the page afterwards is the present state. */
function useChanging(id: string): Changing {
  const cache = useQueryClient();
  const forget = useForget();
  const mutation = useMutation({
    mutationFn: (change: Change) => change(id),
    onSuccess: (changed) => cache.setQueryData(requestQuery(id).queryKey, changed),
    // Refused, it is mostly because somebody else was quicker.
    onError: () => forget('request'),
    onSettled: () => void forget('requests'),
  });
  return {
    busy: mutation.isPending,
    error: mutation.error,
    forgetError: mutation.reset,
    make: (change) =>
      mutation.mutateAsync(change).then(
        () => true,
        () => false,
      ),
  };
}

export function Actions({ request }: { request: Request }) {
  const may = actions(request, useMe());
  const changing = useChanging(request.id);
  const [ending, setEnding] = useState(false);
  const startEnding = () => {
    changing.forgetError();
    setEnding(true);
  };
  return (
    <>
      {changing.error && !(ending && may.end) ? <Refused error={changing.error} /> : null}
      {may.decide ? <Decide request={request} changing={changing} /> : null}
      {may.review ? <Review request={request} changing={changing} /> : null}
      {may.extend ? <Extend request={request} changing={changing} /> : null}
      {may.end ? (
        <Button size="md" variant="default" c="red" onClick={startEnding}>
          {may.end}
        </Button>
      ) : null}
      {ending && may.end ? (
        <End request={request} word={may.end} changing={changing} onClose={() => setEnding(false)} />
      ) : null}
    </>
  );
}

function Refused({ error }: { error: unknown }) {
  const quicker = asProblem(error).status === 409;
  return <ProblemAlert error={error} title={quicker ? 'Nothing was changed. This is how it stands now.' : 'Nothing was changed.'} />;
}

interface Props {
  request: Request;
  changing: Changing;
}

function Panel({ title, children }: { title: string; children: ReactNode }) {
  return (
    <Paper withBorder p="md" component="section" aria-label={title}>
      <Stack gap="sm">
        <Title order={2} size="h5">
          {title}
        </Title>
        {children}
      </Stack>
    </Paper>
  );
}

function Decide({ request, changing }: Props) {
  const [note, setNote] = useState('');
  const [wrong, setWrong] = useState<string>();
  const said = note.trim();
  const say = (call: typeof calls.approveRequest, problem: string | undefined) => {
    setWrong(problem);
    if (problem === undefined) void changing.make((id) => call(id, said === '' ? undefined : said));
  };
  return (
    <Panel title="Your word">
      <Text size="sm">
        {request.person} may then open {request.connection} for {span(request.duration_seconds)}
        {request.needed > 1 ? ', once enough have approved' : ''}. It ends by itself.
      </Text>
      <StatedInput
        label="Note"
        description={`${request.person} reads it. Needed to deny.`}
        value={note}
        error={wrong}
        onChange={setNote}
      />
      <SimpleGrid cols={2}>
        <Button
          size="lg"
          variant="light"
          color="red"
          disabled={changing.busy}
          onClick={() => say(calls.denyRequest, statedProblem(note, 'Say why.'))}
        >
          Deny
        </Button>
        <Button
          size="lg"
          color="teal"
          loading={changing.busy}
          onClick={() => say(calls.approveRequest, said === '' ? undefined : statedProblem(note, ''))}
        >
          Approve
        </Button>
      </SimpleGrid>
    </Panel>
  );
}

function Review({ request, changing }: Props) {
  const [finding, setFinding] = useState('');
  const [wrong, setWrong] = useState<string>();
  return (
    <Panel title="Review">
      <Text size="sm">
        Look at what {request.person} did there, and write down what you found. This closes the review for good.
      </Text>
      <StatedInput label="Finding" required minRows={3} value={finding} error={wrong} onChange={setFinding} />
      <Button
        size="md"
        loading={changing.busy}
        onClick={() => {
          const problem = statedProblem(finding, 'Say what you found.');
          setWrong(problem);
          if (problem === undefined) void changing.make((id) => calls.reviewEmergency(id, finding.trim()));
        }}
      >
        Close the review
      </Button>
    </Panel>
  );
}

function Extend({ request, changing }: Props) {
  const choices = spans(request.duration_seconds);
  const [seconds, setSeconds] = useState(String(choices[0]));
  return (
    <Panel title="Let it go on">
      <Group align="flex-end" gap="sm">
        <NativeSelect
          label="By"
          size="md"
          value={seconds}
          onChange={(event) => setSeconds(event.currentTarget.value)}
          data={choices.map((choice) => ({ value: String(choice), label: span(choice) }))}
        />
        <Button
          size="md"
          variant="default"
          loading={changing.busy}
          onClick={() => void changing.make((id) => calls.extendEmergency(id, Number(seconds)))}
        >
          Extend
        </Button>
      </Group>
    </Panel>
  );
}

interface EndProps extends Props {
  word: string;
  onClose: () => void;
}

function End({ request, word, changing, onClose }: EndProps) {
  const [reason, setReason] = useState('');
  const [wrong, setWrong] = useState<string>();
  const end = async () => {
    const problem = statedProblem(reason, 'Say why.');
    setWrong(problem);
    if (problem === undefined && (await changing.make((id) => calls.endRequest(id, reason.trim())))) onClose();
  };
  return (
    <Confirm
      opened
      title={`${word}: ${request.person} on ${request.connection}`}
      action={word}
      busy={changing.busy}
      error={changing.error}
      onConfirm={() => void end()}
      onClose={onClose}
    >
      {request.state === 'approved' ? <Text size="sm">Every session that rests on it ends at once.</Text> : null}
      <StatedInput label="Reason" required autoFocus value={reason} error={wrong} onChange={setReason} />
    </Confirm>
  );
}
