import {
  ARITHMETIC_SLACK,
  LARGEST_WEIGHT_IN_BOUNDS,
  readRoundMetrics,
  stepStddevInSteps,
  unitBound,
  type LocalRecordSteps,
  type Manifest,
  type PrivateStep,
  type QuantizedUpdate,
} from '@fedlora/protocol';
import { seededRandom } from '@fedlora/protocol/node';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { aLocalManifest } from '../../../test/support/a-manifest.js';
import type { AdapterValues, Engine } from '../engine/engine.js';
import { createOnnxEngine } from '../engine/onnx/engine.js';
import { knownAdapter, knownModel } from '../engine/onnx/known-model.js';
import { siluAnswers as answers } from '../engine/onnx/self-test-answers.js';
import { learn } from './learn.js';
import type { RoundExample } from './round-example.js';
import type { VerifiedRound } from './verify-offer.js';

/** What a step gave to its noise; and, where a test sets them, the levels that come out of the noise instead of noised ones. */
const noise = vi.hoisted(() => ({
  taken: [] as { levels: Int32Array; l2SensitivityInSteps: number; noiseMultiplier: number }[],
  instead: undefined as undefined | ((step: number, length: number) => Int32Array),
}));

vi.mock('@fedlora/protocol', async (importOriginal) => {
  const original = await importOriginal<typeof import('@fedlora/protocol')>();
  return {
    ...original,
    addWholeNoise: (...of: Parameters<typeof original.addWholeNoise>): PrivateStep => {
      const [{ levels, l2SensitivityInSteps }, noiseMultiplier]: [QuantizedUpdate, number, ...unknown[]] = of;
      const step = noise.taken.push({ levels: levels.slice(), l2SensitivityInSteps, noiseMultiplier }) - 1;
      const noised = original.addWholeNoise(...of);
      if (noise.instead !== undefined) noised.levels.set(noise.instead(step, levels.length));
      return noised;
    },
  };
});

afterEach(() => {
  noise.taken = [];
  noise.instead = undefined;
});

/**
 * A right step fails each statistical test below about once in two million seeds (4.9 standard deviations); the seeds are fixed, so a
 * test that passes once passes always.
 */
const STANDARD_DEVIATIONS = 4.9;

/** A round with the layers of this engine, whose every record is in every step. */
const aRound = (
  { modules, lora }: Engine,
  steps: Partial<LocalRecordSteps> = {},
  changes: Partial<Manifest> = {},
): VerifiedRound => {
  const adapter = { ...aLocalManifest().adapter, modules, r: lora.r };
  const manifest = aLocalManifest({ samplingRate: 1, maximumRecords: 64, ...steps }, { adapter, ...changes });
  // Safe: learning looks at nothing else.
  return { manifest, trained: 'B' } as VerifiedRound;
};

async function learnFrom(
  engine: Engine,
  examples: readonly RoundExample[],
  round: VerifiedRound,
  seed = 'local',
): Promise<Float64Array> {
  const parts = { random: seededRandom(seed), tokensPerBatch: 1024 };
  return (await learn(engine, examples, round, parts, new AbortController().signal)).values;
}

/** An engine with one layer of `outFeatures`, whose gradient of every example is `value` everywhere. */
function constantEngine(outFeatures: number, value: number) {
  let adapter: AdapterValues = { modules: [{ A: new Float32Array(8), B: new Float32Array(2 * outFeatures) }] };
  /** The first value of B in each call, to see which adapter it was of. */
  const seen = { trained: [] as number[], measured: [] as number[] };
  const engine: Partial<Engine> = {
    modules: [{ name: 'q', inFeatures: 4, outFeatures }],
    lora: { r: 2, lora_alpha: 4, use_rslora: false, target_modules: ['q_proj'] },
    maximumLength: 64,
    adapter: () => ({ modules: adapter.modules.map(({ A, B }) => ({ A: A.slice(), B: B.slice() })) }),
    setAdapter: (values) => void (adapter = values),
    gradients: async ({ examples }) => {
      seen.trained.push(adapter.modules[0].B[0]);
      return {
        clippedSum: new Float32Array(2 * outFeatures).fill(value * examples),
        losses: new Float32Array(examples).fill(2),
        norms: new Float32Array(examples).fill(0.1),
      };
    },
    evaluate: async ({ examples }) => {
      seen.measured.push(adapter.modules[0].B[0]);
      return { losses: new Float32Array(examples).fill(3), exact: new Uint8Array(examples).fill(1) };
    },
  };
  // Safe: learning calls nothing else.
  return { engine: engine as Engine, seen };
}

const rows = (count: number, isHeldOut = (_row: number): boolean => false): RoundExample[] =>
  Array.from({ length: count }, (_, row) => ({
    ids: Int32Array.of(1, 5 + (row % 3), 2),
    answerStart: 1,
    row,
    isHeldOut: isHeldOut(row),
  }));

