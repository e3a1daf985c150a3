/** One connection: what to paste, what it needs, where one's request for it stands; for admins its editing. */
import { Badge, Button, Card, Collapse, Group, Stack, Text, Title } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';

import type * as calls from '../../api/calls';
import { useMe, useRights } from '../../queries';
import { Copyable } from '../../ui/Copyable';
import { ButtonLink, TextLink } from '../../ui/RouterLink';
import { approvalWanted } from '../requests/standing';
import { Asked } from './Asked';
import { BreakGlass } from './BreakGlass';
import { CLUSTER, commands, forms, hasTerminal } from './commands';

interface CardProps {
  connection: calls.Connection;
  onEdit: (() => void) | undefined;
  onTest: (() => void) | undefined;
  onScan: (() => void) | undefined;
  onDelete: (() => void) | undefined;
}

export function ConnectionCard({ connection, onEdit, onTest, onScan, onDelete }: CardProps) {
  const [shown, { toggle }] = useDisclosure();
  const programs = forms(connection, useMe().name);
  const labels = labelsOf(connection.definition);
  const wanted = approvalWanted(connection);
  const { seesEvidence } = useRights();
  return (
    <Card withBorder component="li" aria-label={connection.name}>
      <Stack gap="sm">
        <Group justify="space-between" wrap="nowrap">
          <Group gap="xs" wrap="nowrap" miw={0}>
            <Online online={connection.online} />
            <Title order={2} size="h5" style={{ overflowWrap: 'anywhere' }}>
              {connection.name}
            </Title>
          </Group>
          <Group gap={6} wrap="nowrap">
            {connection.break_glass && !connection.may_connect ? (
              <Badge variant="default" c="dimmed" tt="none" miw="max-content">
                emergency only
              </Badge>
            ) : null}
            <Badge variant="light" tt="none" miw="max-content">
              {connection.protocol}
            </Badge>
          </Group>
        </Group>
        {connection.description ? <Text size="sm">{connection.description}</Text> : null}
        {connection.may_connect ? (
          <Stack gap={6}>
            {commands(connection).map((command) => (
              <Copyable key={command.text} value={command.text} label={command.label} />
            ))}
            <Needs needs={connection.needs ?? []} />
            {wanted ? <Asked connection={connection.name} wanted={wanted} /> : null}
          </Stack>
        ) : (
          <Text size="sm" c="dimmed">
            {connection.break_glass ? 'No rule lets you open it but one for emergencies.' : 'No rule lets you open it.'}
          </Text>
        )}
        {labels.length > 0 ? (
          <Group gap={6} role="group" aria-label="Labels">
            {labels.map((label) => (
              <Badge key={label} variant="default" tt="none" size="sm" fw={400}>
                {label}
              </Badge>
            ))}
          </Group>
        ) : null}
        {connection.definition ? (
          <Text size="xs" c="dimmed">
            Agent {connection.definition.agent}
            {seesEvidence ? (
              <>
                {' · '}
                <TextLink to="/rules" search={{ view: 'reach', connection: connection.name }} size="xs">
                  Who can reach this?
                </TextLink>
              </>
            ) : null}
          </Text>
        ) : null}
        <Group gap="xs">
          {connection.break_glass ? <BreakGlass connection={connection.name} /> : null}
          {hasTerminal(connection) ? (
            <ButtonLink
              to="/terminal/$connection"
              params={{ connection: connection.name }}
              size="compact-xs"
              variant="light"
              aria-label={connection.protocol === CLUSTER ? `Open a shell in a pod of ${connection.name}` : `Open a terminal on ${connection.name}`}
            >
              {connection.protocol === CLUSTER ? 'Open shell in a pod' : 'Open terminal'}
            </ButtonLink>
          ) : null}
          {connection.may_connect && programs.length > 0 ? (
            <Button size="compact-xs" variant="subtle" onClick={toggle} aria-expanded={shown}>
              {shown ? 'Hide' : 'psql, URL and JDBC forms'}
            </Button>
          ) : null}
          {onTest ? (
            <Button size="compact-xs" variant="subtle" onClick={onTest} aria-label={`Test ${connection.name}`}>
              Test
            </Button>
          ) : null}
          {onScan ? (
            <Button size="compact-xs" variant="subtle" onClick={onScan} aria-label={`Find personal data in ${connection.name}`}>
              Find personal data
            </Button>
          ) : null}
          {onEdit ? (
            <Button size="compact-xs" variant="subtle" onClick={onEdit} aria-label={`Edit ${connection.name}`}>
              Edit
            </Button>
          ) : null}
          {onDelete ? (
            <Button size="compact-xs" variant="subtle" color="red" onClick={onDelete} aria-label={`Delete ${connection.name}`}>
              Delete
            </Button>
          ) : null}
        </Group>
        <Collapse expanded={shown}>
          <Stack gap={6}>
            {programs.map((form) => (
              <Copyable key={form.label} value={form.text} label={`${form.label} form`} />
            ))}
            <Text size="xs" c="dimmed">
              While <code>hoop connect {connection.name}</code> runs. It prints the forms with the port that it
              really has, which takes connections of your own user only.
            </Text>
          </Stack>
        </Collapse>
      </Stack>
    </Card>
  );
}

function Needs({ needs }: { needs: string[] }) {
  if (needs.length === 0) return null;
  return (
    <Text size="xs" c="dimmed">
      Needs: {needs.join('; ')}
    </Text>
  );
}

function Online({ online }: { online: boolean }) {
  const word = online ? 'Online: an agent serves it' : 'Offline: no agent serves it now';
  return <span className="dot" data-on={online} role="img" aria-label={word} title={word} />;
}

export function labelsOf(definition: calls.ConnectionDefinition | null | undefined): string[] {
  return Object.entries(definition?.labels ?? {}).map(([key, value]) => `${key}=${value}`);
}
