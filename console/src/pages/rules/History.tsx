/** Every version of the rules: who wrote it, when and why; one opened as it was. */
import { Button, Drawer, Group, Stack, Table, Text } from '@mantine/core';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { useState } from 'react';

import * as calls from '../../api/calls';
import { Fetched } from '../../ui/Fetched';
import { Listing } from '../../ui/Listing';
import { Time } from '../../ui/Time';
import { Visible } from '../../ui/Visible';
import classes from './Rules.module.css';

interface Props {
  /** The version in force. */
  current: number;
  /** Takes an older one as a draft; absent for who may not. */
  onTake: ((yaml: string) => void) | undefined;
}

export function History({ current, onTake }: Props) {
  const [opened, setOpened] = useState<number>();
  const pages = useInfiniteQuery({
    queryKey: ['rules', 'versions'],
    queryFn: ({ pageParam }) => calls.rulesVersions(pageParam),
    initialPageParam: undefined as number | undefined,
    getNextPageParam: (last) => (last.next ? Number(last.next) : undefined),
  });
  const list = { ...pages, data: pages.data?.pages.flatMap((page) => page.items) };
  return (
    <>
      <Fetched query={list} isEmpty={(items) => items.length === 0} empty="No rules were written yet.">
        {(items) => (
          <Listing label="Versions" minWidth={720} columns={[{ number: 'Version' }, 'When', 'Who', 'Bundle', 'Note']} actions>
            {items.map((item) => (
              <Table.Tr key={item.version}>
                <Table.Td ta="right">{item.version}</Table.Td>
                <Table.Td>
                  <Time at={item.created_at} />
                </Table.Td>
                <Table.Td>{item.author}</Table.Td>
                <Table.Td>{item.bundle ? <Bundle bundle={item.bundle} /> : '–'}</Table.Td>
                <Table.Td>{item.note ? <Visible text={item.note} oneLine /> : '–'}</Table.Td>
                <Table.Td ta="right">
                  <Button
                    size="compact-xs"
                    variant="subtle"
                    aria-label={`Open version ${item.version}`}
                    onClick={() => setOpened(item.version)}
                  >
                    {item.version === current ? 'Open (in force)' : 'Open'}
                  </Button>
                </Table.Td>
              </Table.Tr>
            ))}
          </Listing>
        )}
      </Fetched>
      {pages.hasNextPage ? (
        <Button variant="default" loading={pages.isFetchingNextPage} onClick={() => void pages.fetchNextPage()}>
          Older
        </Button>
      ) : null}
      {opened === undefined ? null : (
        <Version
          number={opened}
          onTake={opened === current ? undefined : onTake}
          onClose={() => setOpened(undefined)}
        />
      )}
    </>
  );
}

/** Its number, and the beginning of what names its file: `hoop policy bundle verify` prints all of that. */
function Bundle({ bundle }: { bundle: calls.Bundle }) {
  return (
    <Text span size="sm" title={`SHA-256 ${bundle.sha256}`}>
      {bundle.version}{' '}
      <Text span c="dimmed" className="mono">
        {bundle.sha256.slice(0, 12)}
      </Text>
    </Text>
  );
}

interface VersionProps {
  number: number;
  onTake: ((yaml: string) => void) | undefined;
  onClose: () => void;
}

function Version({ number, onTake, onClose }: VersionProps) {
  const version = useQuery({ queryKey: ['rules', 'version', number], queryFn: () => calls.rulesVersion(number), staleTime: Infinity });
  return (
    <Drawer
      opened
      onClose={onClose}
      position="right"
      size="lg"
      title={`Version ${number}`}
      closeButtonProps={{ 'aria-label': 'Close' }}
    >
      <Fetched query={version}>
        {(rules) => (
          <Stack gap="sm">
            <Text size="sm">
              {rules.author ?? 'somebody'}
              {rules.created_at ? (
                <>
                  , <Time at={rules.created_at} />
                </>
              ) : null}
            </Text>
            {rules.note ? (
              <Text size="sm">
                <Visible text={rules.note} oneLine />
              </Text>
            ) : null}
            <pre className={classes.diff} aria-label={`Rules of version ${number}`}>
              <Visible text={rules.yaml} />
            </pre>
            {onTake ? (
              <Group>
                <Button variant="light" onClick={() => onTake(rules.yaml)}>
                  Take as a draft
                </Button>
              </Group>
            ) : null}
          </Stack>
        )}
      </Fetched>
    </Drawer>
  );
}
