/** Ways in for an emergency that were prepared beforehand: who holds them, and taking them back. No code is ever shown here. */
import { Badge, Button, Stack, Table, Text, Title } from '@mantine/core';
import { useMutation, useQuery } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';

import * as calls from '../api/calls';
import { useForget, useRights } from '../queries';
import { Confirm } from '../ui/Confirm';
import { Copyable } from '../ui/Copyable';
import { Fetched } from '../ui/Fetched';
import { Listing } from '../ui/Listing';
import { Page } from '../ui/Page';
import { Time } from '../ui/Time';

interface TakenBack {
  title: string;
  what: string;
  take: () => Promise<unknown>;
}

export function WaysIn() {
  const { manages } = useRights();
  const [taking, setTaking] = useState<TakenBack>();
  return (
    <Page title="Ways in" about="Prepared for an emergency, before there is one.">
      <Section
        title="Sealed codes"
        about="Printed for several holders, for when nobody can sign in. Some of them together let somebody in, to break the glass and for nothing else."
      >
        <SealedCodes onRevoke={manages ? setTaking : undefined} />
        {manages ? <Copyable value="hoop admin sealed-codes make --holder ADA --holder BEN --needed 2" label="command that makes sealed codes" /> : null}
      </Section>
      <Section title="Without the gateway" about="Good at an agent’s own host while the gateway is down, each for one holder and one connection.">
        <Capabilities onRevoke={manages ? setTaking : undefined} />
        {manages ? <Copyable value="hoop admin emergency make CONNECTION --holder ADA --out ada.cap" label="command that makes a way in" /> : null}
      </Section>
      {taking ? <Take {...taking} onClose={() => setTaking(undefined)} /> : null}
    </Page>
  );
}

type OnRevoke = ((taken: TakenBack) => void) | undefined;

function SealedCodes({ onRevoke }: { onRevoke: OnRevoke }) {
  const list = useQuery({ queryKey: ['ways in', 'codes'], queryFn: calls.codeSets });
  return (
    <Fetched query={list} isEmpty={(items) => items.length === 0} empty="None was printed.">
      {(items) => (
        <Listing label="Sealed codes" minWidth={640} columns={['Printed', 'By', 'Holders', 'Needed', 'Good until', 'State']} actions={onRevoke !== undefined}>
          {items.map((set) => (
            <Table.Tr key={set.id}>
              <Table.Td>
                <Time at={set.made_at} />
              </Table.Td>
              <Table.Td>{set.made_by}</Table.Td>
              <Table.Td>{set.codes.map((code) => (code.used_at ? `${code.holder} (used)` : code.holder)).join(', ')}</Table.Td>
              <Table.Td>
                {set.needed} of {set.codes.length}
              </Table.Td>
              <Table.Td>
                <Time at={set.expires_at} />
              </Table.Td>
              <Table.Td>
                <Good good={set.good} revoked={set.revoked_at} />
              </Table.Td>
              {onRevoke ? (
                <Revoke
                  label={`Revoke the codes of ${set.codes.map(({ holder }) => holder).join(', ')}`}
                  shown={set.revoked_at == null}
                  onClick={() =>
                    onRevoke({
                      title: 'Revoke sealed codes',
                      what: 'All codes of the set are void from now on. Collect the envelopes.',
                      take: () => calls.revokeCodeSet(set.id),
                    })
                  }
                />
              ) : null}
            </Table.Tr>
          ))}
        </Listing>
      )}
    </Fetched>
  );
}

function Capabilities({ onRevoke }: { onRevoke: OnRevoke }) {
  const list = useQuery({ queryKey: ['ways in', 'capabilities'], queryFn: calls.capabilities });
  return (
    <Fetched query={list} isEmpty={(items) => items.length === 0} empty="None was made.">
      {(items) => (
        <Listing label="Without the gateway" minWidth={640} columns={['Holder', 'Connection', 'Made by', 'Made', 'Good until', 'Uses', 'State']} actions={onRevoke !== undefined}>
          {items.map((one) => (
            <Table.Tr key={one.id}>
              <Table.Td fw={500}>{one.holder}</Table.Td>
              <Table.Td>{one.connection}</Table.Td>
              <Table.Td>{one.made_by}</Table.Td>
              <Table.Td>
                <Time at={one.made_at} />
              </Table.Td>
              <Table.Td>
                <Time at={one.valid_until} />
              </Table.Td>
              <Table.Td>
                {one.uses} of {one.most_uses}
              </Table.Td>
              <Table.Td>
                <Good good={isGood(one)} revoked={one.revoked_at} />
              </Table.Td>
              {onRevoke ? (
                <Revoke
                  label={`Revoke that of ${one.holder} for ${one.connection}`}
                  shown={one.revoked_at == null}
                  onClick={() =>
                    onRevoke({
                      title: `Revoke that of ${one.holder}`,
                      what: 'Its agent hears of it now, or when it is back.',
                      take: () => calls.revokeCapability(one.id),
                    })
                  }
                />
              ) : null}
            </Table.Tr>
          ))}
        </Listing>
      )}
    </Fetched>
  );
}

function isGood({ uses, most_uses, valid_until }: calls.Capability): boolean {
  return uses < most_uses && new Date(valid_until).getTime() > Date.now();
}

function Good({ good, revoked }: { good: boolean; revoked: string | null | undefined }) {
  if (revoked) return <State color="gray" word="revoked" />;
  return good ? <State color="teal" word="good" /> : <State color="gray" word="over" />;
}

function State({ color, word }: { color: string; word: string }) {
  return (
    <Badge color={color} variant="light" tt="none">
      {word}
    </Badge>
  );
}

function Revoke({ label, shown, onClick }: { label: string; shown: boolean; onClick: () => void }) {
  return (
    <Table.Td ta="right">
      {shown ? (
        <Button size="compact-xs" variant="subtle" color="red" aria-label={label} onClick={onClick}>
          Revoke
        </Button>
      ) : null}
    </Table.Td>
  );
}

function Take({ title, what, take, onClose }: TakenBack & { onClose: () => void }) {
  const forget = useForget();
  const taking = useMutation({
    mutationFn: take,
    onSuccess: async () => {
      await forget('ways in');
      onClose();
    },
  });
  return (
    <Confirm opened title={title} action="Revoke" busy={taking.isPending} error={taking.error} onConfirm={() => taking.mutate()} onClose={onClose}>
      <Text size="sm">{what}</Text>
    </Confirm>
  );
}

function Section({ title, about, children }: { title: string; about: string; children: ReactNode }) {
  return (
    <Stack component="section" gap="sm" aria-label={title}>
      <Title order={2} size="h4">
        {title}
      </Title>
      <Text size="sm" c="dimmed">
        {about}
      </Text>
      {children}
    </Stack>
  );
}
