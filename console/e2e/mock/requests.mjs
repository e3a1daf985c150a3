/** Requests and emergencies of the mocked gateway: who sees and decides what, as the real one has it. */
import { Refused } from './refused.mjs';

const ago = (seconds) => new Date(Date.now() - seconds * 1_000).toISOString();
const HOUR = 3_600;

/** Who may say yes to `billing`, and close reviews: by the rules of `data.mjs`. */
const APPROVERS = ['mary', 'grace'];

function made(id, person, connection, more) {
  return {
    id: `req_${id.padEnd(26, id)}`.slice(0, 30),
    kind: 'access',
    state: 'pending',
    person,
    connection,
    rule: 'finance-with-four-eyes',
    target_user: 'finance_ro',
    reason: 'ticket 4711: the invoices of October',
    duration_seconds: 2 * HOUR,
    needed: 2,
    decisions: [],
    created_at: ago(300),
    decide_until: ago(300 - 24 * HOUR),
    ...more,
  };
}

const word = (by, approves, note) => ({ by, approves, at: ago(200), ...(note ? { note } : {}) });

export function requestsWorld() {
  return [
    made('waits', 'linus', 'billing', { decisions: [word('bob', true, 'fine, as agreed')] }),
    made('hostile', 'new.person', 'billing', { needed: 1, reason: 'user\u202enimda \u001b]52;c;cm0gLXJm\u0007 <img src=x onerror=alert(1)>' }),
    made('single', 'linus', 'billing', {
      reason: 'ticket 4712: one invoice was booked twice',
      statement: {
        text: "DELETE FROM invoices -- the second of the two\n  WHERE id = 4712\n    AND note = 'x' /*\u202e eslaf DNA \u2066*/;",
        database: 'finance',
      },
    }),
    made('approved', 'linus', 'clinic', { state: 'approved', needed: 1, decisions: [word('mary', true)], ends_at: ago(-HOUR) }),
    made('denied', 'ada', 'billing', { state: 'denied', decisions: [word('mary', false, 'ask finance')], ended_at: ago(100) }),
    made('over', 'linus', 'billing', { state: 'expired', ends_at: ago(600), ended_at: ago(600), end_reason: 'its time is over' }),
  ];
}

/** An emergency on the vault; `more` says how far it is. */
export function emergency(person, more = {}) {
  return made('fire', person, 'vault', {
    kind: 'break_glass',
    state: 'approved',
    rule: 'fire',
    target_user: undefined,
    reason: 'the clinic cannot read its keys',
    incident: 'INC-2041',
    needed: 0,
    duration_seconds: HOUR,
    ends_at: ago(-HOUR),
    ...more,
  });
}

function view(request, me) {
  const pending = request.state === 'pending';
  const own = request.person === me.name;
  const approves = !own && request.kind === 'access' && APPROVERS.includes(me.name);
  const reviews = !own && request.kind === 'break_glass' && me.role === 'admin';
  if (!own && !approves && !reviews && me.role === 'user') return undefined;
  const decided = request.decisions.some((one) => one.by === me.name);
  return { ...request, may_decide: approves && pending && !decided, may_review: reviews && !request.review };
}

function list({ state, me, query }) {
  const wants = (name, value) => !query.get(name) || query.get(name) === value;
  const found = state.requests.filter(
    (one) =>
      (query.get('mine') !== 'true' || one.person === me.name) &&
      (query.get('unreviewed') !== 'true' || (one.kind === 'break_glass' && one.state !== 'approved' && !one.review)) &&
      wants('state', one.state) &&
      wants('kind', one.kind),
  );
  return { items: found.map((one) => view(one, me)).filter((one) => one !== undefined) };
}

function find({ state, me, parts: [id] }) {
  const request = state.requests.find((one) => one.id === id);
  if (!request || !view(request, me)) throw new Refused(404, 'HOOP-7002', 'no such request, or you may not see it');
  return request;
}

const fresh = ({ state }) => {
  if (!state.proven) throw new Refused(403, 'HOOP-2003', 'the second factor was proven more than 5 min ago');
};
const changed = () => new Refused(409, 'HOOP-7006', 'the request was decided or ended meanwhile: look at it again');

function ask({ state, me, body }) {
  const request = made(`new${state.requests.length}`, me.name, body.connection, { ...body, created_at: ago(0), decide_until: ago(-24 * HOUR) });
  state.requests.unshift(request);
  return view(request, me);
}

function breakGlass(call) {
  fresh(call);
  const { state, me, body } = call;
  if (state.requests.some((one) => one.kind === 'break_glass' && one.person === me.name && !one.review)) {
    throw new Refused(403, 'HOOP-2022', 'your last emergency has not been reviewed yet', 'ask a reviewer: `hoop requests --reviews`');
  }
  const request = { ...emergency(me.name), ...body, created_at: ago(0) };
  state.requests.unshift(request);
  return view(request, me);
}

const decide = (approves) => (call) => {
  fresh(call);
  const { me, body } = call;
  const request = find(call);
  if (request.state !== 'pending') throw changed();
  request.decisions.push({ by: me.name, approves, at: ago(0), ...body });
  if (!approves) Object.assign(request, { state: 'denied', ended_at: ago(0) });
  else if (request.decisions.length >= request.needed) {
    Object.assign(request, { state: 'approved', ends_at: ago(-request.duration_seconds) });
  }
  return view(request, me);
};

function end(call) {
  const request = find(call);
  if (!['pending', 'approved'].includes(request.state)) throw changed();
  Object.assign(request, { state: 'ended', ended_at: ago(0), end_reason: call.body.reason });
  return view(request, call.me);
}

function extend(call) {
  fresh(call);
  const request = find(call);
  const ends_at = new Date(Date.parse(request.ends_at) + call.body.seconds * 1_000).toISOString();
  Object.assign(request, { ends_at, extended_by: call.me.name });
  return view(request, call.me);
}

function review(call) {
  fresh(call);
  const request = find(call);
  request.review = { by: call.me.name, at: ago(0), finding: call.body.finding };
  return view(request, call.me);
}

export const REQUEST_ROUTES = [
  ['GET', /^\/requests$/, list],
  ['POST', /^\/requests$/, ask],
  ['POST', /^\/break-glass$/, breakGlass],
  ['GET', /^\/requests\/([^/]+)$/, (call) => view(find(call), call.me)],
  ['POST', /^\/requests\/([^/]+)\/approve$/, decide(true)],
  ['POST', /^\/requests\/([^/]+)\/deny$/, decide(false)],
  ['POST', /^\/requests\/([^/]+)\/end$/, end],
  ['POST', /^\/requests\/([^/]+)\/extend$/, extend],
  ['POST', /^\/requests\/([^/]+)\/review$/, review],
];
