/** A statement is typed, and it says at once what is read of it and what the rules that are being written decide. */
import { Alert, Code, Select, Stack, Text, Textarea, Title } from '@mantine/core';
import type { Ref } from 'react';

import type * as calls from '../../api/calls';
import { counted } from '../../lib/format';
import { ProblemAlert } from '../../ui/ProblemAlert';
import { Visible } from '../../ui/Visible';
import classes from './Rules.module.css';
import type { Carried } from './carried';
import { facts, ruling, verdict } from './trial';
import { useStatementTrial, type Written } from './useTrial';

const LONGEST_TEXT = 64 * 1024;

interface Props {
  written: Written;
  rule: calls.TriedRule | undefined;
  onRule: (name: string) => void;
  /** The session that conditions are asked about, if any. */
  carried: Carried | undefined;
  text: string;
  onText: (text: string) => void;
  field: Ref<HTMLTextAreaElement>;
}

export function TryIt({ written, rule, onRule, carried, text, onText, field }: Props) {
  const { tried, error, isStale } = useStatementTrial(written, rule, text, carried);
  return (
    <Stack gap="sm" component="section" aria-label="Try it">
      <Title order={2} size="h4">
        Try it
      </Title>
      <Select
        label="Access rule"
        searchable
        allowDeselect={false}
        limit={50}
        data={written.rules.map(({ name }) => name)}
        value={rule?.name ?? null}
        placeholder={written.rules.length === 0 ? 'None in the text' : undefined}
        disabled={written.rules.length === 0}
        description={rule ? aboutRule(rule) : undefined}
        inputWrapperOrder={['label', 'input', 'description', 'error']}
        onChange={(name) => (name === null ? undefined : onRule(name))}
      />
      <Textarea
        ref={field}
        label="Statement"
        description="Nothing is run: it is read and held against the rules as they stand in the text"
        inputWrapperOrder={['label', 'input', 'description', 'error']}
        classNames={{ input: 'mono' }}
        placeholder="SELECT name FROM clinic.patients WHERE id = 7"
        autosize
        minRows={3}
        maxRows={10}
        maxLength={LONGEST_TEXT}
        spellCheck={false}
        autoCapitalize="off"
        value={text}
        onChange={(event) => onText(event.currentTarget.value)}
      />
      <div role="status" aria-label="What would become of it" className={isStale ? classes.stale : undefined}>
        {text.trim() === '' || rule === undefined ? null : error ? (
          <ProblemAlert error={error} />
        ) : tried ? (
          <Tried tried={tried} rule={rule} />
        ) : null}
      </div>
    </Stack>
  );
}

function aboutRule(rule: calls.TriedRule): string {
  if (rule.break_glass) return 'For emergencies: any statement may run';
  return rule.statements === 0 ? 'Without statement rules: any statement may run' : counted(rule.statements, 'statement rule');
}

function Tried({ tried, rule }: { tried: calls.TriedText; rule: calls.TriedRule }) {
  const refused = tried.refusal ?? undefined;
  const total = tried.statements.length + tried.statements_omitted;
  return (
    <Stack gap="sm">
      <Alert color={refused ? 'orange' : 'teal'} variant="light" title={verdict(tried, rule)}>
        {refused ? (
          <Stack gap={4}>
            <Text size="sm">
              {refused.message} <Code className="nowrap">{refused.code}</Code>
            </Text>
            {refused.hint ? (
              <Text size="sm">{refused.hint}</Text>
            ) : null}
            {total > 1 ? <Text size="sm">One statement that may not run refuses all of the text.</Text> : null}
          </Stack>
        ) : null}
      </Alert>
      {tried.unreadable ? <Text size="sm">It cannot be read: {tried.unreadable}.</Text> : null}
      {tried.statements.map((statement) => (
        <Read key={statement.at} statement={statement} total={total} />
      ))}
      {tried.statements_omitted > 0 ? (
        <Text size="sm" c="dimmed">
          {counted(tried.statements_omitted, 'more statement')} of it {tried.statements_omitted === 1 ? 'is' : 'are'} not shown.
        </Text>
      ) : null}
    </Stack>
  );
}

function Read({ statement, total }: { statement: calls.TriedStatement; total: number }) {
  return (
    <div className={classes.read} data-allowed={statement.allowed} aria-label={`Statement ${statement.at + 1}`} role="group">
      <Text size="sm" fw={600}>
        {total > 1 ? `Statement ${statement.at + 1} of ${total}: ` : ''}
        {ruling(statement)}
      </Text>
      <dl className={classes.facts}>
        {facts(statement).map(({ name, lines }) => (
          <div key={name} className={classes.fact}>
            <dt>{name}</dt>
            <dd>
              {lines.map(({ words, code }, index) => (
                <div key={index}>
                  {code === undefined ? null : (
                    <span className="mono">
                      <Visible text={clipped(code)} oneLine />
                    </span>
                  )}
                  {code !== undefined && words !== '' ? ': ' : ''}
                  {words}
                </div>
              ))}
            </dd>
          </div>
        ))}
      </dl>
    </div>
  );
}

/** So much of a list or a spelling is read by somebody. */
const SHOWN = 600;

function clipped(text: string): string {
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text;
}
