/**
 * A statement of a recording, read from the JSON of `hoop_recording::timeline::StatementView`. The API types it as an
 * object only, so it is checked here, field by field; what is missing is shown as missing, never guessed.
 */

export interface Refusal {
  readonly code: string;
  readonly message: string;
}

export type Cell = string | null;

export interface Statement {
  /** Place in the session, unique: stream and number within it. */
  readonly key: string;
  readonly stream: number | undefined;
  readonly at: string;
  /** By which wire form: `query`, `execute`, … */
  readonly form: string;
  readonly text: string;
  readonly parameters: readonly Cell[];
  readonly columns: readonly string[];
  /** Kept rows; there may have been more, see `rowCount`. */
  readonly rows: readonly (readonly Cell[])[];
  readonly tag: string | undefined;
  readonly rowCount: number | undefined;
  readonly durationUs: number | undefined;
  readonly error: Refusal | undefined;
  readonly denied: Refusal | undefined;
  /** Why data is missing here, for a person. */
  readonly curtailed: string | undefined;
}

/** How a statement ended, for its colour and its word. */
export type Outcome = 'done' | 'failed' | 'denied' | 'open';

export function outcome(statement: Statement): Outcome {
  if (statement.denied) return 'denied';
  if (statement.error) return 'failed';
  return statement.tag === undefined && statement.durationUs === undefined ? 'open' : 'done';
}

/** Reads one statement; `undefined` if it is no object at all. `index` stands in where there is no id. */
export function readStatement(raw: unknown, index: number): Statement | undefined {
  if (!isRecord(raw)) return undefined;
  const stream = number(raw['stream']);
  const id = number(raw['id']);
  return {
    key: `${stream ?? '-'}:${id ?? `#${index}`}`,
    stream,
    at: string(raw['at']) ?? '',
    form: formName(raw['form']),
    text: string(raw['text']) ?? '',
    parameters: list(raw['parameters']).map(cell),
    columns: list(raw['columns']).map(columnName),
    rows: list(raw['rows']).map((row) => list(row).map(cell)),
    tag: string(raw['tag']),
    rowCount: number(raw['row_count']) ?? number(raw['rows_count']) ?? number(raw['count']),
    durationUs: number(raw['duration_us']),
    error: refusal(raw['error']),
    denied: refusal(raw['denied']),
    curtailed: curtailment(raw['curtailed']),
  };
}

/** What is the text of the list: the statement, or what stands for it where the form has none. */
export function headline(statement: Statement): string {
  return statement.text.trim() === '' ? `(${statement.form})` : statement.text.trim();
}

function formName(raw: unknown): string {
  const name = string(raw) ?? (isRecord(raw) ? (string(raw['kind']) ?? Object.keys(raw)[0]) : undefined);
  return (name ?? 'request').replaceAll('_', ' ');
}

function columnName(raw: unknown): string {
  return string(raw) ?? (isRecord(raw) ? string(raw['name']) : undefined) ?? '?';
}

function cell(raw: unknown): Cell {
  if (raw === null || raw === undefined) return null;
  if (typeof raw === 'string') return raw;
  if (isRecord(raw) && 'value' in raw) return cell(raw['value']);
  return JSON.stringify(raw);
}

function refusal(raw: unknown): Refusal | undefined {
  if (typeof raw === 'string' && raw !== '') return { code: '', message: raw };
  if (!isRecord(raw)) return undefined;
  return { code: string(raw['code']) ?? '', message: string(raw['message']) ?? '' };
}

function curtailment(raw: unknown): string | undefined {
  if (raw === true) return 'The recording limit was reached: later data was counted, not kept.';
  if (typeof raw === 'number') return `The recording limit of ${raw} bytes was reached: later data was counted, not kept.`;
  return string(raw);
}

function string(raw: unknown): string | undefined {
  return typeof raw === 'string' ? raw : undefined;
}

function number(raw: unknown): number | undefined {
  return typeof raw === 'number' && Number.isFinite(raw) ? raw : undefined;
}

function list(raw: unknown): readonly unknown[] {
  return Array.isArray(raw) ? raw : [];
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
