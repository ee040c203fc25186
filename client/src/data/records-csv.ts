/** Records of a .csv file (RFC 4180): the first line has the names of the columns. */

import { Readable } from 'node:stream';
import { CsvError, parse, type Info } from 'csv-parse';
import { FedloraError } from '@fedlora/shared';
import type { DataRecord } from './records.js';

/** A column whose cells are JSON: a cell has no room for a list otherwise. */
const MESSAGES = 'messages';

/** @throws FedloraError data/malformed-file: no UTF-8, a quote that never ends, two columns of one name */
export async function* csvRecords(
  path: string,
  bytes: AsyncIterable<Uint8Array>,
  limit: number,
): AsyncGenerator<DataRecord> {
  const skipped: DataRecord[] = [];
  let broken: CsvError | undefined;
  const parser = parse({
    columns: (names: string[]) => columnNames(names, path),
    info: true,
    skip_empty_lines: true,
    max_record_size: limit,
    skip_records_with_error: true,
    on_skip: (error) => {
      if (error !== undefined && ENDINGS.has(error.code)) broken ??= error;
      skipped.push({ kind: 'bad', line: Number(error?.lines ?? 0), reason: reasonOf(error) });
      return undefined;
    },
  });
  const source = Readable.from(decoded(bytes, path));
  // Errors of the source end the parser, which the loop below hears.
  source.on('error', (error) => parser.destroy(error));
  source.pipe(parser);
  try {
    for await (const { record, info } of parser as AsyncIterable<{ record: Record<string, string>; info: Info }>) {
      yield* skipped.splice(0);
      yield fieldsOf(record, info.lines);
    }
  } catch (error) {
    if (error instanceof FedloraError) throw error;
    throw malformed(path, error);
  }
  if (broken !== undefined) throw malformed(path, broken);
  yield* skipped.splice(0);
}

/** After these what follows in the file is in one cell. */
const ENDINGS: ReadonlySet<string> = new Set(['CSV_QUOTE_NOT_CLOSED', 'CSV_MAX_RECORD_SIZE']);

/** The message of the parser may quote the row; ours does not. */
function malformed(path: string, error: unknown): FedloraError {
  const line = error instanceof CsvError && typeof error.lines === 'number' ? `:${error.lines}` : '';
  const message = 'The file is no CSV: look for a quote that never ends, or a row that is very long.';
  return new FedloraError('data/malformed-file', message, { where: `${path}${line}` });
}

/** A row is an object with a member for each column. */
const MOST_COLUMNS = 1024;

function columnNames(names: readonly string[], path: string): string[] {
  if (names.length > MOST_COLUMNS)
    throw new FedloraError('data/malformed-file', `The file has over ${MOST_COLUMNS} columns.`, { where: `${path}:1` });
  const plain = names.map((name) => name.trim().toLowerCase());
  const twice = plain.find((name, i) => plain.indexOf(name) !== i);
  if (twice !== undefined)
    throw new FedloraError('data/malformed-file', 'Two columns have the same name.', { where: `${path}:1` });
  return plain;
}

/** The message of an error may quote the row; its code does not. */
function reasonOf(error: CsvError | undefined): string {
  return error?.code === 'CSV_RECORD_INCONSISTENT_COLUMNS'
    ? 'has more or fewer cells than there are columns'
    : 'is no row of a CSV file';
}

function fieldsOf(record: Readonly<Record<string, string>>, line: number): DataRecord {
  const fields = new Map<string, unknown>(Object.entries(record));
  const messages = fields.get(MESSAGES);
  if (typeof messages === 'string') {
    try {
      fields.set(MESSAGES, JSON.parse(messages));
    } catch {
      return { kind: 'bad', line, reason: 'has no valid JSON in `messages`' };
    }
  }
  return { kind: 'fields', line, fields };
}

async function* decoded(bytes: AsyncIterable<Uint8Array>, path: string): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  try {
    for await (const chunk of bytes) yield decoder.decode(chunk, { stream: true });
    yield decoder.decode();
  } catch (error) {
    if (error instanceof FedloraError) throw error;
    throw new FedloraError('data/malformed-file', 'The file is not UTF-8.', { where: path });
  }
}
