/** What a session's agent counted. */
import type * as calls from '../../api/calls';

type Counted = Pick<calls.Session, 'state'>;

/** Of an interrupted session it is what its agent had told last: the recording may hold more. */
export function atLeast(session: Counted, figure: string): string {
  return session.state === 'interrupted' ? `≥ ${figure}` : figure;
}
