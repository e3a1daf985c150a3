/** A recorded terminal: played, paused, sought and searched; of a session that goes on, watched. */
import { ActionIcon, Alert, Badge, Button, Checkbox, Group, Loader, NativeSelect, Slider, Stack, Text, TextInput, Tooltip } from '@mantine/core';
import { useHotkeys } from '@mantine/hooks';
import { type ReactNode, useDeferredValue, useEffect, useMemo, useRef, useState } from 'react';

import { counted } from '../lib/format';
import { PauseIcon, PlayIcon } from '../ui/icons';
import { ProblemAlert } from '../ui/ProblemAlert';
import { Visible } from '../ui/Visible';
import type { Cast, Entered, Size } from './cast';
import { find, type Hit, linesOf, MOST_HITS } from './lines';
import { clock } from './places';
import { Screen } from './screen';
import classes from './Terminal.module.css';
import { type CastState, useCast } from './useCast';
import { type Playback, usePlayback } from './usePlayback';

const LONGEST_PAUSE_MS = 2_000;
const STEP_MS = 5_000;
const SHOWN_BEFORE = 30;
const MOST_ENTERED = 1_000;

interface Props {
  session: string;
  stream: number;
  request: number;
  live: boolean;
  /** What belongs beside the controls. */
  actions?: ReactNode;
}

export function TerminalReplay({ session, stream, request, live, actions }: Props) {
  // What was watched to its end is not fetched again.
  const [follow] = useState(live);
  const shown = useCast(session, stream, request, follow);
  const { cast, count } = shown;
  const [box, screen] = useScreen(cast.size);
  const [speed, setSpeed] = useState(1);
  const [cut, setCut] = useState(true);
  const goesOn = follow && shown.state !== 'whole';
  const playback = usePlayback(cast, count, screen, { speed, limit: cut ? LONGEST_PAUSE_MS : Infinity, live: goesOn });
  const { seek, toggle, time } = playback;
  useHotkeys([
    ['ArrowLeft', () => seek(time - STEP_MS)],
    ['ArrowRight', () => seek(time + STEP_MS)],
  ]);
  // A button in focus is pressed by the space bar: it must not also play.
  useHotkeys([['space', toggle]], ['INPUT', 'TEXTAREA', 'SELECT', 'BUTTON', 'A']);
  if (shown.error !== undefined && count === 0) return <ProblemAlert error={shown.error} />;
  return (
    <Stack gap="xs" component="section" aria-label="Terminal">
      <Group gap="xs" wrap="nowrap">
        <Tooltip label={playback.playing ? 'Pause' : 'Play'} withinPortal={false}>
          <ActionIcon onClick={toggle} disabled={count === 0} aria-label={playback.playing ? 'Pause the terminal' : 'Play the terminal'}>
            {playback.playing ? <PauseIcon /> : <PlayIcon />}
          </ActionIcon>
        </Tooltip>
        <Place playback={playback} />
        {goesOn ? <Live state={shown.state} playback={playback} /> : null}
        {actions}
      </Group>
      <div className={classes.box}>
        <div ref={box} className={classes.screen} role="img" aria-label={`Screen of ${cast.size?.columns ?? 0} by ${cast.size?.rows ?? 0} characters`} />
        {shown.state === 'loading' && count === 0 ? <Loader size="sm" /> : null}
      </div>
      <Group gap="sm">
        <NativeSelect
          size="xs"
          aria-label="Speed of the terminal"
          value={String(speed)}
          onChange={(event) => setSpeed(Number(event.currentTarget.value))}
          data={['0.5', '1', '2', '4', '16'].map((value) => ({ value, label: `${value}×` }))}
        />
        <Checkbox size="xs" label="Cut pauses to 2 s" checked={cut} onChange={(event) => setCut(event.currentTarget.checked)} />
        <Ended cast={cast} state={shown.state} />
      </Group>
      {cast.full ? (
        <Alert color="yellow" variant="light">
          It is longer than a browser should hold: the beginning is shown. All of it is in the download.
        </Alert>
      ) : null}
      <Search cast={cast} count={count} onChoose={(hit) => playback.seekFrame(hit.frame)} />
      <EnteredLines cast={cast} onChoose={(line) => playback.seekFrame(line.frame)} />
    </Stack>
  );
}

/** The screen, once its size is known. */
function useScreen(size: Size | undefined): [React.RefObject<HTMLDivElement | null>, Screen | undefined] {
  const box = useRef<HTMLDivElement>(null);
  const [screen, setScreen] = useState<Screen>();
  const { columns, rows } = size ?? {};
  useEffect(() => {
    const element = box.current;
    if (!element || columns === undefined || rows === undefined) return;
    const made = new Screen(element, { columns, rows });
    setScreen(made);
    const watching = new ResizeObserver(() => made.fit());
    watching.observe(element);
    return () => {
      watching.disconnect();
      setScreen(undefined);
      made.dispose();
    };
  }, [columns, rows]);
  return [box, screen];
}

