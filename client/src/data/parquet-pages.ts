/**
 * What a .parquet file will take in memory, read from its pages' headers before any page is: a file of some kilobytes can ask for
 * gigabytes otherwise, by compression, by run lengths, or by values that repeat the beginning of the one before.
 */

import type { AsyncBuffer, ColumnMetaData, Compressors, PageHeader, RowGroup } from 'hyparquet';
import { parquetHeader } from 'hyparquet/src/column.js';
import { compressors } from 'hyparquet-compressors';
import { decompress as decompressZstd } from 'fzstd';

export interface PageLimits {
  /** Rows of a group: pyarrow writes up to 2^20. */
  readonly rows: number;
  /** Values of a column in a group, those in lists counted one by one. */
  readonly values: number;
  /** Bytes of a group when they are decompressed, in the columns that are read. */
  readonly bytes: number;
}

export const pageLimits: PageLimits = { rows: 1 << 21, values: 1 << 22, bytes: 256 << 20 };

/** A file that asks for too much, or for what cannot be bounded. The message has no word of it. */
export class UnboundedPages extends Error {}

/** They allocate what the page's header says, which is checked before; that of ZSTD would go by what the data says itself. */
export const boundedCompressors: Compressors = {
  ...compressors,
  ZSTD: (input, length) => decompressZstd(input, new Uint8Array(length)),
};

/** A value can be as long as all values before it together, in a file that does not grow with it. */
const UNBOUNDED_ENCODING = 'DELTA_BYTE_ARRAY';

/**
 * Walks over the headers of the pages of a group.
 *
 * @param columns the columns that are read, by name, and whether each has exactly one value in a row
 * @throws UnboundedPages; anything else that a damaged file makes the reader throw
 */
export async function checkGroup(
  file: AsyncBuffer,
  group: RowGroup,
  columns: ReadonlyMap<string, boolean>,
  limits: PageLimits,
): Promise<void> {
  const rows = Number(group.num_rows);
  if (!(rows >= 0 && rows <= limits.rows)) throw tooMuch(limits);
  let bytes = 0;
  for (const { meta_data: column } of group.columns) {
    if (column === undefined) throw new Error('The column has no metadata.');
    const isFlat = columns.get(column.path_in_schema[0]);
    if (isFlat === undefined) continue;
    const { start, end } = rangeOf(column);
    if (!(start >= 0 && end >= start && end <= file.byteLength)) throw new Error('The column is outside of the file.');
    const view = new DataView(await file.slice(start, end));
    // As the reader does: a flat column ends with its last row, any other with its bytes.
    const isOver = (values: number, offset: number): boolean =>
      offset >= view.byteLength - 1 || (isFlat && values >= rows);
    const reader = { view, offset: 0 };
    let values = 0;
    while (!isOver(values, reader.offset)) {
      const header = parquetHeader(reader);
      bytes += sizeOf(header);
      values += valuesOf(header);
      if (bytes > limits.bytes || values > limits.values) throw tooMuch(limits);
      reader.offset += header.compressed_page_size;
    }
  }
}

/** Where a column's pages stand, first that of its dictionary. */
function rangeOf({
  dictionary_page_offset: dictionary,
  data_page_offset: data,
  total_compressed_size: size,
}: ColumnMetaData) {
  const start = Number(dictionary === undefined || dictionary === 0n || data < dictionary ? data : dictionary);
  return { start, end: start + Number(size) };
}

function sizeOf({ uncompressed_page_size: whole, compressed_page_size: packed }: PageHeader): number {
  if (!isCount(whole) || !isCount(packed)) throw new Error('A page has no size.');
  return whole;
}

/** Values of a page's data; a dictionary's are held by its bytes. @throws UnboundedPages */
function valuesOf({ data_page_header: one, data_page_header_v2: two, dictionary_page_header: dictionary }: PageHeader) {
  const data = one ?? two;
  if (data?.encoding === UNBOUNDED_ENCODING)
    throw new UnboundedPages(
      `A column has the encoding ${UNBOUNDED_ENCODING}, whose size in memory has no bound; write it with a dictionary, or plain.`,
    );
  const count = data?.num_values ?? dictionary?.num_values ?? 0;
  const nulls = two?.num_nulls ?? 0;
  if (!isCount(count) || !isCount(nulls) || nulls > count) throw new Error('A page has no number of values.');
  return count;
}

function isCount(value: unknown): boolean {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function tooMuch({ rows, values, bytes }: PageLimits): UnboundedPages {
  return new UnboundedPages(
    `A group of rows is over ${rows} rows, ${values} values or ${bytes} bytes; write the file in smaller groups.`,
  );
}
