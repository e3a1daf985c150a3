import { fireEvent, screen } from '@testing-library/react';
import { expect, test, vi } from 'vitest';

import type { Pod } from '../../terminal/shell';
import { renderInKit } from '../../testing/render';
import { NO_POD, podProblems } from './PodFields';
import { Opening } from './TerminalPage';

interface Asked {
  pod?: Pod;
  reason: string;
}
const opened = vi.hoisted(() => vi.fn<(asked: Asked) => void>());
/** A screen that says what it is asked for, and ends at once. */
vi.mock('../../terminal/ShellScreen', () => ({
  ShellScreen: ({ pod, reason }: Asked) => {
    opened(pod ? { pod, reason } : { reason });
    return <div>a screen</div>;
  },
}));

const show = (inPod: boolean, asks: string[] = []) => {
  opened.mockClear();
  renderInKit(<Opening connection="k8s" inPod={inPod} asks={asks} />);
};

test('a host is opened at once', async () => {
  show(false);
  await screen.findByText('a screen');
  expect(opened).toHaveBeenCalledWith({ reason: '' });
});

test('of a cluster it is asked which pod, and nothing opens before that is known', async () => {
  show(true, ['a reason']);
  const fill = (label: RegExp, value: string) => fireEvent.change(screen.getByLabelText(label), { target: { value } });
  const submit = () => fireEvent.click(screen.getByRole('button', { name: 'Open shell' }));
  fill(/^Reason/, 'ticket 4711');
  fill(/^Pod/, 'Web');
  submit();
  expect(screen.getByText(/^Allowed are/)).toBeTruthy();
  expect(opened).not.toHaveBeenCalled();
  fill(/^Pod/, 'pod/web-7f9c');
  fill(/^Namespace/, ' shop ');
  submit();
  await screen.findByText('a screen');
  expect(opened).toHaveBeenCalledWith({ pod: { namespace: 'shop', name: 'web-7f9c', container: '' }, reason: 'ticket 4711' });
});

test.each(['..', 'a/b', 'A', 'a_b', '-a', 'a-', 'a b', 'a?x=y', 'ä', 'a'.repeat(254)])('%j is no name in a cluster', (name) => {
  expect(podProblems({ namespace: name, name, container: name })).toMatchObject({
    namespace: expect.any(String) as string,
    name: expect.any(String) as string,
    container: expect.any(String) as string,
  });
});

test('a pod may have dots in its name, and needs no container', () => {
  expect(podProblems({ ...NO_POD, name: 'etcd-node1.example.org' })).toEqual({});
  expect(podProblems({ ...NO_POD, namespace: 'a.b', name: 'x' })).toHaveProperty('namespace');
});
