/**
 * Reads the owner's rows from .json, .jsonl, .csv and .parquet files, and says of bad ones where they are.
 *
 * Secrets    A problem names file, line and field, and never quotes the row: problems are logged and shown. JSON.parse quotes its
 *            input in its messages, so they are not passed on, not even as a cause.
 */

import { FedloraError } from '@fedlora/shared';
import { recordsOf } from './records.js';
import { formatOf, nameOfFormat, type GivenFormat, type RowFormat } from './row-formats.js';

/** Where a row was read. */
export interface RowOrigin {
  readonly file: string;
  /** From 1; in a .json array the line on which the row begins; in a .parquet file the row's number. */
  readonly line: number;
}

export interface AlpacaRow extends RowOrigin {
  readonly format: 'alpaca';
  readonly instruction: string;
  /** Empty for none. */
  readonly input: string;
  readonly output: string;
}

export interface TextRow extends RowOrigin {
  readonly format: 'text';
  readonly text: string;
}

export interface Message {
  readonly role: string;
  readonly content: string;
}

export interface MessagesRow extends RowOrigin {
  readonly format: 'messages';
  /** At least two; the last is the assistant's. */
  readonly messages: readonly Message[];
}

export type Row = AlpacaRow | TextRow | MessagesRow;

export interface RowProblem extends RowOrigin {
  readonly code: 'data/malformed-row' | 'data/row-too-large';
  /** Without a word of the row. */
  readonly reason: string;
}

export interface ReadOptions {
  readonly format: GivenFormat;
  /** Share of bad rows over which the files are refused as a whole; they are, too, where every row is bad. */
  readonly maximumBadFraction?: number;
  /** Limit of one row, before it is parsed. */
  readonly maximumRowBytes?: number;
}

export interface ReadRows {
  readonly rows: readonly Row[];
  readonly problems: readonly RowProblem[];
}

/** Problems that the error for too many of them lists. */
const LISTED_PROBLEMS = 10;

const ROLES: readonly unknown[] = ['system', 'user', 'assistant', 'tool', 'developer'];

/**
 * The rows of the files and what is wrong with others, in order, one at a time.
 *
 * Edge cases BOM, CRLF, blank lines of .jsonl -> skipped | further fields of a row -> ignored | `input` absent or null -> none
 *            | a row over the limit -> a problem, never in memory as a whole | file cut short -> refused as a whole
 *            | `messages` of a .csv -> the same as JSON in its cell | format `auto` -> that of the first row that has one, for all
 * Memory     one row, and for .parquet one group of rows.
 * Guarantee  rows and problems together are all rows of the files.
 * @throws FedloraError data/not-found | data/unknown-format | data/malformed-file
 */
export async function* streamRows(
  paths: readonly string[],
  { format, maximumRowBytes = 16 << 20 }: Pick<ReadOptions, 'format' | 'maximumRowBytes'>,
): AsyncGenerator<Row | RowProblem> {
  let known = format === 'auto' ? undefined : format;
  for (const file of paths) {
    for await (const record of recordsOf(file, maximumRowBytes)) {
      const origin: RowOrigin = { file, line: record.line };
      if (record.kind === 'too-large') {
        yield { ...origin, code: 'data/row-too-large', reason: `is over ${maximumRowBytes} bytes` };
        continue;
      }
      if (record.kind === 'fields') known ??= formatOf(record.fields);
      const parsed = record.kind === 'bad' ? record.reason : parseRow(record.fields, known, origin);
      yield typeof parsed === 'string' ? { ...origin, code: 'data/malformed-row', reason: parsed } : parsed;
    }
  }
}

export function isProblem(one: Row | RowProblem): one is RowProblem {
  return 'reason' in one;
}

/**
 * Gives all rows of the files to `use`, in order, and returns what is wrong with the others: see `streamRows`.
 *
 * Memory  one row, beside the problems: what is kept of rows is the caller's.
 * @throws FedloraError data/not-found | data/unknown-format | data/malformed-file | data/too-many-bad-rows | data/empty
 */
