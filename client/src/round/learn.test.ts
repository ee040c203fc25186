import {
  ARITHMETIC_SLACK,
  LARGEST_WEIGHT_IN_BOUNDS,
  measuredUnit,
  readMetrics,
  unitBound,
  type Manifest,
} from '@fedlora/protocol';
import { publicRandom, seededRandom } from '@fedlora/protocol/node';
import { FedloraError, frozenFactors } from '@fedlora/shared';
import { describe, expect, it } from 'vitest';
import { aLocalManifest, aManifest } from '../../../test/support/a-manifest.js';
import type { Engine } from '../engine/engine.js';
import { createOnnxEngine } from '../engine/onnx/engine.js';
import { knownAdapter, knownModel } from '../engine/onnx/known-model.js';
import { siluAnswers as answers } from '../engine/onnx/self-test-answers.js';
import { learn } from './learn.js';
import { examplesPerCall, largestChange, MAXIMUM_CHANGE_IN_COMPANY, needsIndependentExamples } from './record-sum.js';
import type { RoundExample } from './round-example.js';
import type { VerifiedRound } from './verify-offer.js';
import { MAXIMUM_ADAPTER_VALUE } from './workbench.js';

describe('examplesPerCall', () => {
  it.each([
    [1, 64],
    [762, 64],
    [763, 8],
    [936, 8],
    [1820, 4],
    [4096, 2],
    [4097, 1],
    [1 << 24, 1],
  ])('for %i records is %i', (records, count) => {
    expect(examplesPerCall(records)).toBe(count);
  });

  it('keeps the roundings of the worst sums within 2^-11 of the bound', () => {
    for (const records of [1, 9, 100, 762, 763, 936, 1500, 1820, 3000, 5000]) {
      const perCall = examplesPerCall(records);
      // Vectors of norm 1, all alike: partial sums of up to 8 rounded to f32, groups added in f64, each call's result rounded.
      let roundings = 0;
      for (let left = records; left > 0; left -= perCall) {
        const call = Math.min(perCall, left);
        for (let inCall = call; inCall > 0; inCall -= 8) {
          for (let sum = 2; sum <= Math.min(8, inCall); sum++) roundings += sum;
        }
        if (call > 8) roundings += call;
      }
      expect(2 * roundings * 2 ** -24).toBeLessThanOrEqual(2 ** -11);
    }
  });
});

describe('needsIndependentExamples', () => {
  const training = { kind: 'record-step', samplingRate: 0.1, expectedRecords: 100, maximumRecords: 256 } as const;
  const privacy = { ...aManifest().privacy, unit: 'record' } as const;
  it.each([
    ['few records', { privacy, training }, false],
    ['many records', { privacy, training: { ...training, maximumRecords: 257 } }, true],
    [
      'no privacy',
      { privacy: { ...privacy, unit: 'none' as const }, training: { ...training, maximumRecords: 257 } },
      false,
    ],
    ['many records in a step at home', aLocalManifest({ maximumRecords: 257 }), true],
    ['few records in each of many steps at home', aLocalManifest({ maximumRecords: 256, steps: 1000 }), false],
  ])('%s', (_, terms, needed) => {
    expect(needsIndependentExamples(terms)).toBe(needed);
  });
});

/** A small real model, whose adapter a coordinator has filled with values of +-size. */
async function hostileEngine(size: number): Promise<Engine> {
  const { base, values } = knownModel(answers.config, answers.seed);
  const engine = await createOnnxEngine({
    base,
    lora: answers.lora,
    quantization: 'none',
    threads: 2,
    selfTest: false,
  });
  const ofSize = (factor: Float32Array): Float32Array => factor.map((value) => (value < 0 ? -size : size));
  const { modules } = knownAdapter(values, engine.modules, engine.lora.r);
  engine.setAdapter({ modules: modules.map(({ A, B }) => ({ A: ofSize(A), B: ofSize(B) })) });
  return engine;
}

