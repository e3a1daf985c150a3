/** One session: its facts, whether its recording is whole, and what happened in it. */
import { Alert, Badge, Button, Group, Loader, Menu, Paper, SimpleGrid, Stack, Text, Title } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { getRouteApi, useNavigate } from '@tanstack/react-router';
import { lazy, type ReactNode, Suspense } from 'react';

import * as calls from '../../api/calls';
import { bytes, count, counted, span } from '../../lib/format';
import { isOpen, sessionQuery, useMe, useRights } from '../../queries';
import { Replay } from '../../replay/Replay';
import { isGap } from '../../replay/rows';
import type { Statement } from '../../replay/statement';
import { MOST, type TimelineState, useTimeline } from '../../replay/useTimeline';
import { Empty, Fetched } from '../../ui/Fetched';
import { Page } from '../../ui/Page';
import { TextLink } from '../../ui/RouterLink';
import { Time } from '../../ui/Time';
import { Visible } from '../../ui/Visible';
import { carry, HAS_STATEMENTS, isCarried, keepCarried, ruleIn } from '../rules/carried';
import { EndButton } from './EndButton';
import { atLeast } from './figures';
import { KillButton } from './KillButton';
import { StateBadge } from './StateBadge';
import { Verification } from './Verification';

/** With the terminal emulator: fetched when there is a terminal to show. */
const TerminalReplay = lazy(async () => ({ default: (await import('../../terminal/TerminalReplay')).TerminalReplay }));

const route = getRouteApi('/signed-in/shell/sessions/$id');

export function SessionDetail() {
  const { id } = route.useParams();
  const { manages, seesEvidence } = useRights();
  const me = useMe();
  const query = useQuery(sessionQuery(id));
  const session = query.data;
  return (
    <Page
      title={session ? `${session.user} on ${session.connection}` : 'Session'}
      about={
        <>
          <TextLink to="/sessions" search={{ state: session && isOpen(session.state) ? 'live' : 'past' }} size="sm">
            Sessions
          </TextLink>{' '}
          / <span className="mono">{id}</span>
        </>
      }
      actions={
        session ? (
          <>
            <StateBadge state={session.state} />
            {seesEvidence ? (
              <Downloads id={id} />
            ) : null}
            {manages && isOpen(session.state) ? <KillButton session={session} size="sm" /> : null}
            {!manages && session.user === me.name && isOpen(session.state) ? <EndButton session={session} /> : null}
          </>
        ) : null
      }
    >
      <Fetched query={query}>
        {(found) => (
          <Stack gap="lg">
            <Facts session={found} />
            {found.recording_deleted_at ? (
              <Empty>
                The recording was deleted at <Time at={found.recording_deleted_at} />: its retention was over. What proves it stands in the
                ledger.
              </Empty>
            ) : seesEvidence ? (
              <>
                <Verification id={id} live={isOpen(found.state)} />
                <Recorded key={id} session={found} />
              </>
            ) : (
              <Empty>What was recorded can be seen by auditors and administrators.</Empty>
            )}
          </Stack>
        )}
      </Fetched>
    </Page>
  );
}

