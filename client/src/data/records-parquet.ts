/** Records of a .parquet file, in JavaScript and WebAssembly: no native reader looks at a file that a stranger may have made. */

import { stat } from 'node:fs/promises';
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects, type FileMetaData } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { FedloraError } from '@fedlora/shared';
import type { DataRecord } from './records.js';

/** A group of rows is decoded as a whole: these bound the memory that a file can ask for. */
const MOST_GROUP_BYTES = 1 << 30;
const MOST_GROUP_ROWS = 4_000_000;

/** @throws FedloraError data/not-found | data/malformed-file */
export async function* parquetRecords(path: string, limit: number): AsyncGenerator<DataRecord> {
  await stat(path).catch((cause: unknown) => {
    throw new FedloraError('data/not-found', 'The file cannot be read.', { where: path, cause });
  });
  const file = await asyncBufferFromFile(path);
  const metadata = await orMalformed(path, () => parquetMetadataAsync(file));
  checkSizes(metadata, path);
  let rowStart = 0;
  for (const { num_rows: rowsOfGroup } of metadata.row_groups) {
    const rowEnd = rowStart + Number(rowsOfGroup);
    const range = { file, metadata, compressors, rowStart, rowEnd };
    for (const row of await orMalformed(path, () => parquetReadObjects(range))) yield recordOf(row, ++rowStart, limit);
    rowStart = rowEnd;
  }
}

function recordOf(row: Readonly<Record<string, unknown>>, line: number, limit: number): DataRecord {
  const fields = new Map(Object.entries(row).map(([name, value]) => [name.trim().toLowerCase(), value]));
  return textLength([...fields.values()]) > limit ? { kind: 'too-large', line } : { kind: 'fields', line, fields };
}

/** Characters of the texts of a value, however deep. */
function textLength(value: unknown): number {
  if (typeof value === 'string') return value.length;
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return 0;
  return Object.values(value).reduce((sum: number, one) => sum + textLength(one), 0);
}

function checkSizes({ row_groups: groups }: FileMetaData, path: string): void {
  const isSane = groups.every(
    ({ num_rows: rows, total_byte_size: bytes }) => rows >= 0 && rows <= MOST_GROUP_ROWS && bytes <= MOST_GROUP_BYTES,
  );
  if (!isSane)
    throw new FedloraError(
      'data/malformed-file',
      'A group of rows is over 1 GiB or 4,000,000 rows; write the file in smaller groups.',
      {
        where: path,
      },
    );
}

/** What the reader throws may quote the file. */
async function orMalformed<Value>(path: string, read: () => Promise<Value>): Promise<Value> {
  try {
    return await read();
  } catch {
    throw new FedloraError('data/malformed-file', 'The file is damaged, cut short, or no Parquet.', { where: path });
  }
}
