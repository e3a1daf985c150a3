import { expect, test } from 'vitest';

import { ApiProblem, asProblem, needsSignIn, problemFrom } from './problem';

test('the documented shape is taken as it is', () => {
  const problem = problemFrom(403, { code: 'HOOP-2001', message: 'No.', hint: 'Ask.' });
  expect(problem).toMatchObject({ status: 403, code: 'HOOP-2001', message: 'No.', hint: 'Ask.' });
});

test('a hint may be missing', () => {
  expect(problemFrom(400, { code: 'HOOP-7001', message: 'No.', hint: null }).hint).toBeUndefined();
});

test.each([undefined, null, '', '<html>bad gateway</html>', [], { code: 7, message: 'x' }, { message: 'x' }])(
  'a body like %j is replaced by words of our own',
  (body) => {
    const problem = problemFrom(502, body);
    expect(problem.code).toBe('HTTP 502');
    expect(problem.message).not.toContain('<');
    expect(problem.hint).toBeTruthy();
  },
);

test('only a 401 asks for a sign-in', () => {
  expect(needsSignIn(problemFrom(401, undefined))).toBe(true);
  expect(needsSignIn(problemFrom(403, undefined))).toBe(false);
  expect(needsSignIn(new Error('401'))).toBe(false);
});

test('anything thrown becomes a problem', () => {
  expect(asProblem('boom')).toBeInstanceOf(ApiProblem);
  expect(asProblem(new Error('boom')).message).toBe('boom');
});
