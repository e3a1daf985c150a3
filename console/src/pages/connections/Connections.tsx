/** The connections one may open, with what to paste; for admins all of them, to be made, changed and removed. */
import { Button, SimpleGrid, Switch, TextInput } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';

import * as calls from '../../api/calls';
import { useRights } from '../../queries';
import { Fetched } from '../../ui/Fetched';
import { Page } from '../../ui/Page';
import { ConnectionCard, labelsOf } from './ConnectionCard';
import { DeleteConnection } from './DeleteConnection';
import { Editor } from './Editor';
import { ScanConnection } from './ScanConnection';
import { TestConnection } from './TestConnection';

type Opened = { what: 'new' } | { what: 'edit' | 'test' | 'scan' | 'delete'; connection: calls.Connection };

export function Connections() {
  const { manages, seesEvidence } = useRights();
  const [all, setAll] = useState(false);
  const [wanted, setWanted] = useState('');
  const [opened, setOpened] = useState<Opened>();
  const close = () => setOpened(undefined);
  const list = useQuery({ queryKey: ['connections', all], queryFn: () => calls.connections(all), refetchInterval: 15_000 });
  return (
    <Page
      title="Connections"
      about="What you may open, and how."
      actions={
        <>
          {seesEvidence ? (
            <Switch label="Also those I may not open" checked={all} onChange={(event) => setAll(event.currentTarget.checked)} />
          ) : null}
          {manages ? <Button onClick={() => setOpened({ what: 'new' })}>New connection</Button> : null}
        </>
      }
    >
      <Fetched
        query={list}
        isEmpty={(items) => items.length === 0}
        empty={
          manages
            ? 'No connection is open to you. Make one, or look at all of them with the switch above.'
            : 'No connection is open to you. Ask an administrator for a rule that lets you in.'
        }
      >
        {(items) => (
          <>
            {items.length > 6 ? (
              <TextInput
                aria-label="Find a connection"
                placeholder="Find by name, description or label"
                maw={360}
                value={wanted}
                onChange={(event) => setWanted(event.currentTarget.value)}
              />
            ) : null}
            <SimpleGrid cols={{ base: 1, lg: 2 }} component="ul" p={0} m={0}>
              {items
                .filter((item) => searchable(item).includes(wanted.trim().toLowerCase()))
                .map((connection) => (
                  <ConnectionCard
                    key={connection.id}
                    connection={connection}
                    onEdit={manages && connection.definition ? () => setOpened({ what: 'edit', connection }) : undefined}
                    onTest={manages ? () => setOpened({ what: 'test', connection }) : undefined}
                    onScan={manages ? () => setOpened({ what: 'scan', connection }) : undefined}
                    onDelete={manages ? () => setOpened({ what: 'delete', connection }) : undefined}
                  />
                ))}
            </SimpleGrid>
          </>
        )}
      </Fetched>
      {opened?.what === 'new' ? <Editor connection={undefined} onClose={close} /> : null}
      {opened?.what === 'edit' ? <Editor connection={opened.connection} onClose={close} /> : null}
      {opened?.what === 'test' ? <TestConnection name={opened.connection.name} onClose={close} /> : null}
      {opened?.what === 'scan' ? <ScanConnection name={opened.connection.name} onClose={close} /> : null}
      {opened?.what === 'delete' ? <DeleteConnection name={opened.connection.name} onClose={close} /> : null}
    </Page>
  );
}

function searchable({ name, description, definition }: calls.Connection): string {
  return [name, description, ...labelsOf(definition)].join(' ').toLowerCase();
}
