/** A command or value to paste elsewhere, with its copy button. */
import { ActionIcon, CopyButton, Group, Text, Tooltip } from '@mantine/core';

import classes from './Copyable.module.css';
import { CheckIcon, CopyIcon } from './icons';

interface Props {
  value: string;
  label: string;
  /** Shown on several lines instead of being cut off. */
  wrap?: boolean;
}

export function Copyable({ value, label, wrap = false }: Props) {
  return (
    <Group className={classes.box} gap="xs" wrap="nowrap" align={wrap ? 'flex-start' : 'center'}>
      <Text className={wrap ? classes.wrapped : classes.line} component="code">
        {value}
      </Text>
      <CopyButton value={value}>
        {({ copied, copy }) => (
          <Tooltip label={copied ? 'Copied' : 'Copy'} withinPortal={false}>
            <ActionIcon
              variant="subtle"
              color={copied ? 'teal' : 'gray'}
              size="sm"
              onClick={copy}
              aria-label={copied ? `${label}: copied` : `Copy ${label}`}
            >
              {copied ? <CheckIcon /> : <CopyIcon />}
            </ActionIcon>
          </Tooltip>
        )}
      </CopyButton>
    </Group>
  );
}
