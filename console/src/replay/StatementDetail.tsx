/** One statement whole: text, bind values, how it ended, what it returned; of a host what was printed, or its screen. */
import { Alert, Badge, Code, Group, Paper, Stack, Table, Text, Title } from '@mantine/core';

import type { ReactNode } from 'react';

import { bytes, count, counted, duration } from '../lib/format';
import { Time } from '../ui/Time';
import { Visible } from '../ui/Visible';
import { ResultTable } from './ResultTable';
import { Sql } from './Sql';
import { formLabel, isOfApi, isOfHost, parameterName, type Refusal, type Statement, tellsRows } from './statement';

interface Props {
  statement: Statement;
  place: string;
  /** Its terminal, if it ran in one. */
  screen?: ReactNode;
}

export function StatementDetail({ statement, place, screen }: Props) {
  return (
    <Paper withBorder p="md" component="section" aria-label="Statement">
      <Stack gap="sm">
        <Group justify="space-between">
          <Group gap="xs">
            <Title order={3} size="h5">
              Statement {place}
            </Title>
            <Badge variant="default" tt="none">
              {formLabel(statement.form)}
            </Badge>
            {statement.stream === undefined ? null : (
              <Badge variant="default" tt="none">
                stream {statement.stream}
              </Badge>
            )}
          </Group>
          <Text size="xs" c="dimmed">
            <Time at={statement.at} />
          </Text>
        </Group>
        <Asked statement={statement} />
        {statement.denied ? <Refused refusal={statement.denied} title="Refused by policy: it never reached the target" color="orange" /> : null}
        {statement.error ? (
          // What the target said has a code of its own.
          <Refused refusal={statement.error} title={statement.error.code.startsWith('HOOP-') ? 'Ended by hoop' : 'Failed at the target'} color="red" />
        ) : null}
        <Figures statement={statement} />
        {statement.curtailed === undefined ? null : (
          <Alert color="yellow" variant="light" title="Not all of it was kept">
            From {bytes(statement.curtailed)} on, the answer was counted and not recorded.
          </Alert>
        )}
        {statement.masked.length === 0 ? null : (
          <Text size="sm" c="dimmed">
            Masked: <Visible text={statement.masked.map(([kind, count]) => `${count} ${kind}`).join(', ')} oneLine />
          </Text>
        )}
        {screen ?? <Printed statement={statement} />}
        {statement.rows.length > 0 || statement.columns.length > 0 ? (
          <ResultTable key={statement.key} columns={statement.columns} rows={statement.rows} />
        ) : null}
      </Stack>
    </Paper>
  );
}

function Asked({ statement }: { statement: Statement }) {
  if (isOfHost(statement)) {
    return statement.text === '' ? null : (
      <Code block aria-label="Statement text">
        <Visible text={[statement.text, ...statement.parameters.map((path) => `→ ${path ?? ''}`)].join('\n')} />
      </Code>
    );
  }
  return (
    <>
      {isOfApi(statement) ? (
        <Code block aria-label="Statement text">
          <Visible text={statement.text} />
        </Code>
      ) : statement.text === '' ? (
        <Text c="dimmed">This form carries no text.</Text>
      ) : (
        <Sql text={statement.text} />
      )}
      {statement.parameters.length > 0 ? <Parameters statement={statement} /> : null}
    </>
  );
}

/** What a command printed, its two streams apart. */
function Printed({ statement }: { statement: Statement }) {
  return (
    <>
      <Stream name={isOfApi(statement) ? 'Answer' : 'Output'} text={statement.output} />
      <Stream name="Standard error" text={statement.errorOutput} />
      {statement.outputOmitted > 0 ? (
        <Alert color="yellow" variant="light">
          {bytes(statement.outputOmitted)} more was printed and is recorded: the download as JSON lines has all of it.
        </Alert>
      ) : null}
    </>
  );
}

function Stream({ name, text }: { name: string; text: string }) {
  if (text === '') return null;
  return (
    <div>
      <Text size="xs" c="dimmed" mb={2}>
        {name}
      </Text>
      <Code block mah={480} style={{ overflow: 'auto' }} aria-label={name}>
        <Visible text={text} />
      </Code>
    </div>
  );
}

function Parameters({ statement }: { statement: Statement }) {
  return (
    <Table
      withRowBorders={false}
      verticalSpacing={2}
      fz="xs"
      w="auto"
      aria-label={isOfApi(statement) ? 'Path, and fields that it sets' : 'Bind values'}
    >
      <Table.Tbody>
        {statement.parameters.map((value, index) => (
          <Table.Tr key={index}>
            <Table.Th scope="row" fw={500} w={48}>
              {parameterName(statement, index)}
            </Table.Th>
            <Table.Td ff="monospace" style={{ overflowWrap: 'anywhere' }}>{value === null ? <Code>NULL</Code> : <Visible text={value} />}</Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  );
}

function Refused({ refusal, title, color }: { refusal: Refusal; title: string; color: string }) {
  return (
    <Alert color={color} variant="light" title={title}>
      <Text size="sm">
        <Visible text={refusal.message} /> {refusal.code ? <Code>{refusal.code}</Code> : null}
      </Text>
    </Alert>
  );
}

function Figures({ statement }: { statement: Statement }) {
  const figures = [
    statement.tag === undefined ? undefined : <Visible key="tag" text={statement.tag} oneLine />,
    tellsRows(statement) ? counted(statement.rowsCount, 'row') : undefined,
    statement.durationUs === undefined ? undefined : duration(statement.durationUs),
    statement.copiedIn > 0 ? `${bytes(statement.copiedIn)} ${isOfHost(statement) || isOfApi(statement) ? 'sent' : 'copied in'}` : undefined,
    statement.copiedOut > 0 ? `${bytes(statement.copiedOut)} ${isOfHost(statement) || isOfApi(statement) ? 'received' : 'copied out'}` : undefined,
    statement.rowsOmitted > 0 ? `first ${count(statement.rows.length)} rows shown, ${count(statement.rowsOmitted)} more recorded` : undefined,
  ].filter((figure) => figure !== undefined);
  if (figures.length === 0) return null;
  return (
    <Group gap="md">
      {figures.map((figure, index) => (
        <Text key={index} size="xs" c="dimmed" component="span">
          {figure}
        </Text>
      ))}
    </Group>
  );
}
