import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parquetWriteBuffer, type ParquetWriteOptions } from 'hyparquet-writer';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { gzipSync } from 'node:zlib';
import { pageLimits, type PageLimits } from './parquet-pages.js';
import { parquetRecords } from './records-parquet.js';

/** Bytes that the decompressors were asked to allocate. */
const allocated = vi.hoisted(() => [] as number[]);
vi.mock('hyparquet-compressors', async (original) => {
  const { compressors } = await original<typeof import('hyparquet-compressors')>();
  const counted = Object.entries(compressors).map(([codec, decompress]) => [
    codec,
    (input: Uint8Array, length: number) => {
      allocated.push(length);
      return decompress(input, length);
    },
  ]);
  return { compressors: Object.fromEntries(counted) };
});

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fedlora-pages-'));
  allocated.length = 0;
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

async function write(options: Omit<ParquetWriteOptions, 'writer'>): Promise<{ path: string; bytes: number }> {
  const content = new Uint8Array(parquetWriteBuffer(options));
  const path = join(directory, 'a.parquet');
  await writeFile(path, content);
  return { path, bytes: content.length };
}

async function count(path: string, limits: Partial<PageLimits> = {}): Promise<number> {
  let rows = 0;
  for await (const record of parquetRecords(path, 1 << 24, { ...pageLimits, ...limits }))
    if (record.kind === 'fields') rows += 1;
  return rows;
}

const refused = { code: 'data/malformed-file' };
const gzip = { codec: 'GZIP', compressors: { GZIP: (input: Uint8Array) => new Uint8Array(gzipSync(input)) } } as const;

describe('attack: a tiny .parquet file that asks for much memory', () => {
  it.each([
    ['SNAPPY', {}],
    ['GZIP', gzip],
  ])('by compression (%s): is refused before anything is decompressed', async (_codec, options) => {
    const data = ['x'.repeat(8 << 20)];
    const { path, bytes } = await write({ columnData: [{ name: 'text', data, encoding: 'PLAIN' }], ...options });
    expect(bytes).toBeLessThan(1 << 20);
    await expect(count(path, { bytes: 4 << 20 })).rejects.toMatchObject(refused);
    expect(allocated).toEqual([]);
    expect(await count(path)).toBe(1);
  });

  it('by a dictionary: is refused before it is decompressed', async () => {
    const data = Array.from({ length: 200 }, (_, i) => `${'x'.repeat(40_000)}${i % 100}`);
    const { path } = await write({ columnData: [{ name: 'text', data, encoding: 'RLE_DICTIONARY' }], ...gzip });
    await expect(count(path, { bytes: 1 << 20 })).rejects.toMatchObject(refused);
    expect(allocated).toEqual([]);
  });

  it('by runs of equal values: is refused by their number', async () => {
    const data = new Array<string>(100_000).fill('the same');
    const { path, bytes } = await write({ columnData: [{ name: 'text', data, encoding: 'RLE_DICTIONARY' }] });
    expect(bytes).toBeLessThan(2000);
    await expect(count(path, { rows: 50_000 })).rejects.toMatchObject(refused);
    await expect(count(path, { values: 50_000 })).rejects.toMatchObject(refused);
    expect(await count(path)).toBe(100_000);
  });

  it('by equal rows in group after group: is refused by the number of rows for its size', async () => {
    const data = new Array<boolean>(2_200_000).fill(true);
    const { path, bytes } = await write({ columnData: [{ name: 'text', data }], rowGroupSize: 1_000_000 });
    expect(bytes).toBeLessThan(50_000);
    await expect(count(path)).rejects.toMatchObject(refused);
  });

  it('by values that repeat the beginning of the one before: is refused by its encoding', async () => {
    const data = Array.from({ length: 1000 }, (_, i) => `${'x'.repeat(10_000)}${i}`);
    const { path, bytes } = await write({ columnData: [{ name: 'text', data, encoding: 'DELTA_BYTE_ARRAY' }] });
    expect(bytes).toBeLessThan(100_000);
    await expect(count(path)).rejects.toThrow(/DELTA_BYTE_ARRAY/);
  });

  it('in a column that no format has: is not read at all', async () => {
    const columnData = [
      { name: 'text', data: ['a'] },
      { name: 'bomb', data: ['x'.repeat(8 << 20)], encoding: 'PLAIN' as const },
    ];
    const { path } = await write({ columnData });
    expect(await count(path, { bytes: 1000 })).toBe(1);
    expect(allocated.every((length) => length < 1000)).toBe(true);
  });
});
