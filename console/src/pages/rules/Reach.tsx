/** Who can reach a connection, and what a person can reach, under the rules in force. */
import { Badge, Group, SegmentedControl, Select, Stack, Table } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';

import * as calls from '../../api/calls';
import { Empty, Fetched } from '../../ui/Fetched';
import { Listing } from '../../ui/Listing';

export type Question = 'connection' | 'person';

interface Props {
  question: Question;
  connection: string | undefined;
  person: string | undefined;
  onAsk: (question: Question, about: string | undefined) => void;
}

const WORDS = {
  connection: { label: 'Connection', ask: 'Choose a connection.', nothing: (name: string) => `Nobody reaches ${name}.` },
  person: { label: 'Person', ask: 'Choose a person.', nothing: (name: string) => `${name} reaches nothing.` },
};

export function Reach({ question, connection, person, onAsk }: Props) {
  const about = question === 'connection' ? connection : person;
  return (
    <Stack gap="md">
      <Group align="flex-end" gap="sm">
        <SegmentedControl
          aria-label="Question"
          size="xs"
          value={question}
          onChange={(value) => onAsk(value === 'person' ? 'person' : 'connection', undefined)}
          data={[
            { value: 'connection', label: 'Who can reach this?' },
            { value: 'person', label: 'What can she reach?' },
          ]}
        />
        <Choose key={question} question={question} about={about} onChoose={(name) => onAsk(question, name)} />
      </Group>
      {about === undefined ? <Empty>{WORDS[question].ask}</Empty> : <ReachAnswer question={question} about={about} />}
    </Stack>
  );
}

interface ChooseProps {
  question: Question;
  about: string | undefined;
  onChoose: (name: string | undefined) => void;
}

function Choose({ question, about, onChoose }: ChooseProps) {
  const names = useQuery({
    queryKey: question === 'connection' ? ['connections', 'names'] : ['users', 'names'],
    queryFn: async () => (question === 'connection' ? await calls.connections(true) : await calls.users()).map(({ name }) => name),
  });
  const known = new Set([...(about === undefined ? [] : [about]), ...(names.data ?? [])]);
  return (
    <Select
      label={WORDS[question].label}
      searchable
      clearable
      limit={50}
      w={260}
      data={[...known].sort()}
      value={about ?? null}
      nothingFoundMessage={names.isPending ? 'Looking …' : 'None of this name'}
      onChange={(name) => onChoose(name ?? undefined)}
    />
  );
}

export function ReachAnswer({ question, about }: { question: Question; about: string }) {
  const reach = useQuery({ queryKey: ['rules', 'reach', question, about], queryFn: () => calls.reach(question, about) });
  const other = question === 'connection' ? 'Person' : 'Connection';
  return (
    <Fetched query={reach} isEmpty={(items) => items.length === 0} empty={WORDS[question].nothing(about)}>
      {(items) => (
        <Listing
          label={question === 'connection' ? `Who can reach ${about}` : `What ${about} can reach`}
          minWidth={760}
          columns={[other, 'Rule', 'Through', 'Needs']}
        >
          {items.map((item) => (
            <Table.Tr key={`${item.person} ${item.connection} ${item.rule}`}>
              <Table.Td fw={500}>{question === 'connection' ? item.person : item.connection}</Table.Td>
              <Table.Td>
                <Group gap={6} wrap="nowrap">
                  {item.rule}
                  {item.break_glass ? (
                    <Badge variant="light" color="orange" tt="none" size="sm">
                      emergency
                    </Badge>
                  ) : null}
                </Group>
              </Table.Td>
              <Table.Td>{item.through}</Table.Td>
              <Table.Td>{item.needs.join('; ') || '–'}</Table.Td>
            </Table.Tr>
          ))}
        </Listing>
      )}
    </Fetched>
  );
}