/** Rows of all lengths from 2 to 20; the last is the longest. Every `heldOutEvery`th is held out. */
const someExamples = (count: number, heldOutEvery = Infinity): RoundExample[] =>
  Array.from({ length: count }, (_, row) => {
    const length = row === count - 1 ? 24 : 2 + ((row * 7) % 19);
    const ids = Int32Array.from({ length }, (_id, j) => (row * 31 + j * 17) % answers.config.vocab_size);
    return { ids, answerStart: 1, row, isHeldOut: row % heldOutEvery === 0 && heldOutEvery !== Infinity };
  });

const aRound = (changes: Partial<Manifest> = {}): VerifiedRound => {
  const training = { kind: 'record-step', samplingRate: 1, expectedRecords: 30, maximumRecords: 64 } as const;
  // Safe: learning looks at nothing else.
  return { manifest: aManifest({ training, ...changes }), trained: 'B' } as VerifiedRound;
};

const learnFrom = async (
  engine: Engine,
  examples: readonly RoundExample[],
  round = aRound(),
): Promise<Float64Array> => {
  const parts = { random: seededRandom('learn'), tokensPerBatch: 1024 };
  return (await learn(engine, examples, round, parts, new AbortController().signal)).values;
};

const distance = (a: Float64Array, b: Float64Array): number =>
  Math.sqrt(a.reduce((sum, value, i) => sum + (value - b[i]) ** 2, 0));

describe('largestChange', () => {
  it('grows with the adapter and with alpha, and is far under the limit for an adapter that is only just trained', async () => {
    const engine = await hostileEngine(0.05);
    try {
      expect(largestChange(engine)).toBeLessThan(MAXIMUM_CHANGE_IN_COMPANY);
      const louder = { lora: { ...engine.lora, lora_alpha: 1e6 }, adapter: () => engine.adapter() };
      expect(largestChange(louder)).toBeGreaterThan(MAXIMUM_CHANGE_IN_COMPANY);
    } finally {
      await engine.close();
    }
    const overflowing = {
      lora: engine.lora,
      adapter: () => ({ modules: [{ A: Float32Array.of(NaN), B: Float32Array.of(1) }] }),
    };
    expect(largestChange(overflowing)).toBeNaN();
  });
});

describe('attack: an adapter that amplifies what one record does to the gradients of others', () => {
  // With every number that terms can ask for, and as much weight on them as they can put.
  const numbers = {
    weight: LARGEST_WEIGHT_IN_BOUNDS,
    lossBound: 8,
    clipping: { quantile: 0.5, learningRate: 1 },
    evaluation: { fraction: 0.2 },
  };

  it.each([
    [0.05, aManifest().metrics],
    [0.2, aManifest().metrics],
    [0.4, aManifest().metrics],
    [2.4, aManifest().metrics],
    [MAXIMUM_ADAPTER_VALUE, aManifest().metrics],
    [30, aManifest().metrics],
    [100, aManifest().metrics],
    [0.05, numbers],
    [2.4, numbers],
    [MAXIMUM_ADAPTER_VALUE, numbers],
    [100, numbers],
  ])('moves the sum by no more than the bound, with values of %d and the numbers %j', async (size, metrics) => {
    const engine = await hostileEngine(size);
    try {
      const examples = someExamples(33, metrics.evaluation === undefined ? Infinity : 8);
      const round = aRound({ metrics });
      const bound = unitBound(round.manifest) * (1 + ARITHMETIC_SLACK);
      const sum = await learnFrom(engine, examples, round);
      // The longest, which decides on padding; others of several lengths, which move the cuts between batches.
      for (const removed of [32, 0, 7, 16]) {
        const without = await learnFrom(
          engine,
          examples.filter((_, row) => row !== removed),
          round,
        );
        expect(distance(sum, without)).toBeLessThanOrEqual(bound);
        // What the record did beside adding its own vector.
        const own = await learnFrom(engine, [examples[removed]], round);
        const others = distance(
          sum,
          without.map((value, i) => value + own[i]),
        );
        expect(others).toBeLessThanOrEqual(unitBound(round.manifest) * ARITHMETIC_SLACK);
      }
    } finally {
      await engine.close();
    }
  });
});

