/** The statements of a recorded session, held against the rules that are being written: what was decided then, and now. */
import { Alert, Badge, Button, Group, Stack, Table, Text, Title } from '@mantine/core';
import { useMemo } from 'react';

import type * as calls from '../../api/calls';
import { counted } from '../../lib/format';
import { Fetched } from '../../ui/Fetched';
import { TextLink } from '../../ui/RouterLink';
import { Visible } from '../../ui/Visible';
import type { Carried } from './carried';
import classes from './Rules.module.css';
import { compare, type Compared, summary, thenInShort, verdictInShort } from './trial';
import { useTrials, type Written } from './useTrial';

interface Props {
  carried: Carried;
  written: Written;
  rule: calls.TriedRule | undefined;
  /** Takes a statement to where it is looked at closely. */
  onLook: (text: string) => void;
  onClose: () => void;
}

export function SessionTrial({ carried, written, rule, onLook, onClose }: Props) {
  const texts = useMemo(() => carried.statements.map(({ text }) => text), [carried]);
  const trial = useTrials(written, rule, texts, carried);
  return (
    <Stack gap="sm" component="section" aria-label="Statements of a session" mt="lg">
      <Group justify="space-between" align="flex-start">
        <div>
          <Title order={2} size="h4">
            With the statements of{' '}
            <TextLink to="/sessions/$id" params={{ id: carried.id }} inherit>
              {carried.title}
            </TextLink>
          </Title>
          <Text size="sm" c="dimmed">
            {rule ? (
              <>
                Held against <span className="mono">{rule.name}</span> as it stands in the text.
              </>
            ) : (
              'The text has a mistake or no access rule: there is nothing to hold them against.'
            )}{' '}
            {carried.rule && carried.rule !== rule?.name ? `The session ran under ${carried.rule}. ` : ''}
            {limits(carried)}
          </Text>
        </div>
        <Button size="compact-sm" variant="default" onClick={onClose}>
          Put them away
        </Button>
      </Group>
      {rule ? (
        <Fetched query={trial} isEmpty={(tried) => tried.length === 0} empty="The session has no statement that rules could decide.">
          {(tried) => <Verdicts compared={compare(carried.statements, tried)} onLook={onLook} />}
        </Fetched>
      ) : null}
    </Stack>
  );
}

function limits({ leftOut, isPartial }: Carried): string {
  return [
    ...(leftOut > 0 ? [`${counted(leftOut, 'statement')} ${leftOut === 1 ? 'is' : 'are'} left out: too long, or too many for one trial.`] : []),
    ...(isPartial ? ['The session has more: its replay had not loaded them.'] : []),
  ].join(' ');
}

function Verdicts({ compared, onLook }: { compared: readonly Compared[]; onLook: (text: string) => void }) {
  const differ = compared.some(({ change }) => change);
  return (
    <>
      <Alert color={differ ? 'yellow' : 'teal'} variant="light" role="status">
        {summary(compared)}
      </Alert>
      <Table className={classes.verdicts} fz="sm" aria-label="Then and now">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Statement</Table.Th>
            <Table.Th>Then</Table.Th>
            <Table.Th>Now</Table.Th>
            <Table.Th aria-label="Actions" />
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {compared.map((one, index) => (
            <Row key={index} number={index + 1} compared={one} onLook={() => onLook(one.statement.text)} />
          ))}
        </Table.Tbody>
      </Table>
    </>
  );
}

function Row({ number, compared, onLook }: { number: number; compared: Compared; onLook: () => void }) {
  const { statement, now, change } = compared;
  return (
    <Table.Tr data-change={change}>
      <Table.Td>
        <span className="mono">
          <Visible text={headOf(statement.text)} oneLine />
        </span>
        {statement.times > 1 ? (
          <Badge ml={6} variant="default" tt="none" size="sm" miw="max-content">
            {statement.times} times
          </Badge>
        ) : null}
      </Table.Td>
      <Table.Td data-label="Then" title={statement.denied ? `${statement.denied.message} (${statement.denied.code})` : undefined}>
        {thenInShort(statement)}
      </Table.Td>
      <Table.Td data-label="Now" fw={change ? 600 : undefined} c={now.refusal ? 'var(--mantine-color-orange-text)' : undefined}>
        {verdictInShort(now)}
      </Table.Td>
      <Table.Td>
        <Button size="compact-xs" variant="subtle" aria-label={`Look at statement ${number}`} onClick={onLook}>
          Look
        </Button>
      </Table.Td>
    </Table.Tr>
  );
}

const HEAD = 160;

function headOf(text: string): string {
  const line = text.trim().replace(/\s+/g, ' ');
  return line.length > HEAD ? `${line.slice(0, HEAD)}…` : line;
}

/** The page was loaded anew, and what it held is gone. */
export function SessionGone({ id, onClose }: { id: string; onClose: () => void }) {
  return (
    <Alert color="gray" variant="light" mt="lg" title="The session’s statements are not here any more">
      <Stack gap="xs" align="flex-start">
        <Text size="sm">
          They are kept in the page’s memory alone, never in the browser’s storage.{' '}
          <TextLink to="/sessions/$id" params={{ id }} size="sm">
            Take them from its replay again
          </TextLink>
          .
        </Text>
        <Button size="compact-sm" variant="default" onClick={onClose}>
          Go on without
        </Button>
      </Stack>
    </Alert>
  );
}
