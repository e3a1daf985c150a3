/** One request or emergency: who asks for what and why, what was said, how long it has, and what one may do about it. */
import { Group, Paper, SimpleGrid, Stack, Text, Title } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { getRouteApi } from '@tanstack/react-router';
import type { ReactNode } from 'react';

import type { AccessRequest } from '../../api/calls';
import { counted, span } from '../../lib/format';
import { requestQuery, useMe, useRights } from '../../queries';
import { Sql } from '../../replay/Sql';
import { Copyable } from '../../ui/Copyable';
import { Fetched } from '../../ui/Fetched';
import { Page } from '../../ui/Page';
import { TextLink } from '../../ui/RouterLink';
import { Time } from '../../ui/Time';
import { Visible } from '../../ui/Visible';
import { Actions } from './Actions';
import classes from './Requests.module.css';
import { approvals } from './standing';
import { StandingBadge } from './StandingBadge';
import { TimeLeft } from './TimeLeft';

const route = getRouteApi('/signed-in/shell/requests/$id');

export function RequestDetail() {
  const { id } = route.useParams();
  const query = useQuery(requestQuery(id));
  const request = query.data;
  return (
    <Page
      title={request ? `${request.person} on ${request.connection}` : 'Request'}
      about={request?.kind === 'break_glass' ? 'An emergency.' : request ? 'A request for access.' : undefined}
      actions={request ? <StandingBadge request={request} /> : null}
    >
      <Fetched query={query}>
        {(found) => (
          <Stack gap="md" maw={760}>
            <Facts request={found} />
            <Only request={found} />
            <Said request={found} />
            <WayIn request={found} />
            <Actions key={id} request={found} />
          </Stack>
        )}
      </Fetched>
    </Page>
  );
}

function Facts({ request }: { request: AccessRequest }) {
  const foreign = (text: string) => <Visible text={text} oneLine />;
  const facts: [string, ReactNode][] = [
    ['Who', request.person],
    ['Connection', request.connection],
    ...(request.target_user ? [['As, at the target', foreign(request.target_user)] as [string, ReactNode]] : []),
    ['For', span(request.duration_seconds)],
    ['Rule', request.rule],
    ...(request.statement_rule ? [['Statement rule', request.statement_rule] as [string, ReactNode]] : []),
    ['Asked', <Time key="asked" at={request.created_at} />],
    ...times(request),
    ...(request.extended_by ? [['Let go on by', request.extended_by] as [string, ReactNode]] : []),
    ...(request.end_reason ? [['Ended because', foreign(request.end_reason)] as [string, ReactNode]] : []),
  ];
  return (
    <Paper withBorder p="md">
      <Stack gap="sm">
        <Stated name="Reason" text={request.reason} />
        {request.incident ? <Stated name="Incident" text={request.incident} /> : null}
        <SimpleGrid cols={{ base: 2, sm: 3 }} component="dl" m={0} verticalSpacing="sm" className={classes.facts}>
          {facts.map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <Text component="dd" size="sm">
                {value}
              </Text>
            </div>
          ))}
        </SimpleGrid>
      </Stack>
    </Paper>
  );
}

/** All that an approval lets somebody run: every character of it, since it is what others put their names to. */
function Only({ request }: { request: AccessRequest }) {
  const { statement } = request;
  if (!statement) return null;
  return (
    <Paper withBorder p="md" component="section" aria-label="The statement">
      <Stack gap="xs">
        <Title order={2} size="h5">
          For this statement alone, once
        </Title>
        <Text size="sm" c="dimmed">
          In database <Visible text={statement.database ?? ''} oneLine />, exactly as written.
        </Text>
        <Sql text={statement.text} />
      </Stack>
    </Paper>
  );
}

function times(request: AccessRequest): [string, ReactNode][] {
  const left = <TimeLeft key="left" request={request} />;
  if (request.state === 'pending') return [['To be decided', left]];
  if (request.state === 'approved') {
    return [
      ['Time', left],
      ...(request.ends_at ? [['Until', <Time key="until" at={request.ends_at} />] as [string, ReactNode]] : []),
    ];
  }
  return request.ended_at ? [['Over since', <Time key="over" at={request.ended_at} />]] : [];
}

function Stated({ name, text }: { name: string; text: string }) {
  return (
    <div>
      <Text size="xs" c="dimmed">
        {name}
      </Text>
      <Text style={{ overflowWrap: 'anywhere' }}>
        <Visible text={text} oneLine />
      </Text>
    </div>
  );
}

/** Every word of others on it, the review last. */
function Said({ request }: { request: AccessRequest }) {
  const { decisions, needed, review } = request;
  if (needed === 0 && !review) return null;
  return (
    <Paper withBorder p="md" component="section" aria-label="What was said">
      <Stack gap="xs">
        <Title order={2} size="h5">
          {needed > 0 ? `${approvals(request)} of ${counted(needed, 'approval')}` : 'Review'}
        </Title>
        {decisions.map((word) => (
          <Word key={word.by} who={word.by} did={word.approves ? 'approved' : 'denied'} at={word.at} text={word.note} />
        ))}
        {review ? <Word who={review.by} did="reviewed" at={review.at} text={review.finding} /> : null}
        {decisions.length === 0 && !review ? (
          <Text size="sm" c="dimmed">
            Nobody has said anything yet.
          </Text>
        ) : null}
      </Stack>
    </Paper>
  );
}

function Word({ who, did, at, text }: { who: string; did: string; at: string; text: string | null | undefined }) {
  return (
    <div>
      <Text size="sm">
        <strong>{who}</strong> {did}{' '}
        <Text span size="xs" c="dimmed">
          <Time at={at} />
        </Text>
      </Text>
      {text ? (
        <Text size="sm" style={{ overflowWrap: 'anywhere' }}>
          <Visible text={text} oneLine />
        </Text>
      ) : null}
    </div>
  );
}

/** What to do with it while it is in force; the sessions that rest on it. */
function WayIn({ request }: { request: AccessRequest }) {
  const me = useMe();
  const { seesEvidence } = useRights();
  const own = request.person === me.name;
  return (
    <>
      {own && request.state === 'approved' ? (
        <Copyable value={`hoop connect ${request.connection}${request.statement ? ' --statement @FILE' : ''}`} label="Connect" />
      ) : null}
      {own && request.state === 'pending' ? (
        <Text size="sm" c="dimmed">
          A running <code>hoop connect {request.connection}</code> goes on by itself once it is approved.
        </Text>
      ) : null}
      {(own || seesEvidence) && request.ends_at ? (
        <Group gap="xs">
          <TextLink
            size="sm"
            to="/sessions"
            search={{
              state: request.state === 'approved' ? 'live' : 'past',
              connection: request.connection,
              user: seesEvidence ? request.person : undefined,
            }}
          >
            Sessions of {request.person} on {request.connection}
          </TextLink>
        </Group>
      ) : null}
    </>
  );
}
