import { ARITHMETIC_SLACK, unitBound, type Manifest } from '@fedlora/protocol';
import { publicRandom, seededRandom } from '@fedlora/protocol/node';
import { FedloraError, frozenFactors } from '@fedlora/shared';
import { describe, expect, it } from 'vitest';
import { aManifest } from '../../../test/support/a-manifest.js';
import type { Example } from '../data/tokenize.js';
import type { Engine } from '../engine/engine.js';
import { createOnnxEngine } from '../engine/onnx/engine.js';
import { knownAdapter, knownModel } from '../engine/onnx/known-model.js';
import { siluAnswers as answers } from '../engine/onnx/self-test-answers.js';
import { examplesPerCall, largestChange, learn, MAXIMUM_CHANGE_IN_COMPANY, needsIndependentExamples } from './learn.js';
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

/** Rows of all lengths from 2 to 20; the last is the longest. */
const someExamples = (count: number): Example[] =>
  Array.from({ length: count }, (_, row) => {
    const length = row === count - 1 ? 24 : 2 + ((row * 7) % 19);
    const ids = Int32Array.from({ length }, (_id, j) => (row * 31 + j * 17) % answers.config.vocab_size);
    return { ids, answerStart: 1, row };
  });

const aRound = (changes: Partial<Manifest> = {}): VerifiedRound => {
  const training = { kind: 'record-step', samplingRate: 1, expectedRecords: 30, maximumRecords: 64 } as const;
  // Safe: learning looks at nothing else.
  return { manifest: aManifest({ training, ...changes }), trained: 'B' } as VerifiedRound;
};

const learnFrom = async (engine: Engine, examples: readonly Example[], round = aRound()): Promise<Float64Array> => {
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
  it.each([0.05, 0.2, 0.4, 2.4, MAXIMUM_ADAPTER_VALUE, 30, 100])(
    'moves the sum by no more than the bound, with values of %d',
    async (size) => {
      const engine = await hostileEngine(size);
      try {
        const examples = someExamples(33);
        const bound = unitBound(aManifest()) * (1 + ARITHMETIC_SLACK);
        const sum = await learnFrom(engine, examples);
        // The longest, which decides on padding; others of several lengths, which move the cuts between batches.
        for (const removed of [32, 0, 7, 16]) {
          const without = await learnFrom(
            engine,
            examples.filter((_, row) => row !== removed),
          );
          expect(distance(sum, without)).toBeLessThanOrEqual(bound);
          // What the record did beside adding its own vector.
          const own = await learnFrom(engine, [examples[removed]]);
          const others = distance(
            sum,
            without.map((value, i) => value + own[i]),
          );
          expect(others).toBeLessThanOrEqual(unitBound(aManifest()) * ARITHMETIC_SLACK);
        }
      } finally {
        await engine.close();
      }
    },
  );
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

/** An engine that gives NaN for every batch with token `poison`, for its neighbours, too. */
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
      };
    },
  };
  // Safe: learning calls nothing else.
  return engine as Engine;
}

describe('attack: an adapter with which one token overflows, to learn who has it from who declines', () => {
  const examples = [5, 6, 7].map((id, row) => ({ ids: Int32Array.of(1, id, 2), answerStart: 1, row }));

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
      training: { kind: 'local-steps', steps: 2, batchSize: 4, learningRate: 0.01, maximumGradientNorm: 1 },
      privacy: { ...aManifest().privacy, unit: 'client' },
    });
    const update = await learnFrom(overflowingEngine(6, 'sum'), examples, round);
    expect(update.subarray(0, 8).every((value) => value === 0)).toBe(true);
    expect(update[8]).toBeCloseTo(round.manifest.metrics.weight, 6);
  });
});
