import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FedloraError } from '@fedlora/shared';
import { readRows, type ReadOptions } from './rows.js';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fedlora-records-'));
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

async function read(name: string, content: string | Uint8Array, options: Partial<ReadOptions> = {}) {
  const path = join(directory, name);
  await writeFile(path, content);
  return readRows([path], { format: 'alpaca', maximumBadFraction: 1, ...options });
}

describe('.csv', () => {
  it('has its columns by name in the first line, whatever their order and case; cells with commas, quotes and line feeds', async () => {
    const { rows } = await read(
      'a.csv',
      '\ufeffOutput, Instruction ,id\r\n"say ""hello"", twice",ask,1\r\n"two\nlines",again,2\r\n',
    );
    expect(rows).toEqual([
      expect.objectContaining({ instruction: 'ask', input: '', output: 'say "hello", twice', line: 2 }),
      expect.objectContaining({ instruction: 'again', output: 'two\nlines' }),
    ]);
  });

  it('has messages as JSON in a cell', async () => {
    const messages = [
      { role: 'user', content: 'hi, "you"' },
      { role: 'assistant', content: 'hello' },
    ];
    const cell = `"${JSON.stringify(messages).replaceAll('"', '""')}"`;
    const { rows, problems } = await read('a.csv', `messages\n${cell}\nnonsense\n`, { format: 'messages' });
    expect(rows).toMatchObject([{ messages }]);
    expect(problems).toMatchObject([{ reason: 'has no valid JSON in `messages`', line: 3 }]);
  });

  it('says which rows have another number of cells, and goes on', async () => {
    const { rows, problems } = await read('a.csv', 'instruction,output\na,b\nmy secret\nc,d,e\nf,g\n');
    expect(rows).toHaveLength(2);
    expect(problems.map(({ line }) => line)).toEqual([3, 4]);
    expect(problems[0].reason).toBe('has more or fewer cells than there are columns');
    expect(JSON.stringify(problems)).not.toContain('secret');
  });

  it.each([
    ['a quote that never ends', 'instruction,output\n"my secret,b\nc,d\n', /quote that never ends/],
    ['bytes that are no UTF-8', Buffer.from('instruction,output\n\xff\xfe\xfa,b\n', 'latin1'), /not UTF-8/],
    ['two columns of one name', 'output,Output\na,b\n', /same name/],
  ])('is refused as a whole with %s, and no word of it is quoted', async (_name, content, why) => {
    const failure = await read('a.csv', content).then(
      () => expect.fail('it was read'),
      (error: unknown) => error as FedloraError,
    );
    expect(failure).toMatchObject({ code: 'data/malformed-file' });
    expect(failure.message).toMatch(why);
    expect(JSON.stringify([failure, failure.message, failure.cause])).not.toContain('secret');
  });

  it('is refused with more columns than anybody reads', async () => {
    const many = Array.from({ length: 1025 }, (_, i) => `c${i}`);
    await expect(read('a.csv', `${many.join(',')}\n`)).rejects.toThrow(/over 1024 columns/);
    const few = ['instruction', 'output', ...many.slice(3)];
    expect((await read('b.csv', `${few.join(',')}\n${few.join(',')}\n`)).rows).toHaveLength(1);
  });

  it('gives back what was written (property)', async () => {
    const cell = fc.string({ minLength: 1, maxLength: 30, unit: 'grapheme' }).filter((text) => text.trim() !== '');
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(cell, cell), { minLength: 1, maxLength: 8 }), async (pairs) => {
        const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`;
        const content = ['instruction,output', ...pairs.map((pair) => pair.map(quoted).join(','))].join('\r\n');
        const { rows } = await read('p.csv', content);
        expect(rows.map((row) => row.format === 'alpaca' && [row.instruction, row.output])).toEqual(pairs);
      }),
      { numRuns: 60 },
    );
  });
});

describe('.parquet', () => {
  const file = (columnData: { name: string; data: unknown[]; type?: 'JSON' }[], options: object = {}): Uint8Array =>
    // Safe: names and values of one kind each.
    new Uint8Array(parquetWriteBuffer({ columnData, ...options }));
  const columns = (n: number) => [
    { name: 'instruction', data: Array.from({ length: n }, (_, i) => `ask ${i}`) },
    { name: 'Output', data: Array.from({ length: n }, (_, i) => `say ${i}`) },
  ];

  it('gives its rows in order, over several groups, by number', async () => {
    const { rows } = await read('a.parquet', file(columns(250), { rowGroupSize: 100 }));
    expect(rows).toHaveLength(250);
    expect(rows[249]).toMatchObject({ instruction: 'ask 249', input: '', output: 'say 249', line: 250 });
  });

  it('says which rows lack a text, and which are over the limit', async () => {
    const { rows, problems } = await read(
      'a.parquet',
      file([
        { name: 'instruction', data: ['a', null, 'c', 'x'.repeat(100)] },
        { name: 'output', data: ['A', 'B', 'C', 'D'] },
      ]),
      { maximumRowBytes: 50 },
    );
    expect(rows.map(({ line }) => line)).toEqual([1, 3]);
    expect(problems.map(({ line, reason }) => [line, reason])).toEqual([
      [2, 'has no text in `instruction`'],
      [4, 'is over 50 bytes'],
    ]);
  });

  it('has lists of messages, and columns that no format has are not read', async () => {
    const messages = [
      { role: 'user', content: 'ask' },
      { role: 'assistant', content: 'say' },
    ];
    const { rows } = await read(
      'a.parquet',
      file([
        { name: 'id', data: [7, 8] },
        { name: 'Messages', data: [messages, messages], type: 'JSON' },
      ]),
      { format: 'auto' },
    );
    expect(rows).toMatchObject([{ messages }, { messages }]);
    await expect(read('b.parquet', file([{ name: 'id', data: [7] }]), { format: 'auto' })).rejects.toThrow(
      /has the fields of no format/,
    );
    await expect(read('c.parquet', file([...columns(1), { name: 'OUTPUT ', data: ['b'] }]))).rejects.toThrow(
      /same name/,
    );
  });

  it('cut short or changed anywhere, is read or refused with an error of ours', async () => {
    const good = file(columns(40));
    await writeFile(join(directory, 'good.parquet'), good);
    expect((await readFile(join(directory, 'good.parquet'))).length).toBe(good.length);
    await expect(read('cut.parquet', good.subarray(0, good.length - 5))).rejects.toMatchObject({
      code: 'data/malformed-file',
    });
    await expect(read('none.parquet', 'hello')).rejects.toMatchObject({ code: 'data/malformed-file' });
    await fc.assert(
      fc.asyncProperty(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
        const bent = good.slice();
        bent[at] ^= flip;
        try {
          await read('bent.parquet', bent);
        } catch (error) {
          expect(error).toBeInstanceOf(FedloraError);
          expect((error as FedloraError).code).not.toBe('internal/unexpected');
        }
      }),
      { numRuns: 300 },
    );
  });
});
