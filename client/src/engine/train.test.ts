import { describe, expect, it } from 'vitest';
import { toVector } from './adapter-init.js';
import type { AdapterValues, Batch, Engine } from './engine.js';
import { train, type TrainingProgress } from './train.js';

const modules = [{ name: 'a', inFeatures: 3, outFeatures: 2 }];

/** An engine for rank 1 whose loss is that of the next number in `losses`, and whose gradient is 1 wherever it is finite. */
function anEngine(losses: readonly number[]): Engine & { readonly calls: Batch[] } {
  const calls: Batch[] = [];
  let adapter: AdapterValues = { modules: [{ A: new Float32Array(3), B: new Float32Array(2) }] };
  return {
    calls,
    name: 'onnx',
    device: 'cpu',
    lora: { r: 1, lora_alpha: 1, use_rslora: false, target_modules: ['q_proj'] },
    modules,
    vocabularySize: 10,
    maximumLength: 8,
    setAdapter: (values) => (adapter = values),
    adapter: () => adapter,
    gradients: async (batch) => {
      const loss = losses[calls.length];
      calls.push(batch);
      return {
        clippedSum: new Float32Array(2).fill(loss === -1 ? Infinity : batch.examples),
        losses: new Float32Array(batch.examples).fill(loss),
      };
    },
    evaluate: async () => ({ losses: new Float32Array(), exact: new Uint8Array() }),
    logits: async () => new Float32Array(),
    close: async () => undefined,
  };
}

const aBatch = (examples: number): Batch => ({
  examples,
  length: 1,
  ids: new Int32Array(examples),
  answerMask: new Uint8Array(examples),
});
const source = { batchesPerEpoch: 1, nextBatch: () => aBatch(2) };
const options = { trained: 'B', learning_rate: 0.1, max_steps: 3, lr_scheduler_type: 'constant' } as const;

describe('train', () => {
  it.each([
    ['loss', NaN],
    ['loss', Infinity],
    ['gradient', -1],
  ])('stops with engine/diverged when a %s is not finite, and keeps the step before', async (what, loss) => {
    const engine = anEngine([2, loss, 2]);
    const seen: TrainingProgress[] = [];
    await expect(train(engine, source, options, undefined, (progress) => seen.push(progress))).rejects.toMatchObject({
      code: 'engine/diverged',
      summary: `In step 2 the ${what} is not a finite number.`,
    });
    expect(seen.map(({ step }) => step)).toEqual([1]);
    expect(toVector(engine.adapter(), 'B')[0]).toBeCloseTo(-0.1, 5);
  });

  it('takes the parts of a batch as one step, each example with the same weight', async () => {
    const engine = anEngine([1, 4]);
    const seen: TrainingProgress[] = [];
    const parts = { batchesPerEpoch: 1, nextBatch: () => [aBatch(2), aBatch(1)] };
    await train(engine, parts, { ...options, max_steps: 1 }, undefined, (progress) => seen.push(progress));
    expect(engine.calls.length).toBe(2);
    expect(seen[0].loss).toBeCloseTo(2, 12);
    expect(seen[0].gradientNorm).toBeCloseTo(Math.SQRT2, 12);
  });

  it('names the example whose loss is not finite, where the source has names', async () => {
    const named = {
      batchesPerEpoch: 1,
      nextBatch: () => [{ ...aBatch(2), indices: [4, 9] }],
      exampleName: (index: number) => `rows.jsonl:${index}`,
    };
    await expect(train(anEngine([1, NaN]), named, options)).rejects.toMatchObject({
      code: 'engine/diverged',
      where: 'rows.jsonl:4',
    });
  });

  it('names no example where the source has no names: an error of a round says nothing of a row', async () => {
    const silent = { batchesPerEpoch: 1, nextBatch: () => ({ ...aBatch(1), indices: [4] }) };
    await expect(train(anEngine([NaN]), silent, options)).rejects.toMatchObject({ where: undefined });
  });

  it('counts the tokens of a step up to the end of each answer', async () => {
    const batch = {
      ...aBatch(2),
      length: 4,
      ids: new Int32Array(8),
      answerMask: Uint8Array.of(0, 1, 1, 0, 0, 0, 0, 1),
    };
    const seen: number[] = [];
    const padded = { batchesPerEpoch: 1, nextBatch: () => batch };
    await train(anEngine([1]), padded, { ...options, max_steps: 1 }, undefined, ({ tokens }) => seen.push(tokens));
    expect(seen).toEqual([3 + 4]);
  });

  describe('with evaluations', () => {
    const evaluated = (losses: readonly number[], early_stopping_patience = 0, max_steps = 9) => {
      let count = 0;
      const evaluation = { evaluate: async () => losses[count++], eval_steps: 2, early_stopping_patience };
      return { ...options, max_steps, evaluation };
    };

    it('measures every n steps and after the last, and keeps the best adapter', async () => {
      const engine = anEngine(Array<number>(9).fill(1));
      const seen: (number | undefined)[] = [];
      const result = await train(engine, source, evaluated([5, 3, 4, 4, 6]), undefined, (progress) =>
        seen.push(progress.evaluationLoss),
      );
      expect(seen).toEqual([undefined, 5, undefined, 3, undefined, 4, undefined, 4, 6]);
      expect(result).toEqual({ steps: 9, hasStoppedEarly: false, best: { step: 4, loss: 3 } });
      expect(toVector(engine.adapter(), 'B')[0]).toBeCloseTo(-0.4, 5); // Adam moves by the learning rate
    });

    it('stops when it gets no better', async () => {
      const engine = anEngine(Array<number>(9).fill(1));
      const result = await train(engine, source, evaluated([5, 6, 5, 4], 2), undefined);
      expect(result).toEqual({ steps: 6, hasStoppedEarly: true, best: { step: 2, loss: 5 } });
      expect(toVector(engine.adapter(), 'B')[0]).toBeCloseTo(-0.2, 5);
    });

    it('stops with engine/diverged when the measured loss is not finite', async () => {
      const running = train(anEngine([1, 1, 1]), source, evaluated([NaN]));
      await expect(running).rejects.toMatchObject({
        code: 'engine/diverged',
        summary: expect.stringContaining('step 2'),
      });
    });
  });

  it('asks a schedule of the caller for shares of the learning rate', async () => {
    const seen: number[] = [];
    const schedule = (step: number, steps: number): number => (steps - step) / steps;
    await train(
      anEngine([1, 1, 1]),
      source,
      { ...options, lr_scheduler_type: schedule },
      undefined,
      ({ learningRate }) => seen.push(Number(learningRate.toFixed(6))),
    );
    expect(seen).toEqual([0.1, 0.066667, 0.033333]);
  });

  it('ends before the next call of the engine once it is told to', async () => {
    const stop = new AbortController();
    const engine = anEngine([1, 1, 1]);
    const running = train(engine, source, options, stop.signal, () => stop.abort(new Error('enough')));
    await expect(running).rejects.toThrow('enough');
    expect(engine.calls.length).toBe(1);
  });
});