export async function eachRow(
  paths: readonly string[],
  options: ReadOptions,
  use: (row: Row) => void,
): Promise<readonly RowProblem[]> {
  const { maximumBadFraction = 0.05 } = options;
  const problems: RowProblem[] = [];
  let { format } = options;
  let rows = 0;
  for await (const one of streamRows(paths, options)) {
    if (isProblem(one)) problems.push(one);
    else {
      ({ format } = one);
      rows += 1;
      use(one);
    }
  }
  const total = rows + problems.length;
  if (problems.length > 0 && (problems.length > maximumBadFraction * total || rows === 0)) {
    const listed = problems.slice(0, LISTED_PROBLEMS).map(({ file, line, reason }) => `${file}:${line} ${reason}`);
    if (problems.length > LISTED_PROBLEMS) listed.push('...');
    throw new FedloraError(
      'data/too-many-bad-rows',
      `${problems.length} of ${total} rows are bad for the format ${nameOfFormat(format)}.`,
      {
        where: listed.join('; '),
        details: { bad: problems.length, rows: total },
      },
    );
  }
  if (rows === 0) throw noRows(paths);
  return problems;
}

/**
 * Reads all rows of the files, in order: see `eachRow`.
 *
 * Memory  all rows: for what compares them with each other.
 */
export async function readRows(paths: readonly string[], options: ReadOptions): Promise<ReadRows> {
  const rows: Row[] = [];
  const problems = await eachRow(paths, options, (row) => rows.push(row));
  return { rows, problems };
}

/** The format of files: as it is known, or that of the first row that has one. @throws as `streamRows` | FedloraError data/empty */
export async function formatOfRows(paths: readonly string[], format: GivenFormat): Promise<RowFormat> {
  if (format !== 'auto') return format;
  for await (const one of streamRows(paths, { format })) if (!isProblem(one)) return one.format;
  throw noRows(paths);
}

/** Of files that could be read. */
export function noRows(paths: readonly string[]): FedloraError {
  return new FedloraError('data/empty', 'The files have no rows.', { where: paths.join(', ') });
}

/** The row, or what is wrong with it. */
function parseRow(
  fields: ReadonlyMap<string, unknown>,
  format: RowFormat | undefined,
  origin: RowOrigin,
): Row | string {
  switch (format) {
    case undefined:
      return 'has the fields of no format: `instruction` and `output`, `messages`, or `text`';
    case 'alpaca':
      return parseAlpaca(fields, origin);
    case 'text':
      return parseText(fields, origin);
    case 'messages':
      return parseMessages(fields, origin);
    default:
      return format satisfies never;
  }
}

function parseAlpaca(fields: ReadonlyMap<string, unknown>, origin: RowOrigin): Row | string {
  const instruction = fields.get('instruction');
  const input = fields.get('input') ?? '';
  const output = fields.get('output');
  if (!isFilled(instruction)) return complain('instruction', instruction);
  if (typeof input !== 'string') return complain('input', input);
  if (!isFilled(output)) return complain('output', output);
  return { ...origin, format: 'alpaca', instruction, input, output };
}

function parseText(fields: ReadonlyMap<string, unknown>, origin: RowOrigin): Row | string {
  const text = fields.get('text');
  return isFilled(text) ? { ...origin, format: 'text', text } : complain('text', text);
}

function parseMessages(fields: ReadonlyMap<string, unknown>, origin: RowOrigin): Row | string {
  const list = fields.get('messages');
  if (!Array.isArray(list)) return 'has no list `messages`';
  const messages: Message[] = [];
  for (const [i, item] of (list as unknown[]).entries()) {
    if (typeof item !== 'object' || item === null) return `has no object in \`messages[${i}]\``;
    const { role, content } = item as Readonly<Record<string, unknown>>;
    if (typeof role !== 'string' || !ROLES.includes(role)) return `has no known role in \`messages[${i}]\``;
    if (typeof content !== 'string') return `has no text in \`messages[${i}].content\``;
    messages.push({ role, content });
  }
  if (messages.some(({ role }, i) => role === 'system' && i > 0)) return 'has a system message that is not the first';
  if (!messages.some(({ role }) => role === 'user')) return 'has no message of a user';
  const last = messages.at(-1);
  if (messages.length < 2 || last?.role !== 'assistant')
    return 'has `messages` that do not end with an answer of the assistant';
  if (!isFilled(last.content)) return 'has an empty answer at the end of `messages`';
  return { ...origin, format: 'messages', messages };
}

function isFilled(value: unknown): value is string {
  return typeof value === 'string' && value.trim() !== '';
}

function complain(field: string, value: unknown): string {
  if (value === undefined) return `lacks \`${field}\``;
  return typeof value === 'string' ? `has an empty \`${field}\`` : `has no text in \`${field}\``;
}
