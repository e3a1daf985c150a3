/** The rules in force, a card each, to be read at a glance. */
import { Badge, Card, Group, SimpleGrid, Stack, Text, TextInput, Title } from '@mantine/core';
import { useMemo, useState } from 'react';

import { counted } from '../../lib/format';
import { Empty } from '../../ui/Fetched';
import { matches, readDocument, summaries, type Summary } from './document';
import classes from './Rules.module.css';

/** More than anybody reads; who looks for one of more looks for it by name. */
const MOST_SHOWN = 100;

export function Cards({ document }: { document: unknown }) {
  const [wanted, setWanted] = useState('');
  const all = useMemo(() => summaries(readDocument(document)), [document]);
  if (all.length === 0) return <Empty>There is no rule: nobody may open anything.</Empty>;
  const found = all.filter((summary) => matches(summary, wanted));
  const shown = found.slice(0, MOST_SHOWN);
  return (
    <Stack gap="sm">
      {all.length > 6 ? (
        <TextInput
          aria-label="Find a rule"
          placeholder="Find by any word in it"
          maw={360}
          value={wanted}
          onChange={(event) => setWanted(event.currentTarget.value)}
        />
      ) : null}
      <Text size="sm" c="dimmed">
        The first rule that allows decides. What no rule allows is refused.
      </Text>
      <SimpleGrid cols={{ base: 1, lg: 2 }} component="ol" p={0} m={0}>
        {shown.map((summary) => (
          <RuleCard key={summary.name} summary={summary} />
        ))}
      </SimpleGrid>
      {found.length > shown.length ? (
        <Text size="sm" c="dimmed">
          {counted(found.length - shown.length, 'more rule')}: narrow it down above, or read the text.
        </Text>
      ) : null}
    </Stack>
  );
}

function RuleCard({ summary }: { summary: Summary }) {
  return (
    <Card withBorder component="li" aria-label={summary.name} className={summary.enabled ? undefined : classes.off}>
      <Stack gap="xs">
        <Group justify="space-between" wrap="nowrap">
          <Title order={2} size="h5" style={{ overflowWrap: 'anywhere' }}>
            {summary.name}
          </Title>
          <Group gap={6} wrap="nowrap">
            {summary.enabled ? null : <Mark word="off" color="gray" />}
            {summary.emergency ? <Mark word="emergency" color="orange" /> : null}
          </Group>
        </Group>
        {summary.description ? <Text size="sm">{summary.description}</Text> : null}
        <dl className={classes.facts}>
          <Facts name="Who" phrases={summary.who} />
          <Facts name="What" phrases={summary.what} />
          <Facts name="Needs" phrases={summary.conditions.length > 0 ? summary.conditions : ['nothing else']} aLineEach />
          <Facts name="At most" phrases={summary.limits} />
        </dl>
      </Stack>
    </Card>
  );
}

function Mark({ word, color }: { word: string; color: string }) {
  return (
    <Badge variant="light" color={color} tt="none" miw="max-content">
      {word}
    </Badge>
  );
}

/** So many of a list; the text has the rest. */
const MOST_PHRASES = 12;

interface FactsProps {
  name: string;
  phrases: string[];
  aLineEach?: boolean;
}

function Facts({ name, phrases, aLineEach = false }: FactsProps) {
  const rest = phrases.length - MOST_PHRASES;
  const shown = [...phrases.slice(0, MOST_PHRASES), ...(rest > 0 ? [`and ${rest} more`] : [])];
  return (
    <>
      <dt>{name}</dt>
      <dd>{aLineEach ? shown.map((phrase, index) => <div key={index}>{phrase}</div>) : shown.join(' · ')}</dd>
    </>
  );
}
