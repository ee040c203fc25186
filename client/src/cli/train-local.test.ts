import { describe, expect, it } from 'vitest';
import { seededRandom } from '@fedlora/protocol/node';
import { toVector } from '../engine/adapter-init.js';
import type { AdapterValues, Engine } from '../engine/engine.js';
import { trainLocally } from './train-local.js';

describe('trainLocally', () => {
  it('starts as PEFT does, rises from the first step on and falls to the last', async () => {
    const batches: number[] = [];
    const history: Float32Array[] = [];
    let adapter: AdapterValues = { modules: [] };
    const engine = {
      lora: { r: 2 },
      modules: [{ name: 'a', inFeatures: 4, outFeatures: 3 }],
      maximumLength: 64,
      adapter: () => adapter,
      setAdapter: (values: AdapterValues) => history.push(toVector((adapter = values), 'B')),
      gradients: async ({ examples }: { readonly examples: number }) => {
        batches.push(examples);
        return { clippedSum: new Float32Array(14).fill(examples), losses: new Float32Array(examples).fill(2) };
      },
    } as unknown as Engine;
    const losses: number[] = [];
    await trainLocally(
      engine,
      Array.from({ length: 10 }, (_, row) => ({ ids: Int32Array.of(1, 2, 3), answerStart: 1, row })),
      {
        trained: 'both',
        init: 'kaiming',
        steps: 6,
        accumulation: 1,
        schedule: 'linear',
        weightDecay: 0,
        optim: 'adamw',
        batchSize: 4,
        learningRate: 0.1,
        warmupRatio: 0.3,
        maximumGradientNorm: 1,
        tokensPerBatch: 48,
        random: seededRandom(1),
        onStep: ({ loss }) => losses.push(loss),
      },
    );
    // Adam moves by the learning rate while the gradient stays the same.
    const moves = history.slice(1).map((values, step) => history[step][0] - values[0]);
    const expected = [0.05, 0.1, 0.1, 0.075, 0.05, 0.025];
    moves.forEach((move, step) => expect(move).toBeCloseTo(expected[step], 5));
    expect(losses).toEqual(Array(6).fill(2));
    expect(batches).toEqual(Array.from({ length: 6 }, () => [3, 1]).flat());
    expect(Math.max(...adapter.modules[0].A.map(Math.abs))).toBeGreaterThan(0.1);
  });
});
