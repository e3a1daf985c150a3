/** Groups and people by name, each leading to its page. */
import { Fragment } from 'react';

import { TextLink } from '../../ui/RouterLink';

export function GroupLinks({ groups }: { groups: readonly string[] }) {
  if (groups.length === 0) return '–';
  return groups.map((name, at) => (
    <Fragment key={name}>
      {at > 0 ? ', ' : null}
      <TextLink to="/people/groups/$name" params={{ name }} inherit>
        {name}
      </TextLink>
    </Fragment>
  ));
}

export function PersonLinks({ names }: { names: readonly string[] }) {
  return names.map((name, at) => (
    <Fragment key={name}>
      {at > 0 ? ', ' : null}
      <TextLink to="/people/$name" params={{ name }} inherit>
        {name}
      </TextLink>
    </Fragment>
  ));
}
