/** The document as text: written, tried on statements, compared with what is in force, put in force. */
import { Alert, Button, Group, Stack, Text as Words, TextInput } from '@mantine/core';
import { type FormEvent, useRef, useState } from 'react';

import type * as calls from '../../api/calls';
import { ApiProblem, asProblem } from '../../api/problem';
import { ProblemAlert } from '../../ui/ProblemAlert';
import { Visible } from '../../ui/Visible';
import { useCarried } from './carried';
import { around, type Place, placeIn } from './place';
import classes from './Rules.module.css';
import { SessionGone, SessionTrial } from './SessionTrial';
import { TextEditor, type TextHandle } from './TextEditor';
import { ruleToTry } from './trial';
import { MaskingPreview } from './MaskingPreview';
import { TryIt } from './TryIt';
import { type Draft, isOvertaken } from './useDraft';
import { useWritten } from './useTrial';

const LONGEST_NOTE = 1_000;

interface Props {
  draft: Draft;
  manages: boolean;
  /** The session whose statements are tried, if any. */
  session: string | undefined;
  onSessionClosed: () => void;
}

export function Text({ draft, manages, session, onSessionClosed }: Props) {
  const editor = useRef<TextHandle>(null);
  const field = useRef<HTMLTextAreaElement>(null);
  const carried = useCarried(session);
  const written = useWritten(draft);
  const [wanted, setWanted] = useState(carried?.rule);
  const [statement, setStatement] = useState('');
  const rule = ruleToTry(written.rules, wanted);
  const error = draft.error ?? written.error;
  const problem = error ? asProblem(error) : undefined;
  const { place } = placeIn(problem?.message ?? '');
  const look = (text: string) => {
    setStatement(text);
    field.current?.focus();
  };
  return (
    <>
      <div className={classes.bench}>
        <TextEditor
          label="Rules as YAML"
          text={draft.text}
          wrongLine={place?.line}
          readOnly={!manages}
          onChange={draft.write}
          handle={editor}
        />
        <Stack gap="lg">
          {manages ? (
            <Stack gap="sm">
              <Group gap="xs">
                <Button variant="light" loading={draft.isComparing} disabled={!draft.isChanged} onClick={() => draft.compare()}>
                  Compare
                </Button>
                <Button variant="default" disabled={!draft.isChanged} onClick={draft.discard}>
                  Discard
                </Button>
              </Group>
              {draft.done === undefined ? <Outcome draft={draft} /> : <InForce version={draft.done} />}
            </Stack>
          ) : (
            <Words size="sm" c="dimmed">
              Administrators change this. <code>hoop admin export</code> writes it to a file.
            </Words>
          )}
          {problem ? <Wrong problem={problem} draft={draft} onShow={(line) => editor.current?.show(line)} /> : null}
          <TryIt written={written} rule={rule} onRule={setWanted} carried={carried} text={statement} onText={setStatement} field={field} />
          <MaskingPreview written={written} rule={rule} />
        </Stack>
      </div>
      {carried ? (
        <SessionTrial carried={carried} written={written} rule={rule} onLook={look} onClose={onSessionClosed} />
      ) : session === undefined ? null : (
        <SessionGone id={session} onClose={onSessionClosed} />
      )}
    </>
  );
}

interface WrongProps {
  problem: ApiProblem;
  draft: Draft;
  onShow: (line: number) => void;
}

function Wrong({ problem, draft, onShow }: WrongProps) {
  const { place, rest } = placeIn(problem.message);
  if (isOvertaken(problem)) return <Overtaken draft={draft} />;
  if (!place) return <ProblemAlert error={problem} />;
  return (
    <Misplaced
      problem={new ApiProblem(problem.status, problem.code, rest, problem.hint)}
      place={place}
      text={draft.text}
      onShow={() => onShow(place.line)}
    />
  );
}

function Outcome({ draft }: { draft: Draft }) {
  // What was compared can still be put in force after an answer that got lost.
  if (draft.error && (!draft.compared || isOvertaken(draft.error))) return null;
  if (!draft.isChanged) {
    return (
      <Words size="sm" c="dimmed">
        This is version {draft.base}, in force. Change the text, compare, and put it in force; nothing happens before.
      </Words>
    );
  }
  if (!draft.compared) {
    return (
      <Words size="sm" c="dimmed">
        Changed from version {draft.base}. Compare says what would differ, and changes nothing.
      </Words>
    );
  }
  if (!draft.compared.changed) {
    return (
      <Words size="sm" role="status">
        It says the same as version {draft.base}: nothing would change.
      </Words>
    );
  }
  return <PutInForce draft={draft} compared={draft.compared} />;
}

function PutInForce({ draft, compared }: { draft: Draft; compared: calls.RulesChanged }) {
  const [note, setNote] = useState('');
  const submit = (event: FormEvent) => {
    event.preventDefault();
    draft.put(note);
  };
  return (
    <form onSubmit={submit}>
      <Stack gap="sm">
        <Words size="sm">Against version {draft.base} this would change:</Words>
        <Diff text={compared.diff} />
        <TextInput
          label="Note"
          description="Why; kept with the version"
          maxLength={LONGEST_NOTE}
          autoComplete="off"
          value={note}
          onChange={(event) => setNote(event.currentTarget.value)}
        />
        <Words size="xs" c="dimmed">
          Takes effect at once: live sessions that the new rules do not allow end.
        </Words>
        <Group>
          <Button type="submit" loading={draft.isPutting}>
            Put in force
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

export function Diff({ text }: { text: string }) {
  return (
    <div className={classes.diff} role="status" aria-label="What would change">
      {text
        .trimEnd()
        .split('\n')
        .map((line, index) => (
          <div key={index} data-sign={/^[+\-~] /.test(line) ? line[0] : undefined}>
            <Visible text={line} oneLine />
          </div>
        ))}
    </div>
  );
}

function InForce({ version }: { version: number }) {
  return (
    <Alert color="teal" variant="light" role="status">
      Version {version} is in force.
    </Alert>
  );
}

interface MisplacedProps {
  problem: ApiProblem;
  place: Place;
  text: string;
  onShow: () => void;
}

function Misplaced({ problem, place, text, onShow }: MisplacedProps) {
  const { before, wrong, after } = around(text, place);
  return (
    <Stack gap="xs">
      <ProblemAlert error={problem} title={`Line ${place.line}, column ${place.column}`} />
      <div className={classes.wrong} aria-label="The line">
        <Visible text={before} oneLine />
        <mark>{wrong === '' ? '␣' : <Visible text={wrong} oneLine />}</mark>
        <Visible text={after} oneLine />
      </div>
      <Group>
        <Button size="compact-sm" variant="subtle" onClick={onShow}>
          Go to line {place.line}
        </Button>
      </Group>
    </Stack>
  );
}

function Overtaken({ draft }: { draft: Draft }) {
  return (
    <Alert color="yellow" variant="light" role="alert" title="Somebody else changed the rules">
      <Stack gap="xs" align="flex-start">
        <Words size="sm">
          You began from version {draft.base}, which is not in force any more. Your text is still here: see how it differs
          from what is in force now, or discard it. History says who changed what.
        </Words>
        <Group gap="xs">
          <Button size="compact-sm" variant="light" onClick={() => void draft.rebase()}>
            Compare with what is in force
          </Button>
          <Button size="compact-sm" variant="default" onClick={draft.discard}>
            Discard mine
          </Button>
        </Group>
      </Stack>
    </Alert>
  );
}
