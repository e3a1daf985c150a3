/** A value is typed, and it says at once what a person would see of it under the rules that are being written. */
import { Code, Stack, Text, Textarea, TextInput, Title } from '@mantine/core';
import { useState } from 'react';

import type * as calls from '../../api/calls';
import { ProblemAlert } from '../../ui/ProblemAlert';
import { Visible } from '../../ui/Visible';
import classes from './Rules.module.css';
import { useSample, type Written } from './useTrial';

const LONGEST = 64 * 1024;

export function MaskingPreview({ written, rule }: { written: Written; rule: calls.TriedRule | undefined }) {
  const [value, setValue] = useState('');
  const [column, setColumn] = useState('');
  const { masked, error, isStale } = useSample(written, rule, column, value);
  return (
    <Stack gap="sm" component="section" aria-label="Masking preview">
      <Title order={2} size="h4">
        Masking preview
      </Title>
      <TextInput
        label="Column"
        description="As schema.table.column; leave it empty for what a statement computes"
        inputWrapperOrder={['label', 'input', 'description', 'error']}
        classNames={{ input: 'mono' }}
        placeholder="clinic.notes.body"
        spellCheck={false}
        autoCapitalize="off"
        value={column}
        onChange={(event) => setColumn(event.currentTarget.value.trim())}
      />
      <Textarea
        label="Sample value"
        description="Invent one: it is not kept, but it goes to the gateway"
        inputWrapperOrder={['label', 'input', 'description', 'error']}
        classNames={{ input: 'mono' }}
        placeholder="Maria Gonzalez, SSN 123-45-6789"
        autosize
        minRows={2}
        maxRows={8}
        maxLength={LONGEST}
        spellCheck={false}
        value={value}
        onChange={(event) => setValue(event.currentTarget.value)}
      />
      <div role="status" aria-label="What would be seen of it" className={isStale ? classes.stale : undefined}>
        {value === '' || rule === undefined ? null : error ? <ProblemAlert error={error} /> : masked ? <Masked masked={masked} /> : null}
      </div>
    </Stack>
  );
}

function Masked({ masked }: { masked: calls.MaskedSample }) {
  const counts = Object.entries(masked.counts).map(([kind, count]) => `${count} ${kind}`);
  return (
    <Stack gap={4}>
      <div className={classes.read}>
        {masked.shown === undefined || masked.shown === null ? <Code>NULL</Code> : <span className="mono"><Visible text={masked.shown} /></span>}
      </div>
      <Text size="sm" c="dimmed">
        {masked.pattern ? `By the rule for ${masked.pattern}` : counts.length > 0 ? 'Found by detectors' : 'Shown as it is'}
        {counts.length > 0 ? `: ${counts.join(', ')}` : ''}
      </Text>
    </Stack>
  );
}
