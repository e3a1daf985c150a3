/** The six digits of the second factor. Spaces that people or authenticators put in between are dropped. */
import { TextInput } from '@mantine/core';

interface Props {
  value: string;
  onChange: (code: string) => void;
  autoFocus?: boolean;
}

export function CodeInput({ value, onChange, autoFocus = false }: Props) {
  return (
    <TextInput
      label="Six-digit code"
      description="From your authenticator app"
      name="code"
      inputMode="numeric"
      autoComplete="one-time-code"
      required
      autoFocus={autoFocus}
      pattern="[0-9]{6}"
      title="Six digits"
      value={value}
      onChange={(event) => onChange(event.currentTarget.value.replace(/\D/g, '').slice(0, 6))}
    />
  );
}
