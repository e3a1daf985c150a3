/**
 * The terminal emulator (xterm.js), as the console uses it: within the page's policy, and with nothing that a host prints able to
 * open, copy or name anything. In a chunk of its own, with everything that imports it.
 */
import '@xterm/xterm/css/xterm.css';

import { type ITerminalOptions, Terminal } from '@xterm/xterm';

import type { Frame, Size } from './cast';
import { styleAttributesByObject, withStyleNonce } from './lawful';

export const FONT = 14;
const SMALLEST = 6;
/** Strings of an operating system command: title, link, colours, clipboard, notices, current folder, shell marks. */
const COMMANDS = [0, 1, 2, 4, 7, 8, 9, 10, 11, 12, 52, 104, 110, 111, 112, 133, 777, 1337];

/** A terminal in an element. What it is given has no way out but through the options' handlers. */
export function openTerminal(element: HTMLElement, size: Size, options: ITerminalOptions = {}): Terminal {
  const terminal = new Terminal({
    cols: size.columns,
    rows: size.rows,
    fontFamily: 'ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace',
    fontSize: FONT,
    lineHeight: 1.15,
    scrollback: 5_000,
    linkHandler: { activate: () => undefined, hover: () => undefined },
    theme: { background: '#14171c', foreground: '#e4e7ec', cursor: '#e4e7ec' },
    ...options,
  });
  for (const command of COMMANDS) terminal.parser.registerOscHandler(command, () => true);
  styleAttributesByObject();
  withStyleNonce(() => terminal.open(element));
  return terminal;
}

/** A screen that only shows. */
export class Screen {
  private readonly terminal: Terminal;
  private readonly element: HTMLElement;
  private readonly first: Size;

  constructor(element: HTMLElement, first: Size) {
    this.element = element;
    this.first = first;
    this.terminal = openTerminal(element, first, { disableStdin: true, cursorInactiveStyle: 'block' });
    this.fit();
  }

  /** Draws, after what was drawn before. */
  draw(frames: readonly Frame[]): void {
    let text = '';
    for (const frame of frames) {
      if (frame.kind === 'text') text += frame.text;
      if (frame.kind !== 'size') continue;
      this.terminal.write(text, () => this.resize(frame.size));
      text = '';
    }
    if (text !== '') this.terminal.write(text);
  }

  /** Empty, as at first. */
  clear(): void {
    this.terminal.write('\u001bc', () => this.resize(this.first));
  }

  /** The letters as large as the width allows. */
  fit(): void {
    const shown = this.element.querySelector('.xterm-screen');
    const width = shown?.getBoundingClientRect().width ?? 0;
    const room = this.element.clientWidth;
    const size = this.terminal.options.fontSize ?? FONT;
    if (width <= 0 || room <= 0) return;
    const wanted = Math.max(SMALLEST, Math.min(FONT, Math.floor((size * room * 2) / width) / 2));
    if (wanted !== size) this.terminal.options.fontSize = wanted;
  }

  dispose(): void {
    this.terminal.dispose();
  }

  private resize(size: Size): void {
    this.terminal.resize(size.columns, size.rows);
    this.fit();
  }
}
