/** An error for a person: sentence, hint, stable code, and a way to try again. */
import { Alert, Button, Code, Group, Stack, Text } from '@mantine/core';

import { asProblem } from '../api/problem';

interface Props {
  error: unknown;
  title?: string;
  onRetry?: () => void;
}

export function ProblemAlert({ error, title, onRetry }: Props) {
  const problem = asProblem(error);
  return (
    <Alert color="red" variant="light" title={title} role="alert">
      <Stack gap="xs" align="flex-start">
        <Text size="sm">
          {problem.message} <Code className="nowrap">{problem.code}</Code>
        </Text>
        {problem.hint ? (
          <Text size="sm">
            {problem.hint}
          </Text>
        ) : null}
        {onRetry ? (
          <Group>
            <Button size="xs" variant="default" onClick={onRetry}>
              Try again
            </Button>
          </Group>
        ) : null}
      </Stack>
    </Alert>
  );
}
