/** A session's replay: the timeline beside the chosen statement, stepped through by keys, buttons, or in its own time. */
import { ActionIcon, Badge, Checkbox, Group, Kbd, NativeSelect, Text, Tooltip } from '@mantine/core';
import { useHotkeys } from '@mantine/hooks';
import { type ReactNode, useCallback, useMemo, useState } from 'react';

import type { Session } from '../api/calls';
import { count } from '../lib/format';
import { BackIcon, ForwardIcon, PauseIcon, PlayIcon } from '../ui/icons';
import classes from './Replay.module.css';
import { StatementDetail } from './StatementDetail';
import { StatementList } from './StatementList';
import { type End, type Note, rowsOf } from './rows';
import { isPreparation, type Statement } from './statement';
import { type Player, usePlayer } from './usePlayer';

interface Props {
  session: Pick<Session, 'started_at'>;
  statements: readonly Statement[];
  /** What happened beside them. */
  notes?: readonly Note[];
  /** How it ended; not of one that goes on. */
  end?: End | undefined;
  /** There may be more: `more` fetches it. */
  more?: (() => void) | undefined;
  fetchingMore?: boolean;
  /** More may arrive by itself. */
  follow?: boolean;
  /** The screen of what ran in a terminal. */
  screenOf?: (statement: Statement) => ReactNode;
}

const NONE: readonly Note[] = [];

export function Replay({ session, statements: all, notes = NONE, end, more, fetchingMore = false, follow = false, screenOf }: Props) {
  const [whole, setWhole] = useState(false);
  const statements = useMemo(() => (whole ? all : all.filter((one) => !isPreparation(one))), [whole, all]);
  const shownEnd = more === undefined && !fetchingMore ? end : undefined;
  const rows = useMemo(() => rowsOf(all, whole, notes, shownEnd), [all, whole, notes, shownEnd]);
  const player = usePlayer(statements, follow);
  const { go, step, toggle } = player;
  useHotkeys([
    ['ArrowDown', () => step(1)],
    ['j', () => step(1)],
    ['ArrowUp', () => step(-1)],
    ['k', () => step(-1)],
    ['PageDown', () => step(10)],
    ['PageUp', () => step(-10)],
    ['Home', () => go(0)],
    ['End', () => go(statements.length - 1)],
  ]);
  // A button in focus is pressed by the space bar: it must not also play.
  const chosen = statements[player.at];
  const screen = chosen?.inTerminal ? screenOf?.(chosen) : undefined;
  // A screen that is shown is what plays then.
  useHotkeys([['space', () => void (screen ?? toggle())]], ['INPUT', 'TEXTAREA', 'SELECT', 'BUTTON', 'A']);
  const nextFailure = useCallback(() => {
    const found = statements.findIndex((statement, at) => at > player.at && (statement.error || statement.denied));
    if (found >= 0) go(found);
  }, [statements, player.at, go]);
  useHotkeys([['e', nextFailure]]);
  return (
    <div className={classes.replay} data-screen={screen === undefined ? undefined : true}>
      <div className={classes.side}>
        <Controls player={player} total={statements.length} fetchingMore={fetchingMore} partial={more !== undefined} />
        <StatementList
          rows={rows}
          startedAt={session.started_at}
          at={player.at}
          onChoose={go}
          onEnd={more}
        />
        {all.some(isPreparation) ? (
          <Checkbox
            size="xs"
            label="Also what was only prepared or bound"
            checked={whole}
            onChange={(event) => setWhole(event.currentTarget.checked)}
          />
        ) : null}
        <Text size="xs" c="dimmed" visibleFrom="sm">
          <Kbd size="xs">↑</Kbd> <Kbd size="xs">↓</Kbd> step, <Kbd size="xs">Space</Kbd> play, <Kbd size="xs">E</Kbd> next error
        </Text>
      </div>
      <div className={classes.main} aria-live={player.playing ? 'off' : 'polite'}>
        {chosen ? (
          <StatementDetail statement={chosen} place={`${count(player.at + 1)} of ${count(statements.length)}`} screen={screen} />
        ) : null}
      </div>
    </div>
  );
}

interface ControlsProps {
  player: Player;
  total: number;
  partial: boolean;
  fetchingMore: boolean;
}

function Controls({ player, total, partial, fetchingMore }: ControlsProps) {
  return (
    <Group gap="xs" wrap="nowrap">
      <ActionIcon variant="default" onClick={() => player.step(-1)} disabled={player.at === 0} aria-label="Previous statement">
        <BackIcon />
      </ActionIcon>
      <Tooltip label={player.playing ? 'Pause' : 'Play'} withinPortal={false}>
        <ActionIcon onClick={player.toggle} disabled={total < 2} aria-label={player.playing ? 'Pause' : 'Play'}>
          {player.playing ? <PauseIcon /> : <PlayIcon />}
        </ActionIcon>
      </Tooltip>
      <ActionIcon variant="default" onClick={() => player.step(1)} disabled={player.at >= total - 1} aria-label="Next statement">
        <ForwardIcon />
      </ActionIcon>
      <NativeSelect
        size="xs"
        w={64}
        aria-label="Speed"
        value={String(player.speed)}
        onChange={(event) => player.setSpeed(Number(event.currentTarget.value))}
        data={[
          { value: '1', label: '1×' },
          { value: '4', label: '4×' },
          { value: '16', label: '16×' },
        ]}
      />
      <Badge variant="default" ml="auto" tt="none" miw="max-content">
        {count(total)}
        {partial ? '+' : ''} {fetchingMore ? '…' : 'statements'}
      </Badge>
    </Group>
  );
}
