/**
 * The six digits of the second factor; where it is allowed, a recovery code in their place. Spaces that people or
 * authenticators put in between are dropped.
 */
import { TextInput } from '@mantine/core';

import { factorCode } from '../lib/factorCode';

interface Props {
  value: string;
  onChange: (code: string) => void;
  autoFocus?: boolean;
  /** For who lost the authenticator. Not where a new one is being proven. */
  orRecoveryCode?: boolean;
}

export function CodeInput({ value, onChange, autoFocus = false, orRecoveryCode = false }: Props) {
  return (
    <TextInput
      label="Six-digit code"
      description={orRecoveryCode ? 'From your authenticator app, or a recovery code' : 'From your authenticator app'}
      name="code"
      inputMode={orRecoveryCode ? 'text' : 'numeric'}
      autoComplete="one-time-code"
      autoCapitalize="characters"
      spellCheck={false}
      required
      autoFocus={autoFocus}
      pattern={orRecoveryCode ? '[0-9]{6}|([A-Z]{4}-){3}[A-Z]{4}' : '[0-9]{6}'}
      title={orRecoveryCode ? 'Six digits, or a recovery code' : 'Six digits'}
      value={value}
      onChange={(event) => onChange(factorCode(event.currentTarget.value, orRecoveryCode))}
    />
  );
}
