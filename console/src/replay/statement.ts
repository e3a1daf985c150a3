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
  readonly id: number | undefined;
  readonly at: string;
  /** By which wire form: `query`, `prepare`, `bind`, `execute`, … */
  readonly form: string;
  readonly text: string;
  readonly parameters: readonly Cell[];
  readonly columns: readonly string[];
  /** The first rows; `rowsOmitted` more were recorded. */
  readonly rows: readonly (readonly Cell[])[];
  readonly rowsOmitted: number;
  readonly rowsCount: number;
  /** Bytes of bulk data, from and to the client. */
  readonly copiedIn: number;
  readonly copiedOut: number;
  readonly tag: string | undefined;
  readonly durationUs: number | undefined;
  readonly error: Refusal | undefined;
  readonly denied: Refusal | undefined;
  /** From so many bytes on the answer was counted, not kept. */
  readonly curtailed: number | undefined;
  /** What was masked of the answer, and how often. */
  readonly masked: readonly (readonly [string, number])[];
  /** What a host's shell or command printed, as text. */
  readonly output: string;
  /** What it printed apart from that, as its errors. */
  readonly errorOutput: string;
  /** Bytes that it printed and that are left out of both. */
  readonly outputOmitted: number;
  /** It ran in a terminal. */
  readonly inTerminal: boolean;
}

/** How a statement ended, for its colour and its word. */
export type Outcome = 'done' | 'failed' | 'denied' | 'open';

/** Forms that succeed without an answer of their own: nothing has run yet. */
const SILENT = new Set(['prepare', 'bind', 'cancel', 'log_in']);

export function outcome(statement: Statement): Outcome {
  if (statement.denied) return 'denied';
  if (statement.error) return 'failed';
  if (SILENT.has(statement.form)) return 'done';
  return statement.tag === undefined && statement.durationUs === undefined ? 'open' : 'done';
}

/** Only made something ready, without trouble: what ran is shown by its `execute`. */
export function isPreparation(statement: Statement): boolean {
  return (statement.form === 'prepare' || statement.form === 'bind') && outcome(statement) === 'done';
}

/** Reads one statement; `undefined` if it is no object at all. `index` stands in where there is no id. */
export function readStatement(raw: unknown, index: number): Statement | undefined {
  if (!isRecord(raw)) return undefined;
  const stream = number(raw['stream']);
  const id = number(raw['id']);
  return {
    key: `${stream ?? '-'}:${id ?? `#${index}`}`,
    stream,
    id,
    at: string(raw['at']) ?? '',
    form: string(raw['form']) ?? 'request',
    text: string(raw['text']) ?? '',
    parameters: list(raw['parameters']).map(cell),
    columns: list(raw['columns']).map((name) => string(name) ?? '?'),
    rows: list(raw['rows']).map((row) => list(row).map(cell)),
    rowsOmitted: number(raw['rows_omitted']) ?? 0,
    rowsCount: number(raw['rows_count']) ?? 0,
    copiedIn: number(raw['copied_in']) ?? 0,
    copiedOut: number(raw['copied_out']) ?? 0,
    tag: string(raw['tag']),
    durationUs: number(raw['duration_us']),
    error: refusal(raw['error']),
    denied: refusal(raw['denied']),
    curtailed: number(raw['curtailed']),
    masked: Object.entries(isRecord(raw['masked']) ? raw['masked'] : {}).flatMap(([kind, count]) => {
      const known = number(count);
      return known === undefined ? [] : [[kind, known] as const];
    }),
    output: string(raw['output']) ?? '',
    errorOutput: string(raw['error_output']) ?? '',
    outputOmitted: number(raw['output_omitted']) ?? 0,
    inTerminal: isRecord(raw['terminal']),
  };
}

/** Forms of hosts: their text is no SQL. */
const OF_HOSTS = new Set(['shell', 'command', 'subsystem', 'forward']);
const OF_FILES: Record<string, string> = {
  read_file: 'read',
  write_file: 'write',
  read_and_write_file: 'read and write',
  list_folder: 'list',
  remove_file: 'remove',
  rename_file: 'rename',
  make_folder: 'make folder',
  remove_folder: 'remove folder',
  change_attributes: 'change attributes of',
  link_file: 'link',
};

/** Done on a host, and not asked of a database? */
export function isOfHost(statement: Statement): boolean {
  return OF_HOSTS.has(statement.form) || statement.form in OF_FILES;
}

/** Asked of a cluster's API? */
export function isOfApi(statement: Statement): boolean {
  return statement.form === 'api';
}

/** What a parameter is: of a request to an API the path, and then each field that it sets. */
export function parameterName(statement: Statement, index: number): string {
  if (!isOfApi(statement)) return `$${index + 1}`;
  return index === 0 ? 'path' : 'sets';
}

/** What is the text of the list: the statement, or what stands for it where the form has none. */
export function headline(statement: Statement): string {
  if (statement.form === 'log_in') return `(log in) ${statement.text}`.trim();
  if (statement.form === 'forward') return `forward ${statement.text}`;
  if (statement.form === 'subsystem') return `${statement.text} (subsystem)`;
  const verb = OF_FILES[statement.form];
  if (verb !== undefined) return [verb, statement.text, ...secondPath(statement)].join(' ');
  return statement.text.trim() === '' ? `(${formLabel(statement.form)})` : statement.text.trim();
}

/** Where to a file is renamed or linked. */
function secondPath(statement: Statement): string[] {
  const [path] = statement.parameters;
  return typeof path === 'string' ? ['to', path] : [];
}

/** Is its number of rows worth telling? Not of what returns and changes none by its nature. */
export function tellsRows(statement: Statement): boolean {
  return statement.tag !== undefined && (statement.rowsCount > 0 || statement.columns.length > 0);
}

/** `log_in` as people write it. */
export function formLabel(form: string): string {
  return form.replaceAll('_', ' ');
}

function cell(raw: unknown): Cell {
  if (raw === null || raw === undefined) return null;
  return typeof raw === 'string' ? raw : JSON.stringify(raw);
}

function refusal(raw: unknown): Refusal | undefined {
  return isRecord(raw) ? { code: string(raw['code']) ?? '', message: string(raw['message']) ?? '' } : undefined;
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
