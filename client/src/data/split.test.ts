import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { describe, expect, it } from 'vitest';
import { readRows, type AlpacaRow, type Row } from './rows.js';
import { isHeldOut, splitRows } from './split.js';

const rows = Array.from({ length: 2000 }, (_, i): AlpacaRow => ({
  format: 'alpaca',
  file: 'a.json',
  line: i,
  instruction: 'name it',
  input: `${i}`,
  output: 'x',
}));

describe('splitRows', () => {
  it('keeps back about the fraction, and loses none', () => {
    const { train, evaluation } = splitRows(rows, 0.1);
    expect(train.length + evaluation.length).toBe(2000);
    expect(Math.abs(evaluation.length - 200)).toBeLessThan(70); // five standard deviations
    expect(splitRows(rows, 0).evaluation).toEqual([]);
    expect(splitRows(rows, 1).train).toEqual([]);
  });

  it('leaves every row on its side when others come, go or move', () => {
    const side = new Set(splitRows(rows, 0.2).evaluation);
    const fewer = splitRows(
      [...rows].reverse().filter(({ line }) => line % 3 !== 0),
      0.2,
    ).evaluation;
    for (const row of fewer) expect(side.has(row as AlpacaRow)).toBe(true);
  });

  it('keeps back, of a larger fraction, what it kept of a smaller one and more', () => {
    for (const row of rows.filter((one) => isHeldOut(one, 0.1))) expect(isHeldOut(row, 0.3)).toBe(true);
    expect(rows.some((row) => isHeldOut(row, 0.3) && !isHeldOut(row, 0.1))).toBe(true);
  });

  it('puts equal prompts on one side, whatever their answers and places', () => {
    for (const row of rows.slice(0, 100)) {
      const { train, evaluation } = splitRows([row, { ...row, line: 9999, file: 'b.json', output: 'y' }], 0.5);
      expect([train.length, evaluation.length]).toContain(2);
    }
  });
});

describe('the side of a record', () => {
  /** A row of words that any file can hold: no format tells an empty cell from none. */
  const words = fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme' }).filter((text) => text.trim() !== '');
  const record = fc.record({ instruction: words, input: words, output: words });
  type Plain = { readonly instruction: string; readonly input: string; readonly output: string };

  const files: Readonly<Record<string, (rows: readonly Plain[]) => string | Uint8Array>> = {
    'a.jsonl': (plain) => plain.map((row) => `${JSON.stringify(row)}\n`).join(''),
    'b.json': (plain) => JSON.stringify(plain, undefined, 2),
    'c.csv': (plain) =>
      [
        'output,instruction,input',
        ...plain.map((row) => [row.output, row.instruction, row.input].map(quoted).join()),
      ].join('\r\n'),
    'd.parquet': (plain) =>
      new Uint8Array(
        parquetWriteBuffer({
          columnData: (['instruction', 'input', 'output'] as const).map((name) => ({
            name,
            data: plain.map((row) => row[name]),
            type: 'STRING',
          })),
        }),
      ),
  };
  const quoted = (cell: string): string => `"${cell.replaceAll('"', '""')}"`;

  it('is the same in every file format, when rows are added, taken out and moved, and for every answer (property)', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'fedlora-split-'));
    const sides = async (file: string, plain: readonly Plain[]): Promise<Map<string, boolean>> => {
      const path = join(folder, file);
      await writeFile(path, files[file](plain));
      const read = (await readRows([path], { format: 'auto' })).rows as readonly AlpacaRow[];
      expect(read).toHaveLength(plain.length);
      return new Map(read.map((row) => [JSON.stringify([row.instruction, row.input]), isHeldOut(row, 0.4)]));
    };
    try {
      await fc.assert(
        fc.asyncProperty(
          fc.array(record, { minLength: 1, maxLength: 12 }),
          fc.array(record, { maxLength: 6 }),
          fc.constantFrom(...Object.keys(files)),
          fc.constantFrom(...Object.keys(files)),
          fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })),
          async (first, later, before, after, order) => {
            const was = await sides(before, first);
            const moved = [...first.map((row) => ({ ...row, output: `${row.output}!` })), ...later]
              .map((row) => ({ row, place: order.next().value as number }))
              .sort((a, b) => a.place - b.place)
              .map(({ row }) => row);
            const is = await sides(after, moved);
            for (const [prompt, side] of was) expect(is.get(prompt)).toBe(side);
          },
        ),
        { numRuns: 120 },
      );
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('of texts and chats follows from what is asked, not from the answer', () => {
    const chat = (n: number, answer: string): Row => ({
      format: 'messages',
      file: 'a.jsonl',
      line: n,
      messages: [
        { role: 'user', content: `ask ${n}` },
        { role: 'assistant', content: answer },
      ],
    });
    const held = Array.from({ length: 200 }, (_, n) => isHeldOut(chat(n, 'a'), 0.5));
    expect(held).toContain(true);
    expect(held).toContain(false);
    expect(Array.from({ length: 200 }, (_, n) => isHeldOut(chat(n, 'b'), 0.5))).toEqual(held);
  });
});
