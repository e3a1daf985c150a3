/** What is stated for the record, in a field that grows and keeps to one line: reasons, notes, findings. */
import { Textarea, type TextareaProps } from '@mantine/core';

import { oneLine } from '../lib/stated';

interface Props extends Pick<TextareaProps, 'label' | 'description' | 'error' | 'required' | 'minRows'> {
  value: string;
  autoFocus?: boolean;
  onChange: (text: string) => void;
}

export function StatedInput({ value, autoFocus = false, onChange, ...rest }: Props) {
  return (
    <Textarea
      {...rest}
      autosize
      maxRows={8}
      maxLength={1_000}
      data-autofocus={autoFocus || undefined}
      value={value}
      onChange={(event) => onChange(oneLine(event.currentTarget.value))}
    />
  );
}
