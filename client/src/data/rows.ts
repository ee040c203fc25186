/**
 * Reads the owner's rows from .json, .jsonl, .csv and .parquet files, and says of bad ones where they are.
 *
 * Secrets    A problem names file, line and field, and never quotes the row: problems are logged and shown. JSON.parse quotes its
 *            input in its messages, so they are not passed on, not even as a cause.
 */

import { FedloraError } from '@fedlora/shared';
import { recordsOf } from './records.js';

export type RowFormat = 'alpaca' | 'text' | 'messages';

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
  readonly format: RowFormat;
  /** Share of bad rows over which the files are refused as a whole. */
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
 * Reads all rows of the files, in order.
 *
 * Edge cases BOM, CRLF, blank lines of .jsonl -> skipped | further fields of a row -> ignored | `input` absent or null -> none
 *            | a row over the limit -> a problem, never in memory as a whole | file cut short -> refused as a whole
 *            | `messages` of a .csv -> the same as JSON in its cell
 * Guarantee  rows and problems together are all rows of the files.
 * @throws FedloraError data/not-found | data/unknown-format | data/malformed-file | data/too-many-bad-rows | data/empty
 */
export async function readRows(paths: readonly string[], options: ReadOptions): Promise<ReadRows> {
  const { format, maximumBadFraction = 0.05, maximumRowBytes = 16 << 20 } = options;
  const rows: Row[] = [];
  const problems: RowProblem[] = [];
  for (const path of paths) {
    for await (const record of recordsOf(path, maximumRowBytes)) {
      const origin: RowOrigin = { file: path, line: record.line };
      if (record.kind === 'too-large') {
        problems.push({ ...origin, code: 'data/row-too-large', reason: `is over ${maximumRowBytes} bytes` });
        continue;
      }
      const parsed = record.kind === 'bad' ? record.reason : parseRow(record.fields, format, origin);
      if (typeof parsed === 'string') problems.push({ ...origin, code: 'data/malformed-row', reason: parsed });
      else rows.push(parsed);
    }
  }
  const total = rows.length + problems.length;
  if (problems.length > maximumBadFraction * total) {
    const listed = problems.slice(0, LISTED_PROBLEMS).map(({ file, line, reason }) => `${file}:${line} ${reason}`);
    if (problems.length > LISTED_PROBLEMS) listed.push('...');
    throw new FedloraError(
      'data/too-many-bad-rows',
      `${problems.length} of ${total} rows are bad for the format ${format}.`,
      {
        where: listed.join('; '),
        details: { bad: problems.length, rows: total },
      },
    );
  }
  if (rows.length === 0) throw new FedloraError('data/empty', 'The files have no rows.', { where: paths.join(', ') });
  return { rows, problems };
}

/** The row, or what is wrong with it. */
function parseRow(fields: ReadonlyMap<string, unknown>, format: RowFormat, origin: RowOrigin): Row | string {
  switch (format) {
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
