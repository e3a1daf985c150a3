/** A filter above a list: applied on Enter or when the field is left, not on each letter. */
import { TextInput } from '@mantine/core';
import { useState } from 'react';

interface Props {
  label: string;
  value: string | undefined;
  type?: 'text' | 'datetime-local';
  placeholder?: string;
  onChange: (value: string | undefined) => void;
}

export function FilterInput({ label, value, type = 'text', placeholder, onChange }: Props) {
  const [typed, setTyped] = useState(value ?? '');
  const apply = () => {
    const next = typed.trim() === '' ? undefined : typed.trim();
    if (next !== value) onChange(next);
  };
  return (
    <TextInput
      label={label}
      type={type}
      placeholder={placeholder}
      size="xs"
      w={type === 'text' ? 160 : 200}
      value={typed}
      onChange={(event) => setTyped(event.currentTarget.value)}
      onBlur={apply}
      onKeyDown={(event) => {
        if (event.key === 'Enter') apply();
      }}
    />
  );
}
