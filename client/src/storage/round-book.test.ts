import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { lastRounds, RoundBook, type RoundEntry } from './round-book.js';

const entry = (roundId: string): RoundEntry => ({
  roundId,
  runId: 'run-1',
  title: 'A run',
  manifestHash: 'a'.repeat(64),
  startedAt: 1,
  endedAt: 2,
  ending: 'counted',
  because: 'b'.repeat(40),
  sent: [{ what: 'advertising', bytes: 3, sha256: 'c'.repeat(64) }],
});

describe('the book of rounds', () => {
  let path: string;
  beforeEach(async () => {
    path = join(await mkdtemp(join(tmpdir(), 'fedlora-rounds-')), 'rounds.jsonl');
  });
  const ids = async (count: number) => (await lastRounds(path, count)).map(({ roundId }) => roundId);

  it('gives the newest first, as many as are wanted, and nothing where none was written', async () => {
    expect(await ids(5)).toEqual([]);
    const book = await RoundBook.open(path);
    for (const id of ['1', '2', '3']) await book.add(entry(id));
    expect(await ids(2)).toEqual(['3', '2']);
    expect(await lastRounds(path, 1)).toEqual([entry('3')]);
    await book.close();
  });

  it('goes on after a torn last line and lines that are none of its own', async () => {
    await writeFile(path, `${JSON.stringify(entry('1'))}\nnull\n{"roundId":7}\n{"roundId":"2","se`);
    const book = await RoundBook.open(path);
    await book.add(entry('3'));
    await book.close();
    expect(await ids(10)).toEqual(['3', '1']);
  });

  it('keeps the newest of very many, so that no coordinator can fill the disk', async () => {
    const lines = Array.from({ length: 20_000 }, (_, i) => `${JSON.stringify(entry(String(i)))}\n`);
    await writeFile(path, lines.join(''));
    await (await RoundBook.open(path)).close();
    expect((await readFile(path, 'utf8')).split('\n')).toHaveLength(10_001);
    expect(await ids(1)).toEqual(['19999']);
  });
});
