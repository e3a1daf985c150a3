/** The time that a request has left, counted down in front of one's eyes. */
import { span } from '../../lib/format';
import { useNow } from '../../ui/useNow';
import type { AccessRequest } from '../../api/calls';
import { isUnderWay, secondsLeft } from './standing';

export function TimeLeft({ request }: { request: AccessRequest }) {
  const now = useNow(isUnderWay(request));
  const seconds = secondsLeft(request, now);
  if (seconds === undefined) return null;
  return <span role="timer">{seconds === 0 ? 'no time left' : `${span(seconds)} left`}</span>;
}
