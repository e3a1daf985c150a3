/** Paths and what stands under them. Each page is a chunk of its own; those inside the shell need a sign-in. */
import { createRootRoute, createRoute, createRouter, lazyRouteComponent, redirect } from '@tanstack/react-router';

import { needsSignIn } from './api/problem';
import { safeReturnPath } from './lib/returnPath';
import { parseSearch, stringifySearch, text } from './lib/search';
import { NotFound, RouteFailed, RoutePending } from './ui/RouteStates';
import { type Narrowed, narrowedOf, type View, viewOf } from './pages/requests/narrowed';
import { meQuery } from './queries';
import { queryClient } from './queryClient';

type Optional<Keys extends string> = Partial<Record<Keys, string | undefined>>;
type LoginSearch = Optional<'return' | 'error'>;
type CliSearch = Optional<'port' | 'state' | 'challenge'>;
type DeviceSearch = Optional<'code'>;
type SessionsSearch = Optional<'user' | 'connection' | 'since' | 'until'> & { state: 'live' | 'past' };
type AuditSearch = Optional<'code' | 'actor' | 'subject' | 'since' | 'until'>;

interface PeopleSearch {
  view?: 'groups' | 'services' | undefined;
}
interface RequestsSearch {
  view?: View | undefined;
  state?: Narrowed | undefined;
}
/** Nothing: the rules a card each; about a connection if not said otherwise; with a session's statements. */
type RulesSearch = Optional<'connection' | 'person' | 'session'> & {
  view?: 'text' | 'history' | 'reach' | undefined;
  question?: 'person' | undefined;
};

const root = createRootRoute({ notFoundComponent: NotFound, errorComponent: RouteFailed });

const login = createRoute({
  getParentRoute: () => root,
  path: '/login',
  validateSearch: (search): LoginSearch => ({ return: text(search['return']), error: text(search['error']) }),
  component: lazyRouteComponent(() => import('./pages/SignIn'), 'SignIn'),
});

const setup = createRoute({
  getParentRoute: () => root,
  path: '/setup',
  component: lazyRouteComponent(() => import('./pages/SetUp'), 'SetUp'),
});

const signedIn = createRoute({
  getParentRoute: () => root,
  id: 'signed-in',
  beforeLoad: async ({ location }) => {
    try {
      await queryClient.ensureQueryData(meQuery);
    } catch (error) {
      if (!needsSignIn(error)) throw error;
      throw redirect({ to: '/login', search: { return: safeReturnPath(location.href, window.location.origin) } });
    }
  },
  errorComponent: RouteFailed,
  pendingComponent: RoutePending,
});

const cli = createRoute({
  getParentRoute: () => signedIn,
  path: '/cli',
  validateSearch: (search): CliSearch => ({
    port: text(search['port']),
    state: text(search['state']),
    challenge: text(search['challenge']),
  }),
  component: lazyRouteComponent(() => import('./pages/CliLogin'), 'CliLogin'),
});

const device = createRoute({
  getParentRoute: () => signedIn,
  path: '/device',
  validateSearch: (search): DeviceSearch => ({ code: text(search['code']) }),
  component: lazyRouteComponent(() => import('./pages/DeviceLogin'), 'DeviceLogin'),
});

const stepUp = createRoute({
  getParentRoute: () => signedIn,
  path: '/step-up',
  validateSearch: (search): DeviceSearch => ({ code: text(search['code']) }),
  component: lazyRouteComponent(() => import('./pages/StepUp'), 'StepUp'),
});

const shell = createRoute({
  getParentRoute: () => signedIn,
  id: 'shell',
  component: lazyRouteComponent(() => import('./ui/Shell'), 'Shell'),
});

const home = createRoute({
  getParentRoute: () => root,
  path: '/',
  beforeLoad: () => {
    throw redirect({ to: '/connections' });
  },
});

const connections = createRoute({
  getParentRoute: () => shell,
  path: '/connections',
  component: lazyRouteComponent(() => import('./pages/connections/Connections'), 'Connections'),
});