describe('a round of fed-sb', () => {
  const adapter = { ...aManifest().adapter, rule: 'fed-sb', frozenDigest: 'f'.repeat(64) } as const;
  const roundOf = (changes: Partial<Manifest>): VerifiedRound => ({ ...aRound({ adapter, ...changes }), trained: 'R' });

  /** The engine of `hostileEngine` with R of +-size between orthonormal factors. */
  async function engineWithR(size: number): Promise<Engine> {
    const engine = await hostileEngine(0);
    const { modules } = frozenFactors(engine.modules, engine.lora.r, publicRandom('learn'));
    const R = Float32Array.from({ length: engine.lora.r ** 2 }, (_, i) => (i % 2 === 0 ? size : -size));
    engine.setAdapter({ modules: modules.map((module) => ({ ...module, R })) });
    return engine;
  }

  it.each([0, 0.4, MAXIMUM_ADAPTER_VALUE])(
    'sends one value for each value of R, and no record moves them by more than the bound, with values of %d',
    async (size) => {
      const engine = await engineWithR(size);
      try {
        const examples = someExamples(17);
        const sum = await learnFrom(engine, examples, roundOf({}));
        expect(sum.length).toBe(engine.modules.length * engine.lora.r ** 2 + 2);
        expect(sum.subarray(0, -2).every((value) => value !== 0)).toBe(true);
        const without = await learnFrom(engine, examples.slice(1), roundOf({}));
        expect(distance(sum, without)).toBeGreaterThan(0);
        expect(distance(sum, without)).toBeLessThanOrEqual(unitBound(aManifest()) * (1 + ARITHMETIC_SLACK));
      } finally {
        await engine.close();
      }
    },
  );

  it('of several local steps changes R alone', async () => {
    const engine = await engineWithR(0);
    try {
      const before = engine.adapter();
      const update = await learnFrom(
        engine,
        someExamples(8),
        roundOf({
          training: { kind: 'local-steps', steps: 3, batchSize: 4, learningRate: 0.001, maximumGradientNorm: 1 },
          privacy: { ...aManifest().privacy, unit: 'client' },
        }),
      );
      const after = engine.adapter();
      after.modules.forEach(({ A, B }, i) =>
        expect({ A, B }).toEqual({ A: before.modules[i].A, B: before.modules[i].B }),
      );
      const moved = after.modules.flatMap(({ R }) => [...R!]);
      expect(Math.max(...moved.map(Math.abs))).toBeGreaterThan(0.002);
      moved.forEach((value, i) => expect(update[i]).toBeCloseTo(value, 6));
    } finally {
      await engine.close();
    }
  });
});

/** An engine that gives NaN for every batch with token `poison`, for its neighbours, too; it says exactly what has token 5. */
function overflowingEngine(poison: number, fails: 'sum' | 'loss' | 'throws'): Engine {
  const length = 8;
  const engine: Partial<Engine> = {
    modules: [{ name: 'q', inFeatures: 4, outFeatures: 4 }],
    lora: { r: 2, lora_alpha: 4, use_rslora: false, target_modules: ['q_proj'] },
    maximumLength: 64,
    adapter: () => ({ modules: [{ A: new Float32Array(8), B: new Float32Array(8) }] }),
    setAdapter: () => undefined,
    gradients: async ({ examples, ids }) => {
      const isPoisoned = ids.includes(poison);
      if (isPoisoned && fails === 'throws') throw new FedloraError('engine/diverged');
      return {
        clippedSum: new Float32Array(length).fill(isPoisoned && fails === 'sum' ? NaN : 0.1 * examples),
        losses: new Float32Array(examples).fill(isPoisoned && fails === 'loss' ? Infinity : 2),
        norms: new Float32Array(examples).fill(0.3),
      };
    },
    evaluate: async ({ examples, ids }) => {
      const isPoisoned = ids.includes(poison);
      if (isPoisoned && fails === 'throws') throw new FedloraError('engine/diverged');
      const length = ids.length / examples;
      return {
        losses: new Float32Array(examples).fill(isPoisoned ? NaN : 3),
        exact: Uint8Array.from({ length: examples }, (_, i) => Number(ids.subarray(i * length).includes(5))),
      };
    },
  };
  // Safe: learning calls nothing else.
  return engine as Engine;
}