function Place({ playback: { time, length, clockAt, seek } }: { playback: Playback }) {
  const [dragged, setDragged] = useState<number>();
  const at = dragged ?? time;
  return (
    <>
      <Slider
        flex={1}
        miw={60}
        size="sm"
        min={0}
        max={Math.max(1, length)}
        step={1}
        value={at}
        label={(to) => clock(clockAt(to))}
        thumbLabel="Place in the terminal"
        onChange={setDragged}
        onChangeEnd={(to) => {
          setDragged(undefined);
          seek(to);
        }}
      />
      <span className={classes.clock}>
        {clock(clockAt(at))} / {clock(clockAt(length))}
      </span>
    </>
  );
}

function Live({ state, playback }: { state: CastState['state']; playback: Playback }) {
  if (state === 'lost') {
    return (
      <Badge color="yellow" variant="dot" tt="none" role="status" miw="max-content">
        reconnecting
      </Badge>
    );
  }
  return playback.following ? (
    <Badge color="red" variant="dot" tt="none" role="status" miw="max-content">
      live
    </Badge>
  ) : (
    <Button size="compact-xs" variant="light" onClick={playback.follow} miw="max-content">
      To what happens now
    </Button>
  );
}

function Ended({ cast, state }: { cast: Cast; state: CastState['state'] }) {
  const last = cast.frames.at(-1);
  if (last?.kind === 'exit') {
    return (
      <Text size="xs" c="dimmed">
        It ended with exit code <Visible text={last.status} oneLine />.
      </Text>
    );
  }
  return state === 'whole' && !cast.full ? (
    <Text size="xs" c="dimmed">
      No more of it is recorded.
    </Text>
  ) : null;
}

/** What was entered at the shell's prompts, where they show it. */
function EnteredLines({ cast, onChoose }: { cast: Cast; onChoose: (line: Entered) => void }) {
  const [open, setOpen] = useState(false);
  const lines = cast.entered;
  if (lines.length === 0) return null;
  return (
    <Stack gap={4}>
      <Group gap="xs">
        <Button size="compact-xs" variant="subtle" aria-expanded={open} onClick={() => setOpen(!open)}>
          {counted(lines.length, 'command')} at prompts
        </Button>
        {open ? (
          <Text size="xs" c="dimmed">
            As the terminal shows them: a help to find your way, and no list of all that ran.
          </Text>
        ) : null}
      </Group>
      {open ? (
        <div className={classes.hits} role="list" aria-label="Commands at prompts">
          {lines.slice(0, MOST_ENTERED).map((line, index) => (
            <div key={`${line.frame}-${index}`} role="listitem">
              <button type="button" className={classes.hit} onClick={() => onChoose(line)}>
                <time>{clock(line.at)}</time>
                <span>
                  <Visible text={line.text.slice(0, 400)} oneLine />
                </span>
              </button>
            </div>
          ))}
        </div>
      ) : null}
    </Stack>
  );
}

function Search({ cast, count, onChoose }: { cast: Cast; count: number; onChoose: (hit: Hit) => void }) {
  const [words, setWords] = useState('');
  const [chosen, setChosen] = useState<number>();
  const searching = words.trim() !== '';
  // Made when somebody searches, and again when more was shown.
  const settled = useDeferredValue(count);
  const lines = useMemo(() => (searching ? linesOf(cast.frames.slice(0, settled)) : []), [searching, cast, settled]);
  const hits = useMemo(() => find(lines, words), [lines, words]);
  const choose = (index: number) => {
    const hit = hits[index];
    if (!hit) return;
    setChosen(index);
    onChoose(hit);
  };
  return (
    <Stack gap={4} role="search" aria-label="In what was shown">
      <TextInput
        size="xs"
        placeholder="Find in what was shown"
        aria-label="Find in what was shown"
        value={words}
        onChange={(event) => {
          setWords(event.currentTarget.value);
          setChosen(undefined);
        }}
        onKeyDown={(event) => {
          if (event.key === 'Enter') choose(chosen === undefined ? 0 : (chosen + 1) % Math.max(1, hits.length));
        }}
        rightSectionWidth={90}
        rightSection={searching ? <Text size="xs">{told(hits.length)}</Text> : null}
      />
      {hits.length > 0 ? (
        <div className={classes.hits} role="list" aria-label="Places">
          {hits.slice(0, MOST_HITS).map((hit, index) => (
            <div key={`${hit.frame}-${index}`} role="listitem">
              <button type="button" className={classes.hit} aria-current={index === chosen} onClick={() => choose(index)}>
                <time>{clock(hit.at)}</time>
                <Marked hit={hit} />
              </button>
            </div>
          ))}
        </div>
      ) : null}
    </Stack>
  );
}

function told(hits: number): string {
  return hits > MOST_HITS ? `over ${MOST_HITS} places` : counted(hits, 'place');
}

/** The line, from a little before the words. */
function Marked({ hit: { text, from, to } }: { hit: Hit }) {
  const begin = Math.max(0, from - SHOWN_BEFORE);
  return (
    <span>
      {begin > 0 ? '…' : ''}
      <Visible text={text.slice(begin, from)} oneLine />
      <mark>
        <Visible text={text.slice(from, to)} oneLine />
      </mark>
      <Visible text={text.slice(to, to + 200)} oneLine />
    </span>
  );
}
