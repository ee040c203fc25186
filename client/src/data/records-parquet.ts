/** Records of a .parquet file, in JavaScript and WebAssembly: no native reader looks at a file that a stranger may have made. */

import { stat } from 'node:fs/promises';
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects, type FileMetaData } from 'hyparquet';
import { FedloraError } from '@fedlora/shared';
import { boundedCompressors, checkGroup, pageLimits, UnboundedPages } from './parquet-pages.js';
import type { DataRecord } from './records.js';
import { rowFields } from './row-formats.js';

/** A file may have so many rows whatever its size, and one more for each byte: equal rows are written in no space at all. */
const ROWS_OF_ANY_FILE = 1 << 21;

/**
 * Only the columns that a row of some format has are read.
 *
 * Memory  one group of rows, decompressed: up to `pageLimits`, which are checked before.
 * @throws FedloraError data/not-found | data/malformed-file
 */
export async function* parquetRecords(path: string, limit: number, limits = pageLimits): AsyncGenerator<DataRecord> {
  await stat(path).catch((cause: unknown) => {
    throw new FedloraError('data/not-found', 'The file cannot be read.', { where: path, cause });
  });
  const file = await asyncBufferFromFile(path);
  const [metadata, columns] = await orMalformed(path, async () => {
    const read = await parquetMetadataAsync(file);
    checkRows(read, file.byteLength, path);
    return [read, columnsRead(read, path)] as const;
  });
  let rowStart = 0;
  for (const group of metadata.row_groups) {
    const rowEnd = rowStart + Number(group.num_rows);
    const range = { file, metadata, columns: [...columns.keys()], compressors: boundedCompressors, rowStart, rowEnd };
    const rows = await orMalformed(path, async () => {
      await checkGroup(file, group, columns, limits);
      return parquetReadObjects(range);
    });
    for (const row of rows) yield recordOf(row, ++rowStart, limit);
    rowStart = rowEnd;
  }
}

function recordOf(row: Readonly<Record<string, unknown>>, line: number, limit: number): DataRecord {
  const fields = new Map(Object.entries(row).map(([name, value]) => [plain(name), value]));
  return textLength([...fields.values()]) > limit ? { kind: 'too-large', line } : { kind: 'fields', line, fields };
}

/** Characters of the texts of a value, however deep. */
function textLength(value: unknown): number {
  if (typeof value === 'string') return value.length;
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return 0;
  return Object.values(value).reduce((sum: number, one) => sum + textLength(one), 0);
}

function plain(name: string): string {
  return name.trim().toLowerCase();
}

function checkRows({ row_groups: groups }: FileMetaData, bytes: number, path: string): void {
  const rows = groups.reduce((sum, group) => sum + Number(group.num_rows), 0);
  if (!(rows <= ROWS_OF_ANY_FILE + bytes))
    throw new FedloraError(
      'data/malformed-file',
      `The file has ${rows} rows in ${bytes} bytes, nearly all of them equal.`,
      {
        where: path,
      },
    );
}

/**
 * Names as the file has them, and whether each has exactly one value in a row.
 *
 * @throws FedloraError data/malformed-file: two that differ in case or spaces only
 */
function columnsRead({ schema }: FileMetaData, path: string): ReadonlyMap<string, boolean> {
  const columns = new Map<string, boolean>();
  let read = 0;
  // The tree in the order of a walk: after a child of the root and all that hangs on it comes the next.
  for (let at = 1; at < schema.length; at = afterElement(schema, at)) {
    const { name, num_children: children, repetition_type: repetition } = schema[at];
    if (!rowFields.includes(plain(name))) continue;
    read += 1;
    columns.set(name, (children ?? 0) === 0 && repetition !== 'REPEATED');
  }
  if (new Set([...columns.keys()].map(plain)).size < read)
    throw new FedloraError('data/malformed-file', 'Two columns have the same name.', { where: path });
  return columns;
}

function afterElement(schema: FileMetaData['schema'], at: number): number {
  let open = 1;
  let next = at;
  while (open > 0 && next < schema.length) open += (schema[next++].num_children ?? 0) - 1;
  return next;
}

/** What the reader throws may quote the file, as may whatever trips over metadata that lack what they must have. */
async function orMalformed<Value>(path: string, read: () => Promise<Value>): Promise<Value> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof FedloraError) throw error;
    const message = error instanceof UnboundedPages ? error.message : 'The file is damaged, cut short, or no Parquet.';
    throw new FedloraError('data/malformed-file', message, { where: path });
  }
}