describe('attack: an adapter with which one token overflows, to learn who has it from who declines', () => {
  const rows = (isHeldOut: boolean): RoundExample[] =>
    [5, 6, 7].map((id, row) => ({ ids: Int32Array.of(1, id, 2), answerStart: 1, row, isHeldOut }));
  const examples = rows(false);
  const numbers = {
    weight: 0.1,
    lossBound: 8,
    clipping: { quantile: 0.5, learningRate: 1 },
    evaluation: { fraction: 0.2 },
  };
  const local = { kind: 'local-steps', steps: 2, batchSize: 4, learningRate: 0.01, maximumGradientNorm: 1 } as const;

  it.each(['sum', 'loss', 'throws'] as const)('no record step fails where %s', async (fails) => {
    const round = aRound();
    const { weight, lossBound } = round.manifest.metrics;
    const healthy = await learnFrom(overflowingEngine(99, fails), examples);
    const poisoned = await learnFrom(overflowingEngine(6, fails), examples);
    expect(poisoned[0]).toBeCloseTo(0.2, 6); // two records' gradients
    expect(poisoned[8]).toBeCloseTo((weight * (2 + 2 + lossBound)) / lossBound, 6);
    expect(poisoned[9]).toBeCloseTo(3 * weight, 6);
    expect(distance(healthy, poisoned)).toBeLessThanOrEqual(unitBound(round.manifest));
  });

  it('no local step fails either: the update is zero', async () => {
    const round = aRound({
      training: local,
      privacy: { ...aManifest().privacy, unit: 'client' },
    });
    const update = await learnFrom(overflowingEngine(6, 'sum'), examples, round);
    expect(update.subarray(0, 8).every((value) => value === 0)).toBe(true);
    expect(update[8]).toBeCloseTo(round.manifest.metrics.weight, 6);
  });

  it.each(['loss', 'throws'] as const)(
    'no measurement fails where its %s: the row counts with the largest loss',
    async (fails) => {
      const round = aRound({ metrics: numbers });
      const values = await learnFrom(overflowingEngine(6, fails), [...examples, ...rows(true)], round);
      const { heldOut, fractionWithin } = readMetrics(values, numbers, measuredUnit(aRound().manifest), 3);
      expect(heldOut).toEqual({
        meanLoss: expect.closeTo((3 + 3 + 8) / 3, 6) as number,
        accuracy: expect.closeTo(1 / 3, 6) as number,
        count: expect.closeTo(3, 6) as number,
      });
      expect(fractionWithin).toBeCloseTo(2 / 3, 6); // the gradient of the poisoned row is not within
    },
  );
});

