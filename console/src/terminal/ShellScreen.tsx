/** The screen of a shell that one types into: as large as the window lets it be. */
import { FitAddon } from '@xterm/addon-fit';
import { useEffect, useEffectEvent, useRef } from 'react';

import { openTerminal } from './screen';
import { type Ended, type Pod, Shell } from './shell';
import classes from './Terminal.module.css';

interface Props {
  connection: string;
  /** Stays the same object while the shell is to stay. */
  pod?: Pod | undefined;
  reason: string;
  onOpened: (session: string) => void;
  onEnded: (end: Ended) => void;
}

export function ShellScreen({ connection, pod, reason, onOpened, onEnded }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const opened = useEffectEvent(onOpened);
  const ended = useEffectEvent(onEnded);
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const terminal = openTerminal(element, { columns: 80, rows: 24 }, { cursorBlink: true });
    const fit = new FitAddon();
    terminal.loadAddon(fit);
    fit.fit();
    const size = () => ({ columns: terminal.cols, rows: terminal.rows });
    const shell = new Shell(
      { connection, pod, reason, size: size() },
      {
        opened: (session) => {
          shell.resize(size());
          opened(session);
        },
        shown: (data, drawn) => terminal.write(data, drawn),
        // What came last is drawn first.
        ended: (end) => terminal.write('', () => ended(end)),
      },
    );
    const listening = [
      terminal.onData((text) => shell.type(text)),
      // The mouse, in the encoding that is not UTF-8.
      terminal.onBinary((bytes) => shell.press(Uint8Array.from(bytes, (one) => one.charCodeAt(0)))),
      terminal.onResize(() => shell.resize(size())),
    ];
    const watching = new ResizeObserver(() => fit.fit());
    watching.observe(element);
    terminal.focus();
    return () => {
      watching.disconnect();
      for (const one of listening) one.dispose();
      shell.close();
      terminal.dispose();
    };
  }, [connection, pod, reason]);
  return (
    <div className={classes.box}>
      <div ref={box} className={classes.shell} aria-label={pod ? `Terminal in ${pod.name} on ${connection}` : `Terminal on ${connection}`} />
    </div>
  );
}
