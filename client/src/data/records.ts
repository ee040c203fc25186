/**
 * The records of a file, one after the other, whatever its format: their fields, not yet looked at.
 *
 * Memory     one record, and for .parquet one group of rows; never the file.
 * Secrets    What is wrong with a record is said without a word of it.
 */

import { FedloraError } from '@fedlora/shared';
import { createReadStream } from 'node:fs';
import { extname } from 'node:path';
import { ArraySplitter, LineSplitter, type Splitter } from './split-json.js';

export type DataRecord =
  | { readonly kind: 'fields'; readonly line: number; readonly fields: ReadonlyMap<string, unknown> }
  | { readonly kind: 'bad'; readonly line: number; readonly reason: string }
  | { readonly kind: 'too-large'; readonly line: number };

/**
 * Reads by the file's ending.
 *
 * @param limit bytes of a record
 * @throws FedloraError data/not-found | data/unknown-format | data/malformed-file
 */
export async function* recordsOf(path: string, limit: number): AsyncGenerator<DataRecord> {
  switch (extname(path).toLowerCase()) {
    case '.json':
      yield* jsonRecords(path, new ArraySplitter(limit));
      break;
    case '.jsonl':
    case '.ndjson':
      yield* jsonRecords(path, new LineSplitter(limit));
      break;
    case '.csv': {
      const { csvRecords } = await import('./records-csv.js');
      yield* csvRecords(path, readBytes(path), limit);
      break;
    }
    case '.parquet': {
      const { parquetRecords } = await import('./records-parquet.js');
      yield* parquetRecords(path, limit);
      break;
    }
    default:
      throw new FedloraError('data/unknown-format', undefined, { where: path });
  }
}

/** The file in pieces, without its byte order mark. @throws FedloraError data/not-found | data/malformed-file: UTF-16 */
async function* readBytes(path: string): AsyncGenerator<Uint8Array> {
  let first = true;
  const stream = createReadStream(path, { highWaterMark: 1 << 20 });
  try {
    for await (const read of stream) {
      let chunk = read as Uint8Array;
      if (first) chunk = withoutMark(chunk, path);
      first = false;
      yield chunk;
    }
  } catch (error) {
    if (error instanceof FedloraError) throw error;
    throw new FedloraError('data/not-found', 'The file cannot be read.', { where: path, cause: error });
  }
}

async function* jsonRecords(path: string, splitter: Splitter): AsyncGenerator<DataRecord> {
  for await (const chunk of readBytes(path)) for (const piece of splitter.push(chunk)) yield parsed(piece);
  const { pieces: last, ending } = splitter.end();
  for (const piece of last) yield parsed(piece);
  if (ending.kind === 'broken') {
    if (ending.reason === 'is empty') return; // as an empty .jsonl: no rows
    throw new FedloraError('data/malformed-file', `The file ${ending.reason}.`, { where: `${path}:${ending.line}` });
  }
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function parsed({ line, bytes }: { readonly line: number; readonly bytes: Uint8Array | null }): DataRecord {
  if (bytes === null) return { kind: 'too-large', line };
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch {
    return { kind: 'bad', line, reason: 'is not UTF-8' }; // The decoder says no more.
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { kind: 'bad', line, reason: 'is no valid JSON' }; // Its message would quote the row.
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return { kind: 'bad', line, reason: 'is no JSON object' };
  return { kind: 'fields', line, fields: new Map<string, unknown>(Object.entries(value)) };
}

/** The first chunk without a byte order mark. Streams deliver at least three bytes at first unless the file has fewer. */
function withoutMark(chunk: Uint8Array, path: string): Uint8Array {
  if (chunk[0] === 0xef && chunk[1] === 0xbb && chunk[2] === 0xbf) return chunk.subarray(3);
  if ((chunk[0] === 0xff && chunk[1] === 0xfe) || (chunk[0] === 0xfe && chunk[1] === 0xff)) {
    throw new FedloraError('data/malformed-file', 'The file is UTF-16; save it as UTF-8.', { where: path });
  }
  return chunk;
}