/** With every number that terms can ask for, and as much weight on them as they can put. */
const numbers = {
  weight: LARGEST_WEIGHT_IN_BOUNDS,
  lossBound: 8,
  clipping: { quantile: 0.5, learningRate: 1 },
  evaluation: { fraction: 0.2 },
};

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

/** Rows of all lengths from 2 to 20; the last is the longest. Every eighth is held out. */
const someExamples = (count: number): RoundExample[] =>
  Array.from({ length: count }, (_, row) => {
    const length = row === count - 1 ? 24 : 2 + ((row * 7) % 19);
    const ids = Int32Array.from({ length }, (_id, j) => (row * 31 + j * 17) % answers.config.vocab_size);
    return { ids, answerStart: 1, row, isHeldOut: row % 8 === 0 };
  });

/** What noise could have made of anything: the same, whatever the rows are. */
const sameNoise = (step: number, length: number): Int32Array =>
  Int32Array.from({ length }, (_, i) => Math.round(2 ** 16 * Math.sin(i + 7 * step)));

const distance = (a: Int32Array, b: Int32Array): number =>
  Math.sqrt(a.reduce((sum, level, i) => sum + (level - b[i]) ** 2, 0));

describe('local record steps', () => {
  it.each([
    [1, 3],
    [4, 5],
  ])(
    'add all of the noise themselves, each step anew: %i colluders of %i contributors change nothing',
    async (assumedColluders, minimumContributors) => {
      const P = 100_000;
      const { engine } = constantEngine(P / 2, 0);
      const privacy = { ...aLocalManifest().privacy, assumedColluders, minimumContributors };
      const round = aRound(engine, { updateBound: 1e6 }, { privacy });
      const values = (await learnFrom(engine, rows(10), round)).subarray(0, P);
      const sensitivity = 2 ** 18 * Math.sqrt(1 + 2 * 0.1 ** 2) * (1 + 2 ** -9) + Math.sqrt(P + 2);
      expect(noise.taken).toHaveLength(3);
      for (const { noiseMultiplier, l2SensitivityInSteps } of noise.taken) {
        expect(noiseMultiplier).toBe(0.8);
        expect(l2SensitivityInSteps / sensitivity).toBeCloseTo(1, 12);
      }
      // Three steps of 0.1 along noise of z D2 levels of 2^-18, divided by 12 expected records.
      const variance = 3 * ((0.1 * 0.8 * sensitivity) / 2 ** 18 / 12) ** 2;
      const measured = values.reduce((sum, value) => sum + value * value, 0) / P;
      expect(Math.abs(measured / variance - 1)).toBeLessThan(STANDARD_DEVIATIONS * Math.sqrt(2 / P));
    },
  );

  it('put noise of the same width on the numbers that ride along, and add it up over the steps', async () => {
    const { engine } = constantEngine(4, 0);
    const round = aRound(engine, { steps: 2 }, { metrics: numbers });
    const samples: number[] = [];
    for (let attempt = 0; attempt < 120; attempt += 1) {
      samples.push(...(await learnFrom(engine, [], round, `attempt ${attempt}`)).subarray(-6));
    }
    // Two steps of z D2 levels of 2^-18, on the scale of released numbers.
    const scale = 4 / (2 * 64 * unitBound(round.manifest));
    const variance = 2 * ((stepStddevInSteps(round.manifest, 'B') / 2 ** 18) * scale) ** 2;
    const measured = samples.reduce((sum, value) => sum + value * value, 0) / samples.length;
    expect(Math.abs(measured / variance - 1)).toBeLessThan(STANDARD_DEVIATIONS * Math.sqrt(2 / samples.length));
  });

  it.each([
    [0.05, aLocalManifest().metrics],
    [0.05, numbers],
    [2.4, numbers],
    [100, numbers],
  ])(
    'attack: an adapter with values of %d and the numbers %j: no record moves any step by more than its noise is for',
    async (size, metrics) => {
      const engine = await hostileEngine(size);
      try {
        noise.instead = sameNoise;
        const isMeasured = metrics.evaluation !== undefined;
        const examples = someExamples(18).map((example) => ({
          ...example,
          isHeldOut: isMeasured && example.isHeldOut,
        }));
        const round = aRound(engine, { steps: 2, optimizer: 'adamw', learningRate: 0.01 }, { metrics });
        const sums = async (of: readonly RoundExample[]) => {
          noise.taken = [];
          engine.setAdapter(start);
          await learnFrom(engine, of, round);
          return noise.taken;
        };
        const start = engine.adapter();
        const whole = await sums(examples);
        // The longest, which decides on padding; one that is held out; another.
        for (const removed of [17, 8, 3]) {
          const without = await sums(examples.filter((_, row) => row !== removed));
          expect(without).toHaveLength(2);
          without.forEach(({ levels }, step) => {
            const moved = distance(levels, whole[step].levels);
            expect(moved).toBeGreaterThan(0);
            expect(moved).toBeLessThanOrEqual(whole[step].l2SensitivityInSteps);
            const bound = 2 ** 18 * unitBound(round.manifest) * (1 + ARITHMETIC_SLACK);
            expect(whole[step].l2SensitivityInSteps).toBeCloseTo(bound + Math.sqrt(levels.length), 6);
          });
        }
      } finally {
        await engine.close();
      }
    },
  );

  it('release what noised sums make and nothing else: with the same noised sums, other rows give the same bytes', async () => {
    const engine = await hostileEngine(0.05);
    try {
      noise.instead = sameNoise;
      const start = engine.adapter();
      const round = aRound(engine, { optimizer: 'adamw', learningRate: 0.01 }, { metrics: numbers });
      const released = async (examples: readonly RoundExample[]): Promise<Float64Array> => {
        noise.taken = [];
        engine.setAdapter(start);
        return learnFrom(engine, examples, round);
      };
      const some = await released(someExamples(17));
      expect(some.every((value) => value !== 0)).toBe(true);
      expect(await released(someExamples(40).slice(20))).toEqual(some);
      expect(await released([])).toEqual(some);
    } finally {
      await engine.close();
    }
  });

  it('give the same bytes for the same seed, and others for another', async () => {
    const bytes = async (seed: string): Promise<Float64Array> => {
      const { engine } = constantEngine(8, 0.05);
      return learnFrom(engine, rows(10), aRound(engine, { samplingRate: 0.5 }), seed);
    };
    expect(await bytes('one')).toEqual(await bytes('one'));
    expect(await bytes('one')).not.toEqual(await bytes('other'));
  });

  it('draw the records of each step anew', async () => {
    const { engine } = constantEngine(8, 0.125);
    noise.instead = (_step, length) => new Int32Array(length);
    await learnFrom(engine, rows(40), aRound(engine, { steps: 30, samplingRate: 0.5 }));
    const counts = noise.taken.map(({ levels }) => levels[0] / 2 ** 18 / 0.125);
    expect(new Set(counts).size).toBeGreaterThan(5);
    const mean = counts.reduce((sum, count) => sum + count, 0) / 30;
    expect(Math.abs(mean - 20)).toBeLessThan(STANDARD_DEVIATIONS * Math.sqrt(10 / 30));
  });

  it.each([
    // Each step: 10 gradients of 0.1 over 12 expected records.
    ['sgd', -3 * 0.1 * (1 / 12)],
    // Adam's steps along a constant gradient are of the learning rate.
    ['adamw', -3 * 0.1],
  ] as const)(
    'descend by %s along the sum over the expected count, not the count that came',
    async (optimizer, moved) => {
      const { engine } = constantEngine(8, 0.1);
      // As it came, without noise.
      noise.instead = (step) => noise.taken[step].levels;
      const values = await learnFrom(engine, rows(10), aRound(engine, { optimizer }));
      for (const value of values.subarray(0, 16)) expect(value).toBeCloseTo(moved, 5);
    },
  );

  it('measure held-out rows with the adapter of the round’s start, once, and train on the others where the steps have come to', async () => {
    const { engine, seen } = constantEngine(8, 0.1);
    noise.instead = (step) => noise.taken[step].levels;
    const metrics = { ...numbers, weight: 0.1 };
    const round = aRound(engine, { expectedRecords: 10 }, { metrics });
    const values = await learnFrom(
      engine,
      rows(10, (row) => row < 2),
      round,
    );
    expect(seen.measured).toEqual([0, 0]);
    // 8 gradients of 0.1 over 8 expected ones, at 0.1 a step.
    [0, -0.01, -0.02].forEach((at, step) => expect(seen.trained[step]).toBeCloseTo(at, 5));
    const read = readRoundMetrics(round.manifest, values, 1);
    expect(read.meanLoss).toBeCloseTo(2, 3);
    expect(read.count).toBeCloseTo(24, 2);
    expect(read.fractionWithin).toBeCloseTo(1, 3);
    expect(read.heldOut?.meanLoss).toBeCloseTo(3, 3);
    expect(read.heldOut?.accuracy).toBeCloseTo(1, 3);
    expect(read.heldOut?.count).toBeCloseTo(6, 3);
  });

  it('attack: an adapter with which rows overflow, to learn who has them from who declines: nobody does', async () => {
    const { engine } = constantEngine(8, NaN);
    noise.instead = (step) => noise.taken[step].levels;
    const values = await learnFrom(engine, rows(4), aRound(engine));
    expect(values.subarray(0, 16).every((value) => value === 0)).toBe(true);
    expect(readRoundMetrics(aRound(engine).manifest, values, 1)).toMatchObject({
      meanLoss: expect.closeTo(8, 3) as number,
    });
  });

  it('end between calls of the engine when the round does, with nothing released', async () => {
    const { engine, seen } = constantEngine(8, 0.1);
    const left = new AbortController();
    const { gradients } = engine;
    engine.gradients = (...of) => (seen.trained.length === 1 && left.abort(new Error('left')), gradients(...of));
    const parts = { random: seededRandom('left'), tokensPerBatch: 1024 };
    await expect(learn(engine, rows(4), aRound(engine), parts, left.signal)).rejects.toThrow('left');
    expect(noise.taken).toHaveLength(2);
  });
});
