/** What admins do to people: add, change, reset, lock. */
import { Alert, Button, Group, Modal, Select, Stack, Text, TextInput } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';

import * as calls from '../../api/calls';
import { groupProblem, splitGroups, userProblem } from '../../lib/names';
import { useForget } from '../../queries';
import { Confirm } from '../../ui/Confirm';
import { Copyable } from '../../ui/Copyable';
import { ProblemAlert } from '../../ui/ProblemAlert';

const ROLES = [
  { value: 'user', label: 'user: opens what groups allow' },
  { value: 'approver', label: 'approver: decides where a rule names the role' },
  { value: 'auditor', label: 'auditor: sees all sessions and evidence' },
  { value: 'admin', label: 'admin: manages, and sees all sessions' },
];

export type Change = 'change' | 'lock' | 'reset';

/** The dialog of one of the changes. */
export function PersonDialog({ what, user, onClose }: { what: Change; user: calls.User; onClose: () => void }) {
  if (what === 'change') return <ChangePerson user={user} onClose={onClose} />;
  return what === 'reset' ? <ResetPerson user={user} onClose={onClose} /> : <LockPerson user={user} onClose={onClose} />;
}

export function AddPerson({ onClose }: { onClose: () => void }) {
  const forget = useForget();
  const [name, setName] = useState('');
  const [role, setRole] = useState('user');
  const [groups, setGroups] = useState('');
  const [tried, setTried] = useState(false);
  const add = useMutation({
    mutationFn: () => calls.addUser(name.trim(), role, splitGroups(groups)),
    onSuccess: () => forget('users'),
  });
  const nameWrong = userProblem(name.trim());
  const groupsWrong = groupsProblem(groups);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setTried(true);
    if (!nameWrong && !groupsWrong) add.mutate();
  };
  if (add.data) return <SetupLink title={`${add.data.user.name} was added`} created={add.data} onClose={onClose} />;
  return (
    <Modal opened onClose={onClose} title="Add a person" closeButtonProps={{ 'aria-label': 'Close' }}>
      <form onSubmit={submit} noValidate>
        <Stack>
          <TextInput
            label="Name"
            description="Often the e-mail address"
            required
            data-autofocus
            autoComplete="off"
            value={name}
            error={tried ? nameWrong : undefined}
            onChange={(event) => setName(event.currentTarget.value)}
          />
          <RoleAndGroups
            role={role}
            groups={groups}
            error={tried ? groupsWrong : undefined}
            onRole={setRole}
            onGroups={setGroups}
          />
          {add.error ? <ProblemAlert error={add.error} /> : null}
          <Actions busy={add.isPending} action="Add" onClose={onClose} />
        </Stack>
      </form>
    </Modal>
  );
}

function SetupLink({ title, created, onClose }: { title: string; created: calls.NewUserCreated; onClose: () => void }) {
  return (
    <Modal
      opened
      onClose={onClose}
      title={title}
      closeOnClickOutside={false}
      closeButtonProps={{ 'aria-label': 'Close' }}
    >
      <Stack>
        <Text size="sm">Hand over this link. It works once, for 24 hours, and sets the password and the second factor.</Text>
        <Copyable value={created.setup_url} label="set-up link" wrap />
        <Alert color="yellow" variant="light">
          It is shown only now.
        </Alert>
        <Group justify="flex-end">
          <Button onClick={onClose}>Done</Button>
        </Group>
      </Stack>
    </Modal>
  );
}

function ChangePerson({ user, onClose }: { user: calls.User; onClose: () => void }) {
  const forget = useForget();
  const [role, setRole] = useState(user.role);
  const [groups, setGroups] = useState(user.groups.join(', '));
  const change = useMutation({
    mutationFn: () => calls.changeUser(user.name, { role, groups: splitGroups(groups) }),
    onSuccess: async () => {
      await forget('users');
      onClose();
    },
  });
  const groupsWrong = groupsProblem(groups);
  return (
    <Modal opened onClose={onClose} title={`Change ${user.name}`} closeButtonProps={{ 'aria-label': 'Close' }}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (!groupsWrong) change.mutate();
        }}
      >
        <Stack>
          <RoleAndGroups role={role} groups={groups} error={groupsWrong} onRole={setRole} onGroups={setGroups} />
          <Text size="xs" c="dimmed">
            Takes effect at once: live sessions that the new groups do not allow end.
          </Text>
          {change.error ? <ProblemAlert error={change.error} /> : null}
          <Actions busy={change.isPending} action="Save" onClose={onClose} />
        </Stack>
      </form>
    </Modal>
  );
}

function ResetPerson({ user, onClose }: { user: calls.User; onClose: () => void }) {
  const forget = useForget();
  const reset = useMutation({ mutationFn: () => calls.resetUser(user.name), onSuccess: () => forget('users') });
  if (reset.data) return <SetupLink title={`${user.name} sets up anew`} created={reset.data} onClose={onClose} />;
  return (
    <Confirm
      opened
      title={`Reset ${user.name}`}
      action="Reset"
      busy={reset.isPending}
      error={reset.error}
      onConfirm={() => reset.mutate()}
      onClose={onClose}
    >
      <Text size="sm">Makes a new set-up link, for who lost their password or authenticator.</Text>
    </Confirm>
  );
}

function LockPerson({ user, onClose }: { user: calls.User; onClose: () => void }) {
  const forget = useForget();
  const lock = useMutation({
    mutationFn: () => calls.changeUser(user.name, { locked: !user.locked }),
    onSuccess: async () => {
      await forget('users', 'sessions');
      onClose();
    },
  });
  return (
    <Confirm
      opened
      title={`${user.locked ? 'Unlock' : 'Lock'} ${user.name}`}
      action={user.locked ? 'Unlock' : 'Lock'}
      busy={lock.isPending}
      error={lock.error}
      onConfirm={() => lock.mutate()}
      onClose={onClose}
    >
      <Text size="sm">
        {user.locked ? 'They may sign in again.' : 'All their sign-ins and live sessions end at once, and they cannot sign in.'}
      </Text>
    </Confirm>
  );
}

interface RoleAndGroupsProps {
  role: string;
  groups: string;
  error: string | undefined;
  onRole: (role: string) => void;
  onGroups: (groups: string) => void;
}

function RoleAndGroups({ role, groups, error, onRole, onGroups }: RoleAndGroupsProps) {
  return (
    <>
      <Select label="Role" data={ROLES} value={role} allowDeselect={false} onChange={(value) => onRole(value ?? 'user')} />
      <TextInput
        label="Groups"
        description="Separated by commas"
        value={groups}
        error={error}
        onChange={(event) => onGroups(event.currentTarget.value)}
      />
    </>
  );
}

function Actions({ busy, action, onClose }: { busy: boolean; action: string; onClose: () => void }) {
  return (
    <Group justify="flex-end">
      <Button variant="default" onClick={onClose}>
        Cancel
      </Button>
      <Button type="submit" loading={busy}>
        {action}
      </Button>
    </Group>
  );
}

function groupsProblem(groups: string): string | undefined {
  return splitGroups(groups)
    .map(groupProblem)
    .find((problem) => problem !== undefined);
}
