/** On every page while an emergency is in force or waits for its review, for all to whom the gateway shows it. */
import { Group, Paper, Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';

import type { AccessRequest } from '../api/calls';
import { TimeLeft } from '../pages/requests/TimeLeft';
import { emergenciesQuery, useMe } from '../queries';
import classes from './EmergencyBanner.module.css';
import { TextLink } from './RouterLink';

/** So many are told one by one. */
const MOST = 3;

export function EmergencyBanner() {
  const me = useMe();
  const open = useQuery(emergenciesQuery).data ?? [];
  if (open.length === 0) return null;
  const rest = open.length - MOST;
  return (
    <Stack component="section" aria-label="Emergencies" gap={4} className={classes.banner}>
      {open.slice(0, MOST).map((one) => (
        <Paper key={one.id} className={burns(one) ? classes.burning : classes.due} px="md" py={6}>
          <Group justify="space-between" gap="xs">
            <Text size="sm" component="div">
              <span role="alert">{words(one, me.name)}</span>
              {burns(one) ? (
                <>
                  {' '}
                  <TimeLeft request={one} />
                </>
              ) : null}
            </Text>
            <TextLink to="/requests/$id" params={{ id: one.id }} size="sm" c="inherit" underline="always">
              {!burns(one) && one.may_review ? 'Review it' : 'Look at it'}
            </TextLink>
          </Group>
        </Paper>
      ))}
      {rest > 0 ? (
        <TextLink to="/requests" search={{ view: 'emergencies' }} size="sm">
          {rest} more
        </TextLink>
      ) : null}
    </Stack>
  );
}

const burns = (one: AccessRequest): boolean => one.state === 'approved';

function words({ person, connection, state }: AccessRequest, me: string): string {
  if (state === 'approved') {
    return person === me
      ? `Your emergency on ${connection} is in force, and all of it is recorded.`
      : `${person} has broken the glass to ${connection}.`;
  }
  if (person === me) return `Your emergency on ${connection} waits for somebody else’s review.`;
  return `The emergency of ${person} on ${connection} waits for its review.`;
}
