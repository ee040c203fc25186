import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { computeCells, type CellTask } from './cell-pool.js';
import { WITHOUT_NOISE } from './methods.js';
import { presets } from './presets.js';

/** Answers with its seed as the loss; seed 9 fails, and seed 8 ends the process. */
const STAND_IN = `process.on('message', ({ seed }) => {
  if (seed === 8) process.exit(3);
  process.send({ share: 0.5 });
  process.send(seed === 9 ? { error: 'no rows' } : { results: [{ loss: seed, accuracy: process.pid }] });
});
process.on('disconnect', () => process.exit());
`;

describe('computeCells', () => {
  let folder: string;
  let program: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fedlora-cells-'));
    program = join(folder, 'stand-in.mjs');
    await writeFile(program, STAND_IN);
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const [preset] = presets.reduced.datasets;
  const cell = (seed: number): CellTask => ({
    preset,
    seed,
    method: WITHOUT_NOISE,
    base: '',
    tokenizer: '',
    phrases: '',
    data: '',
  });
  const compute = async (seeds: readonly number[], jobs: number) => {
    const begun: number[] = [];
    const done: number[] = [];
    const processes = new Set<number>();
    const ending = computeCells(
      seeds.map(cell),
      jobs,
      ({ seed }) => void begun.push(seed),
      ({ seed }, [{ loss, accuracy }]) => {
        expect(loss).toBe(seed);
        processes.add(accuracy);
        done.push(seed);
        return Promise.resolve();
      },
      program,
    );
    const error = await ending.then(
      () => undefined,
      (reason: Error) => reason.message,
    );
    return { begun, done, processes: processes.size, error };
  };

  it('computes all in their order, each once, with the process of one job', async () => {
    expect(await compute([3, 1, 2], 1)).toEqual({ begun: [3, 1, 2], done: [3, 1, 2], processes: 1, error: undefined });
  });

  it('has as many processes as jobs, and no more than cells', async () => {
    const { done, processes } = await compute([1, 2, 3, 4], 2);
    expect([...done].sort()).toEqual([1, 2, 3, 4]);
    expect(processes).toBe(2);
    expect((await compute([1], 5)).processes).toBe(1);
  });

  it('fails with what a cell failed with, and gives up those that come after it', async () => {
    expect(await compute([1, 9, 2], 1)).toMatchObject({ done: [1], error: 'no rows' });
  });

  it('fails when a process ends before its cell is done', async () => {
    expect(await compute([8, 1], 1)).toMatchObject({ done: [], error: 'The process of a cell ended with 3.' });
  });

  it('is done at once where nothing is left', async () => {
    expect(await compute([], 2)).toMatchObject({ done: [], error: undefined });
  });
});
