import { describe, expect, it } from 'vitest';
import type { Engine } from '../engine/engine.js';
import { measure } from './measure.js';
import { Scratch } from './scratch.js';

describe('measure', () => {
  it('leaves no loss and no answer of a row behind once its scratch is wiped, neither here nor in what the engine gave', async () => {
    const given: (Float32Array | Uint8Array)[] = [];
    const engine: Partial<Engine> = {
      maximumLength: 64,
      evaluate: async ({ examples, ids }) => {
        const isBad = ids.includes(7);
        const losses = new Float32Array(examples).fill(isBad ? NaN : 3);
        const exact = new Uint8Array(examples).fill(1);
        given.push(losses, exact);
        return { losses, exact };
      },
    };
    const examples = [5, 6, 7].map((id, row) => ({ ids: Int32Array.of(1, id), answerStart: 1, row }));
    const scratch = new Scratch();
    const options = { maximumExamples: 8, maximumTokens: 1024 };
    // Safe: measuring calls nothing else.
    const measured = await measure(
      engine as Engine,
      examples,
      [0, 1, 2],
      options,
      new AbortController().signal,
      scratch,
    );
    const numbers = (): number[] => measured.flatMap(({ loss, exact }) => [loss, exact]);
    expect(numbers()).toEqual([3, 1, 3, 1, NaN, 0]);
    expect(given).toHaveLength(8); // all together, then each alone
    expect(given.every((values) => values.every((value) => value === 0))).toBe(true);
    scratch.wipe();
    expect(numbers()).toEqual([0, 0, 0, 0, 0, 0]);
  });
});