describe('rows that are held out', () => {
  const examples = [5, 5, 6, 7].map((id, row) => ({ ids: Int32Array.of(1, id, 2), answerStart: 1, row }));
  const metrics = { weight: 0.1, lossBound: 8, evaluation: { fraction: 0.5 } };
  const heldOutFirst = examples.map((example) => ({ ...example, isHeldOut: example.row < 3 }));
  /** Also notes how many rows each call had, and which tokens were trained on. */
  const watched = () => {
    const engine = overflowingEngine(99, 'sum');
    const { evaluate, gradients } = engine;
    const seen = { evaluated: [] as number[], trained: [] as number[] };
    engine.evaluate = (batch) => (seen.evaluated.push(batch.examples), evaluate(batch));
    engine.gradients = (batch, options) => {
      for (let i = 0; i < batch.examples; i += 1) seen.trained.push(batch.ids[i * batch.length + 1]);
      return gradients(batch, options);
    };
    return { engine, seen };
  };

  it('are measured, each in a call of its own, and never trained on, in a record step', async () => {
    const { engine, seen } = watched();
    const values = await learnFrom(engine, heldOutFirst, aRound({ metrics }));
    expect(seen).toEqual({ evaluated: [1, 1, 1], trained: [7] });
    const { count, heldOut } = readMetrics(values, metrics, measuredUnit(aRound().manifest), 1);
    expect(count).toBeCloseTo(1, 6);
    expect(heldOut).toEqual({
      meanLoss: expect.closeTo(3, 6) as number,
      accuracy: expect.closeTo(2 / 3, 6) as number,
      count: expect.closeTo(3, 6) as number,
    });
  });

  it('are the ones that the round sampled, in a record step', async () => {
    const { engine, seen } = watched();
    const training = { kind: 'record-step', samplingRate: 0.25, expectedRecords: 30, maximumRecords: 64 } as const;
    const many = Array.from({ length: 200 }, (_, row) => ({ ...heldOutFirst[row % 4], row }));
    const { heldOut } = readMetrics(
      await learnFrom(engine, many, aRound({ metrics, training })),
      metrics,
      measuredUnit(aRound().manifest),
      1,
    );
    expect(heldOut?.count).toBeCloseTo(seen.evaluated.length, 6);
    expect(seen.evaluated.length).toBeGreaterThan(15); // of 150, at a quarter
    expect(seen.evaluated.length).toBeLessThan(60);
  });

  it.each(['client', 'none'] as const)('count as one unit with their means, for unit "%s"', async (unit) => {
    const { engine, seen } = watched();
    const training = {
      kind: 'local-steps',
      steps: 2,
      batchSize: 4,
      learningRate: 0.01,
      maximumGradientNorm: 1,
    } as const;
    const round = aRound({ metrics, training, privacy: { ...aManifest().privacy, unit } });
    const values = await learnFrom(engine, heldOutFirst, round);
    expect(seen).toEqual({ evaluated: [3], trained: [7, 7] });
    expect(readMetrics(values, metrics, measuredUnit(round.manifest), 1).heldOut).toEqual({
      meanLoss: expect.closeTo(3, 6) as number,
      accuracy: expect.closeTo(2 / 3, 6) as number,
      count: expect.closeTo(1, 6) as number,
    });
    expect(Math.hypot(...values)).toBeLessThanOrEqual(unitBound(round.manifest));
  });

  it('are as many as are trained on at most, for a whole update', async () => {
    const { engine, seen } = watched();
    const training = {
      kind: 'local-steps',
      steps: 3,
      batchSize: 2,
      learningRate: 0.01,
      maximumGradientNorm: 1,
    } as const;
    const many = Array.from({ length: 200 }, (_, row) => ({ ...heldOutFirst[row % 4], row }));
    await learnFrom(engine, many, aRound({ metrics, training, privacy: { ...aManifest().privacy, unit: 'client' } }));
    expect(seen.evaluated).toEqual([6]);
  });

  it('may be all or none: the update is zero, or nothing is measured', async () => {
    const training = {
      kind: 'local-steps',
      steps: 2,
      batchSize: 4,
      learningRate: 0.01,
      maximumGradientNorm: 1,
    } as const;
    const round = aRound({ metrics, training, privacy: { ...aManifest().privacy, unit: 'client' } });
    const all = await learnFrom(watched().engine, heldOutFirst.slice(0, 3), round);
    expect(all.subarray(0, 8).every((value) => value === 0)).toBe(true);
    expect(readMetrics(all, metrics, measuredUnit(round.manifest), 1)).toMatchObject({
      meanLoss: expect.closeTo(8, 6) as number,
    });
    const none = await learnFrom(watched().engine, heldOutFirst.slice(3), round);
    expect(readMetrics(none, metrics, measuredUnit(round.manifest), 1).heldOut).toEqual({
      meanLoss: undefined,
      accuracy: undefined,
      count: 0,
    });
  });
});
