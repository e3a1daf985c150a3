/** The head of a page inside the shell: title (the document's too), one sentence, actions. */
import { Group, Stack, Text, Title } from '@mantine/core';
import { useDocumentTitle } from '@mantine/hooks';
import type { ReactNode } from 'react';

interface Props {
  title: string;
  about?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
}

export function Page({ title, about, actions, children }: Props) {
  useDocumentTitle(`${title} · hoop`);
  return (
    <Stack gap="lg">
      <Group justify="space-between" align="flex-start">
        <Stack gap={2}>
          <Title order={1} size="h2">
            {title}
          </Title>
          {about ? (
            <Text c="dimmed" size="sm" component="div">
              {about}
            </Text>
          ) : null}
        </Stack>
        {actions ? <Group>{actions}</Group> : null}
      </Group>
      {children}
    </Stack>
  );
}