const terminal = createRoute({
  getParentRoute: () => shell,
  path: '/terminal/$connection',
  component: lazyRouteComponent(() => import('./pages/terminal/TerminalPage'), 'TerminalPage'),
});

const sessions = createRoute({
  getParentRoute: () => shell,
  path: '/sessions',
  validateSearch: (search): SessionsSearch => ({
    state: search['state'] === 'past' ? 'past' : 'live',
    user: text(search['user']),
    connection: text(search['connection']),
    since: text(search['since']),
    until: text(search['until']),
  }),
  component: lazyRouteComponent(() => import('./pages/sessions/Sessions'), 'Sessions'),
});

const session = createRoute({
  getParentRoute: () => shell,
  path: '/sessions/$id',
  component: lazyRouteComponent(() => import('./pages/sessions/SessionDetail'), 'SessionDetail'),
});

const requests = createRoute({
  getParentRoute: () => shell,
  path: '/requests',
  validateSearch: (search): RequestsSearch => ({ view: viewOf(search['view']), state: narrowedOf(search['state']) }),
  component: lazyRouteComponent(() => import('./pages/requests/Requests'), 'Requests'),
});

const request = createRoute({
  getParentRoute: () => shell,
  path: '/requests/$id',
  component: lazyRouteComponent(() => import('./pages/requests/RequestDetail'), 'RequestDetail'),
});

const audit = createRoute({
  getParentRoute: () => shell,
  path: '/audit',
  validateSearch: (search): AuditSearch => ({
    code: text(search['code']),
    actor: text(search['actor']),
    subject: text(search['subject']),
    since: text(search['since']),
    until: text(search['until']),
  }),
  component: lazyRouteComponent(() => import('./pages/Audit'), 'Audit'),
});

const rules = createRoute({
  getParentRoute: () => shell,
  path: '/rules',
  validateSearch: (search): RulesSearch => ({
    view: (['text', 'history', 'reach'] as const).find((view) => view === search['view']),
    question: search['question'] === 'person' ? 'person' : undefined,
    connection: text(search['connection']),
    person: text(search['person']),
    session: text(search['session']),
  }),
  component: lazyRouteComponent(() => import('./pages/rules/Rules'), 'Rules'),
});

const people = createRoute({
  getParentRoute: () => shell,
  path: '/people',
  validateSearch: (search): PeopleSearch => ({ view: (['groups', 'services'] as const).find((view) => view === search['view']) }),
  component: lazyRouteComponent(() => import('./pages/people/People'), 'People'),
});

const person = createRoute({
  getParentRoute: () => shell,
  path: '/people/$name',
  component: lazyRouteComponent(() => import('./pages/people/Person'), 'Person'),
});

const service = createRoute({
  getParentRoute: () => shell,
  path: '/people/services/$name',
  component: lazyRouteComponent(() => import('./pages/people/Service'), 'Service'),
});

const waysIn = createRoute({
  getParentRoute: () => shell,
  path: '/ways-in',
  component: lazyRouteComponent(() => import('./pages/WaysIn'), 'WaysIn'),
});

const group = createRoute({
  getParentRoute: () => shell,
  path: '/people/groups/$name',
  component: lazyRouteComponent(() => import('./pages/people/GroupDetail'), 'GroupDetail'),
});

const agents = createRoute({
  getParentRoute: () => shell,
  path: '/agents',
  component: lazyRouteComponent(() => import('./pages/Agents'), 'Agents'),
});

const account = createRoute({
  getParentRoute: () => shell,
  path: '/account',
  component: lazyRouteComponent(() => import('./pages/Account'), 'Account'),
});

export const router = createRouter({
  routeTree: root.addChildren([
    home,
    login,
    setup,
    signedIn.addChildren([
      cli,
      device,
      stepUp,
      shell.addChildren([connections, terminal, sessions, session, requests, request, rules, audit, people, person, service, group, waysIn, agents, account]),
    ]),
  ]),
  parseSearch,
  stringifySearch,
  defaultPreload: 'intent',
  defaultPendingComponent: RoutePending,
  scrollRestoration: true,
});

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