function Downloads({ id }: { id: string }) {
  const formats: [string, string][] = [
    ['Encrypted, for an offline check', calls.recordingHref(id)],
    ['SQL text', calls.exportHref(id, 'sql')],
    ['JSON lines', calls.exportHref(id, 'jsonl')],
    ['Asciicast', calls.exportHref(id, 'asciicast')],
  ];
  return (
    <Menu position="bottom-end">
      <Menu.Target>
        <Button variant="default" size="sm">
          Download
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>Each is written to the ledger</Menu.Label>
        {formats.map(([label, href]) => (
          <Menu.Item key={href} component="a" href={href} download>
            {label}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}

function Facts({ session }: { session: calls.Session }) {
  const end = session.ended_at;
  const facts: [string, ReactNode][] = [
    ['Started', <Time key="s" at={session.started_at} />],
    ['Ended', end ? <Time key="e" at={end} /> : 'not yet'],
    ...(end ? [['Lasted', span((Date.parse(end) - Date.parse(session.started_at)) / 1_000)] as [string, ReactNode]] : []),
    ['From', session.address],
    ['Agent', session.agent],
    ['Protocol', session.protocol],
    ['Allowed because', session.allowed_because],
    ...(session.reason ? [['Stated reason', <Visible key="r" text={session.reason} oneLine />] as [string, ReactNode]] : []),
    ...(session.end_reason ? [['Ended because', <Visible key="w" text={session.end_reason} oneLine />] as [string, ReactNode]] : []),
    ['Requests', atLeast(session, count(session.requests))],
    ['Rows shown', atLeast(session, count(session.rows))],
    ['Sent to the client', atLeast(session, bytes(session.bytes_out))],
    ['Recording', bytes(session.recording_bytes)],
    ...(end && !session.recording_deleted_at
      ? [['Kept until', session.retain_until ? <Time key="k" at={session.retain_until} /> : 'for ever'] as [string, ReactNode]]
      : []),
  ];
  return (
    <Paper withBorder p="md">
      <SimpleGrid cols={{ base: 2, sm: 3, lg: 6 }} component="dl" m={0} verticalSpacing="sm">
        {facts.map(([name, value]) => (
          <div key={name}>
            <Text component="dt" size="xs" c="dimmed">
              {name}
            </Text>
            <Text component="dd" size="sm" m={0} style={{ overflowWrap: 'anywhere' }}>
              {value}
            </Text>
          </div>
        ))}
      </SimpleGrid>
    </Paper>
  );
}

function Recorded({ session }: { session: calls.Session }) {
  const live = isOpen(session.state);
  const timeline = useTimeline(session.id, live);
  const { manages } = useRights();
  const screenOf = ({ key, stream, id, tag }: Statement) =>
    stream === undefined || id === undefined ? undefined : (
      <Suspense key={key} fallback={<Loader size="sm" />}>
        <TerminalReplay
          session={session.id}
          stream={stream}
          request={id}
          live={live && tag === undefined}
          actions={live && manages ? <KillButton session={session} size="compact-xs" /> : undefined}
        />
      </Suspense>
    );
  return (
    <Stack gap="sm" component="section" aria-label="Replay">
      <Group justify="space-between">
        <Title order={2} size="h4">
          Replay
        </Title>
        <Group gap="sm">
          <Ending timeline={timeline} live={live} />
          <TryRulesButton session={session} timeline={timeline} />
        </Group>
      </Group>
      <Missing timeline={timeline} live={live} />
      {timeline.keptElsewhere ? (
        <Empty>
          <Text>Everything is recorded, and this gateway cannot decrypt it: an auditor has the key.</Text>
          <Text size="sm">
            With it: <code>hoop sessions replay {session.id} --key auditor.pem</code>
          </Text>
        </Empty>
      ) : timeline.nothingYet ? (
        <Empty>Nothing is recorded yet.</Empty>
      ) : (
        <Fetched
          query={timeline.query}
          isEmpty={(statements) => statements.length + timeline.notes.length === 0 && !timeline.end?.missing}
          empty={live ? 'Nothing was asked yet.' : 'Nothing was asked in this session.'}
        >
          {(statements) => (
            <Replay
              session={session}
              statements={statements}
              notes={timeline.notes}
              end={live ? undefined : timeline.end}
              more={timeline.more}
              fetchingMore={timeline.fetchingMore}
              follow={live}
              screenOf={screenOf}
            />
          )}
        </Fetched>
      )}
      {timeline.notesOmitted > 0 ? (
        <Alert color="yellow" variant="light">
          {counted(timeline.notesOmitted, 'more note')} were too many to show.
        </Alert>
      ) : null}
      {timeline.statements.length >= MOST ? (
        <Alert color="yellow" variant="light">
          The first {count(MOST)} statements are shown. Use <code>hoop sessions replay {session.id}</code> for all of them.
        </Alert>
      ) : null}
    </Stack>
  );
}

/** Takes what was asked to where rules are written, to see what others would have said. */
function TryRulesButton({ session, timeline }: { session: calls.Session; timeline: TimelineState }) {
  const cache = useQueryClient();
  const navigate = useNavigate();
  if (!HAS_STATEMENTS.includes(session.protocol) || !timeline.statements.some(isCarried)) return null;
  const { id } = session;
  const take = () => {
    const title = `${session.user} on ${session.connection}`;
    const isPartial = timeline.more !== undefined || timeline.fetchingMore;
    const asked = { person: session.user, connection: session.connection, reason: session.reason ?? null };
    keepCarried(cache, { id, title, session: asked, rule: ruleIn(session.allowed_because), isPartial, ...carry(timeline.statements) });
    void navigate({ to: '/rules', search: { view: 'text', session: id } });
  };
  return (
    <Button size="xs" variant="light" onClick={take}>
      Try with other rules
    </Button>
  );
}

function Ending({ timeline, live }: { timeline: TimelineState; live: boolean }) {
  if (!live) return null;
  const [color, word] =
    timeline.following === 'live' ? ['teal', 'following live'] : timeline.following === 'lost' ? ['yellow', 'reconnecting'] : ['gray', 'live'];
  return (
    <Badge color={color} variant="dot" tt="none" role="status">
      {word}
    </Badge>
  );
}

const NOTES: Record<string, string> = {
  interrupted: 'The agent did not seal this recording: its end may be missing.',
  cut_off: 'This recording is cut off: what follows was lost or has not arrived.',
};

/** What the reader must know before anything else: that this is not all. */
function Missing({ timeline, live }: { timeline: TimelineState; live: boolean }) {
  const gaps = timeline.notes.filter(isGap).length;
  const note = live || timeline.end === undefined ? undefined : NOTES[timeline.end.how];
  return (
    <>
      {note ? (
        <Alert color="yellow" variant="light">
          {note}
        </Alert>
      ) : null}
      {gaps > 0 ? (
        <Alert color="red" variant="light" title={gaps === 1 ? 'A piece is missing' : `${count(gaps)} pieces are missing`}>
          What is missing and why stands below, in red, where it happened.
        </Alert>
      ) : null}
    </>
  );
}
