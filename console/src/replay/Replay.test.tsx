import { fireEvent, screen, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { expect, test, vi } from 'vitest';

import { renderInKit } from '../testing/render';
import { Replay } from './Replay';
import { readStatement, type Statement } from './statement';

const SESSION = { started_at: '2026-11-22T12:00:00.000000Z' };
const HOSTILE = `<img src=x onerror="globalThis.pwned=1"><script>globalThis.pwned=1</script>`;

const statement = (id: number, raw: object): Statement => {
  const read = readStatement({ stream: 0, id, at: '2026-11-22T12:00:01.000000Z', form: 'query', text: `select ${id}`, tag: 'SELECT 1', ...raw }, id);
  if (!read) throw new Error('it is an object');
  return read;
};

test('what a host printed is shown as its lines', () => {
  const shell = statement(1, { form: 'shell', text: '', tag: 'exit 0', output: 'one\n<b>two</b>\n' });
  renderInKit(<Replay session={SESSION} statements={[shell]} />);
  expect(screen.getByLabelText('Output').textContent).toBe('one\n<b>two</b>\n');
});

/** The timeline's lines that are in the document. */
const lines = () => within(screen.getByRole('listbox')).getAllByRole('option');

test('hostile text is text, wherever it stands', () => {
  const everywhere = statement(1, {
    text: `select '${HOSTILE}' -- ${HOSTILE}`,
    form: HOSTILE,
    tag: HOSTILE,
    parameters: [HOSTILE],
    columns: [HOSTILE],
    rows: [[HOSTILE]],
    output: HOSTILE,
    error: { code: HOSTILE, message: HOSTILE },
    denied: { code: HOSTILE, message: HOSTILE },
  });
  const { container } = renderInKit(<Replay session={SESSION} statements={[everywhere]} />);
  expect(container.querySelector('img, script')).toBeNull();
  expect((globalThis as { pwned?: number }).pwned).toBeUndefined();
  expect(container.textContent).toContain(HOSTILE);
});

test('what cannot be seen is shown', () => {
  const tricky = statement(1, { text: "select 'a\u202eb\u001b[31m'", columns: ['c\u0000'], rows: [['x\u200by\nz']] });
  const { container } = renderInKit(<Replay session={SESSION} statements={[tricky]} />);
  expect(screen.getByLabelText('Statement text').textContent).toBe("select 'a\\u{202e}b\\x1b[31m'");
  expect(container.textContent).toContain('x\\u{200b}y\\nz');
  expect(container.textContent).not.toMatch(/[\u0000-\u0009\u001b\u200b\u202e]/);
});

test('keys step through, and stop at the ends', async () => {
  const user = userEvent.setup();
  renderInKit(<Replay session={SESSION} statements={[1, 2, 3].map((id) => statement(id, {}))} />);
  const shown = () => within(screen.getByRole('region', { name: 'Statement' })).getByRole('heading').textContent;
  expect(shown()).toBe('Statement 1 of 3');
  await user.keyboard('{ArrowUp}');
  expect(shown()).toBe('Statement 1 of 3');
  await user.keyboard('{ArrowDown}j');
  expect(shown()).toBe('Statement 3 of 3');
  await user.keyboard('{ArrowDown}');
  expect(shown()).toBe('Statement 3 of 3');
  await user.keyboard('{Home}');
  expect(shown()).toBe('Statement 1 of 3');
});

test('E goes to the next that failed or was refused', async () => {
  const user = userEvent.setup();
  const statements = [
    statement(1, {}),
    statement(2, {}),
    statement(3, { denied: { code: 'HOOP-2005', message: 'Replication is not allowed.' } }),
  ];
  renderInKit(<Replay session={SESSION} statements={statements} />);
  await user.keyboard('e');
  expect(screen.getByText('Refused by policy: it never reached the target')).toBeTruthy();
  expect(screen.getByText('HOOP-2005')).toBeTruthy();
});

test('space plays, and pressing the play button with it plays once', async () => {
  vi.useFakeTimers();
  try {
    renderInKit(<Replay session={SESSION} statements={[1, 2, 3].map((id) => statement(id, {}))} />);
    const button = screen.getByRole('button', { name: 'Play' });
    fireEvent.keyDown(button, { key: ' ', code: 'Space', bubbles: true });
    expect(screen.getByRole('button', { name: 'Play' })).toBeTruthy();
    fireEvent.keyDown(document.body, { key: ' ', code: 'Space', bubbles: true });
    expect(screen.getByRole('button', { name: 'Pause' })).toBeTruthy();
  } finally {
    vi.useRealTimers();
  }
});

test('what was only prepared is left out until asked for', async () => {
  const user = userEvent.setup();
  const statements = [statement(1, { form: 'prepare', tag: null }), statement(2, { form: 'bind', tag: null }), statement(3, { form: 'execute' })];
  renderInKit(<Replay session={SESSION} statements={statements} />);
  expect(lines()).toHaveLength(1);
  await user.click(screen.getByLabelText('Also what was only prepared or bound'));
  expect(lines()).toHaveLength(3);
});

test('of ten thousand statements and rows, only those in view are in the document', () => {
  const rows = Array.from({ length: 10_000 }, (_, row) => [`cell ${row}`]);
  const statements = Array.from({ length: 10_000 }, (_, id) => statement(id, id === 0 ? { columns: ['c'], rows } : {}));
  renderInKit(<Replay session={SESSION} statements={statements} />);
  expect(lines().length).toBeLessThan(100);
  expect(screen.getAllByRole('row').length).toBeLessThan(100);
});

test('rows with more cells than columns lose none', () => {
  const lying = statement(1, { columns: ['only'], rows: [['a', 'b', null]] });
  renderInKit(<Replay session={SESSION} statements={[lying]} />);
  expect(screen.getAllByRole('columnheader').map((head) => head.textContent)).toEqual(['only', '(2)', '(3)']);
  expect(screen.getByText('NULL')).toBeTruthy();
});

test('a curtailed answer says so', () => {
  renderInKit(<Replay session={SESSION} statements={[statement(1, { curtailed: 16 << 20 })]} />);
  expect(screen.getByText('Not all of it was kept')).toBeTruthy();
});

test('what was masked is counted', () => {
  renderInKit(<Replay session={SESSION} statements={[statement(1, { masked: { hidden: 1, ssn: 2, odd: 'x' } })]} />);
  expect(screen.getByText('1 hidden, 2 ssn')).toBeTruthy();
});
