/** A small form for the usual rule. It writes into the text, where it is compared and put in force like any change. */
import { Button, Group, Modal, NumberInput, SimpleGrid, Stack, Switch, Text, Textarea, TextInput } from '@mantine/core';
import { type FormEvent, useState } from 'react';

import { NEW_RULE, type NewRule, type Problems, problems, withRule } from './newRule';

interface Props {
  text: string;
  /** Names that are taken. */
  taken: readonly string[];
  onAdd: (text: string) => void;
  onClose: () => void;
}

type TextKey = { [K in keyof NewRule]: NewRule[K] extends string ? K : never }[keyof NewRule];

export function AddRule({ text, taken, onAdd, onClose }: Props) {
  const [rule, setRule] = useState(NEW_RULE);
  const [tried, setTried] = useState(false);
  const [unfit, setUnfit] = useState(false);
  const wrong = tried ? problems(rule, taken) : {};
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setTried(true);
    if (Object.keys(problems(rule, taken)).length > 0) return;
    const next = withRule(text, rule);
    setUnfit(next === undefined);
    if (next !== undefined) onAdd(next);
  };
  return (
    <Modal opened onClose={onClose} size="lg" title="Add a rule" closeButtonProps={{ 'aria-label': 'Close' }}>
      <form onSubmit={submit} noValidate>
        <Stack>
          <Fields rule={rule} wrong={wrong} onChange={setRule} />
          {unfit ? (
            <Text size="sm" c="red" role="alert">
              The list of rules in the text is not written a line each, so the form cannot add to it. Write the rule into the
              text.
            </Text>
          ) : null}
          <Group justify="space-between">
            <Text size="xs" c="dimmed">
              Nothing is in force yet: you see what would change first.
            </Text>
            <Group gap="xs">
              <Button variant="default" onClick={onClose}>
                Cancel
              </Button>
              <Button type="submit">Add to the text</Button>
            </Group>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

interface FieldsProps {
  rule: NewRule;
  wrong: Problems;
  onChange: (rule: NewRule) => void;
}

function Fields({ rule, wrong, onChange }: FieldsProps) {
  const text = (key: TextKey, label: string, description?: string) => ({
    label,
    description,
    inputWrapperOrder: ['label', 'input', 'description', 'error'] as ('label' | 'input' | 'description' | 'error')[],
    autoComplete: 'off',
    spellCheck: false,
    error: wrong[key],
    value: rule[key],
    onChange: (event: { currentTarget: { value: string } }) => onChange({ ...rule, [key]: event.currentTarget.value }),
  });
  return (
    <>
      <TextInput {...text('name', 'Name')} required data-autofocus />
      <SimpleGrid cols={{ base: 1, sm: 2 }}>
        <TextInput {...text('groups', 'Groups', 'Whose members it lets in, separated by commas')} />
        <TextInput {...text('users', 'People', 'By name, separated by commas')} />
        <TextInput {...text('connections', 'Connections', 'By name, separated by commas; * alone for all')} />
        <Textarea
          {...text('labels', 'Labels', 'Or those with all of these: env=prod, one a line')}
          autosize
          classNames={{ input: 'mono' }}
        />
      </SimpleGrid>
      <SimpleGrid cols={{ base: 1, sm: 3 }}>
        <TextInput {...text('mfaAge', 'Second factor', 'No older than')} />
        <TextInput {...text('duration', 'Longest session', 'From start to end')} />
        <TextInput {...text('idle', 'Idle limit', 'Without a byte')} />
      </SimpleGrid>
      <Switch
        label="A reason must be given"
        checked={rule.reason}
        onChange={(event) => onChange({ ...rule, reason: event.currentTarget.checked })}
      />
      <Switch
        label="Others must approve"
        checked={rule.approval}
        onChange={(event) => onChange({ ...rule, approval: event.currentTarget.checked })}
      />
      {rule.approval ? (
        <SimpleGrid cols={{ base: 1, sm: 3 }}>
          <NumberInput
            label="Approvals"
            description="So many different people"
            inputWrapperOrder={['label', 'input', 'description', 'error']}
            min={1}
            max={10}
            allowDecimal={false}
            error={wrong.count}
            value={rule.count}
            onChange={(count) => onChange({ ...rule, count: typeof count === 'number' ? count : 0 })}
          />
          <TextInput {...text('approverGroups', 'Groups of approvers', 'Separated by commas')} />
          <TextInput {...text('approverUsers', 'Approvers', 'By name, separated by commas')} />
        </SimpleGrid>
      ) : null}
    </>
  );
}
