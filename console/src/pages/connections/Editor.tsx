/** Makes or changes a connection: by form for the protocols it knows, or as the JSON that the API takes. */
import { Button, Group, JsonInput, Modal, NumberInput, SegmentedControl, Select, SimpleGrid, Stack, Textarea, TextInput } from '@mantine/core';
import { useMutation, useQuery } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';

import * as calls from '../../api/calls';
import { useForget } from '../../queries';
import { ProblemAlert } from '../../ui/ProblemAlert';
import {
  type Draft,
  EMPTY,
  type Field,
  fieldsOf,
  FORMS,
  initialSettings,
  problems,
  setting,
  toDefinition,
  toDraft,
  withSetting,
  written,
} from './settings';

interface Props {
  connection: calls.Connection | undefined;
  onClose: () => void;
}

export function Editor({ connection, onClose }: Props) {
  const forget = useForget();
  const [draft, setDraft] = useState<Draft>(() =>
    connection?.definition ? toDraft(connection.name, connection.definition) : EMPTY,
  );
  const [view, setView] = useState<'form' | 'json'>(fieldsOf(draft.protocol) ? 'form' : 'json');
  const [json, setJson] = useState(() => JSON.stringify(toDefinition(draft), null, 2));
  const [tried, setTried] = useState(false);
  const [jsonError, setJsonError] = useState<string>();
  const save = useMutation({
    mutationFn: ({ name, definition }: { name: string; definition: calls.ConnectionDefinition }) =>
      calls.putConnection(name, definition),
    onSuccess: async () => {
      await forget('connections');
      onClose();
    },
  });
  const wrong = tried && view === 'form' ? problems(draft) : {};

  const show = (next: 'form' | 'json') => {
    if (next === 'json') setJson(JSON.stringify(toDefinition(draft), null, 2));
    else {
      const definition = readDefinition(json);
      if (typeof definition !== 'string' && !fieldsOf(definition.protocol)) {
        setJsonError(`There is no form for ${definition.protocol}.`);
        return;
      }
      if (typeof definition === 'string') {
        setJsonError(definition);
        return;
      }
      setDraft(toDraft(draft.name, definition));
    }
    setJsonError(undefined);
    setView(next);
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setTried(true);
    if (view === 'json') {
      const definition = readDefinition(json);
      if (typeof definition === 'string') setJsonError(definition);
      else save.mutate({ name: draft.name, definition });
    } else if (Object.keys(problems(draft)).length === 0) {
      save.mutate({ name: draft.name, definition: toDefinition(draft) });
    }
  };
  return (
    <Modal
      opened
      onClose={onClose}
      size="lg"
      title={connection ? `Edit ${connection.name}` : 'New connection'}
      closeButtonProps={{ 'aria-label': 'Close' }}
    >
      <form onSubmit={submit} noValidate>
        <Stack>
          <Group justify="space-between" align="flex-end">
            <TextInput
              label="Name"
              description="What people type after hoop connect"
              required
              data-autofocus
              disabled={connection !== undefined}
              error={wrong['name']}
              value={draft.name}
              onChange={(event) => setDraft({ ...draft, name: event.currentTarget.value })}
            />
            <SegmentedControl
              aria-label="View"
              value={view}
              onChange={(value) => show(value === 'json' ? 'json' : 'form')}
              data={[
                { value: 'form', label: 'Form' },
                { value: 'json', label: 'JSON' },
              ]}
            />
          </Group>
          {view === 'form' ? (
            <Form draft={draft} wrong={wrong} isNew={connection === undefined} onChange={setDraft} />
          ) : (
            <JsonInput
              label="Definition"
              autosize
              minRows={12}
              maxRows={24}
              ff="monospace"
              error={jsonError}
              value={json}
              onChange={setJson}
              spellCheck={false}
            />
          )}
          {save.error ? <ProblemAlert error={save.error} /> : null}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={save.isPending}>
              Save
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

interface FormProps {
  draft: Draft;
  wrong: Partial<Record<string, string>>;
  isNew: boolean;
  onChange: (draft: Draft) => void;
}

function Form({ draft, wrong, isNew, onChange }: FormProps) {
  const agents = useQuery({ queryKey: ['agents'], queryFn: calls.agents });
  const names = new Set([...(agents.data ?? []).map((agent) => agent.name), ...(draft.agent ? [draft.agent] : [])]);
  return (
    <>
      <Textarea
        label="Description"
        autosize
        value={draft.description}
        onChange={(event) => onChange({ ...draft, description: event.currentTarget.value })}
      />
      <SimpleGrid cols={{ base: 1, sm: 2 }}>
        <Select
          label="Agent"
          required
          error={wrong['agent']}
          data={[...names]}
          value={draft.agent === '' ? null : draft.agent}
          onChange={(agent) => onChange({ ...draft, agent: agent ?? '' })}
          nothingFoundMessage="No agent is enrolled"
        />
        {isNew ? (
          <Select
            label="Protocol"
            data={Object.keys(FORMS)}
            allowDeselect={false}
            value={draft.protocol}
            onChange={(protocol) => protocol && onChange({ ...draft, protocol, settings: initialSettings(protocol) })}
          />
        ) : null}
        <Textarea
          label="Labels"
          description="What rules select it by: env=prod, one a line"
          inputWrapperOrder={['label', 'input', 'description', 'error']}
          autosize
          classNames={{ input: 'mono' }}
          spellCheck={false}
          error={wrong['labels']}
          value={draft.labels}
          onChange={(event) => onChange({ ...draft, labels: event.currentTarget.value })}
        />
        {(fieldsOf(draft.protocol) ?? []).map((field) => (
          <SettingInput
            key={field.key}
            field={field}
            value={setting(draft.settings, field.key)}
            error={wrong[field.key]}
            onChange={(value) => onChange({ ...draft, settings: withSetting(draft.settings, field.key, value) })}
          />
        ))}
      </SimpleGrid>
    </>
  );
}

interface SettingProps {
  field: Field;
  value: unknown;
  error: string | undefined;
  onChange: (value: string | number) => void;
}

function SettingInput({ field, value, error, onChange }: SettingProps) {
  const text = typeof value === 'string' || typeof value === 'number' ? value : '';
  const common = {
    label: field.label,
    description: field.description,
    inputWrapperOrder: ['label', 'input', 'description', 'error'] as ('label' | 'input' | 'description' | 'error')[],
    required: field.required ?? false,
    error,
  };
  if (field.kind === 'json' || field.kind === 'lines') {
    return (
      <Textarea
        {...common}
        autosize
        minRows={2}
        classNames={{ input: 'mono' }}
        spellCheck={false}
        value={written(field, value)}
        onChange={(event) => onChange(event.currentTarget.value)}
      />
    );
  }
  if (field.kind === 'port') {
    return <NumberInput {...common} min={1} max={65_535} allowDecimal={false} value={text} onChange={onChange} />;
  }
  if (field.kind === 'choice') {
    const choices = [...(field.choices ?? [])];
    const fallback = choices[0]?.value ?? null;
    return (
      <Select
        {...common}
        data={choices}
        allowDeselect={false}
        value={text === '' ? fallback : String(text)}
        onChange={(next) => onChange(next ?? '')}
      />
    );
  }
  return (
    <TextInput
      {...common}
      value={String(text)}
      autoComplete="off"
      spellCheck={false}
      onChange={(event) => onChange(event.currentTarget.value)}
    />
  );
}

/** The definition, or what is wrong with the JSON. Fields are the gateway's to check. */
function readDefinition(json: string): calls.ConnectionDefinition | string {
  try {
    const value: unknown = JSON.parse(json);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'A definition is a JSON object.';
    if (!('agent' in value && 'protocol' in value && 'settings' in value)) return 'agent, protocol and settings are needed.';
    return value as calls.ConnectionDefinition;
  } catch (error) {
    return error instanceof Error ? error.message : 'This is not JSON.';
  }
}
