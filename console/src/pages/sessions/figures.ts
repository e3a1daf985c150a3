/** What a session's agent counted. */
import type * as calls from '../../api/calls';

/** Of an interrupted session it is what its agent had told last: the recording may hold more. */
export function atLeast(session: Pick<calls.Session, 'state'>, figure: string): string {
  return session.state === 'interrupted' ? `≥ ${figure}` : figure;
}
