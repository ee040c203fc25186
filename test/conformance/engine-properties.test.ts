import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Batch, Engine } from '../../client/src/engine/engine.js';
import { createOnnxEngine, type OnnxEngineOptions } from '../../client/src/engine/onnx/engine.js';
import { selfTest } from '../../client/src/engine/onnx/self-test.js';
import { expected, fixtureFolder, fixtures, modelOf, relativeError, storedModel, toBatch } from './engine-fixtures.js';

const fixture = fixtures['tiny'];
const open: Engine[] = [];
afterAll(() => Promise.all(open.map((engine) => engine.close())));

async function anEngine(
  plan: OnnxEngineOptions['plan'],
  quantization: 'nf4' | 'none' = 'none',
  threads = 1,
  independentExamples = false,
): Promise<Engine> {
  const base = storedModel(join(fixtureFolder, 'tiny'));
  const engine = await createOnnxEngine({
    base,
    lora: fixture.lora,
    quantization,
    threads,
    independentExamples,
    ...(plan === undefined ? {} : { plan }),
  });
  engine.setAdapter(modelOf(fixture).adapter);
  open.push(engine);
  return engine;
}

/** Rows of all lengths from 2 to 40, most of them with an answer. */
function manyExamples(count: number): Batch {
  const ids = Array.from({ length: count }, (_, i) =>
    Array.from({ length: 2 + ((i * 7) % 39) }, (_, j) => 3 + ((i * 31 + j * 17) % 90)),
  );
  const answerMask = ids.map((row, i) => row.map((_, j) => (j >= row.length - 1 - (i % 5) ? 1 : 0)));
  return toBatch({ ids, answerMask });
}

const oneExample = (batch: Batch, example: number, length = batch.length): Batch => ({
  examples: 1,
  length,
  ids: batch.ids.slice(example * batch.length, example * batch.length + length),
  answerMask: batch.answerMask.slice(example * batch.length, example * batch.length + length),
});

describe('gradients', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await anEngine(undefined);
  });

  it('of an example are the same to the last bit in any company', async () => {
    const batch = manyExamples(48);
    const options = { trained: 'both' as const, l2Bound: 1 };
    const together = await engine.gradients(batch, options);
    for (const example of [0, 5, 17, 40]) {
      const alone = await engine.gradients(oneExample(batch, example), options);
      expect(alone.norms![0]).toBe(together.norms![example]);
      expect(alone.losses[0]).toBe(together.losses[example]);
    }
  });

  it('of an example are so with several threads and weights that are not merged, if examples are to be independent', async () => {
    const threaded = await anEngine({ weights: 'dense' }, 'none', 3, true);
    const batch = manyExamples(48);
    const options = { trained: 'both' as const, l2Bound: 1 };
    const together = await threaded.gradients(batch, options);
    for (const example of [0, 5, 17, 40]) {
      const alone = await threaded.gradients(oneExample(batch, example), options);
      expect(alone.norms![0]).toBe(together.norms![example]);
    }
  });

  it('are the sum over examples, whatever the order, the padding and the cut into slices', async () => {
    const batch = manyExamples(30);
    const options = { trained: 'both' as const, l2Bound: 5 };
    const whole = await engine.gradients(batch, options);
    const cut = await (await anEngine({ rows: 64 })).gradients(batch, options);
    const threaded = await (await anEngine({ rows: 64 }, 'none', 3)).gradients(batch, options);
    const apart = new Float64Array(whole.clippedSum.length);
    for (let example = 0; example < batch.examples; example++) {
      (await engine.gradients(oneExample(batch, example), options)).clippedSum.forEach(
        (value, i) => (apart[i] += value),
      );
    }
    for (const other of [cut.clippedSum, threaded.clippedSum, apart])
      expect(relativeError(other, whole.clippedSum)).toBeLessThan(1e-6);
    expect(cut.norms).toEqual(whole.norms);
  });

  it('of one example never exceed the bound, whose rounding the sum of squares in f32 is given', async () => {
    const batch = manyExamples(24);
    for (let example = 0; example < batch.examples; example++) {
      for (const l2Bound of [1e-3, 1]) {
        const { clippedSum } = await engine.gradients(oneExample(batch, example), { trained: 'both', l2Bound });
        const norm = Math.sqrt(clippedSum.reduce((sum, value) => sum + value * value, 0));
        // Adding 2^-24 for each value's own rounding to f32 after scaling: line 1 of protocol's ARITHMETIC_SLACK.
        expect(norm).toBeLessThanOrEqual(l2Bound * (1 + 2 ** -24));
        expect(norm).toBeGreaterThan(l2Bound * (1 - 1e-4));
      }
    }
  });

  it('of an example without answer tokens are zero, and so is its loss', async () => {
    const { ids, answerMask } = fixture.batch;
    const batch = toBatch({ ids: [...ids, ids[0]], answerMask: [...answerMask, answerMask[0].map(() => 0)] });
    const { clippedSum, losses, norms } = await engine.gradients(batch, {
      trained: 'B',
      l2Bound: fixture.trained.B.l2Bound,
    });
    expect(relativeError(clippedSum, expected.get('tiny.B')!)).toBeLessThan(1e-4);
    expect([losses[4], norms![4]]).toEqual([0, 0]);
  });

  it('of no examples are zero', async () => {
    const batch = { examples: 0, length: 8, ids: new Int32Array(0), answerMask: new Uint8Array(0) };
    expect((await engine.gradients(batch, { trained: 'A', l2Bound: 1 })).clippedSum.every((value) => value === 0)).toBe(
      true,
    );
  });
});

describe('logits', () => {
  it.each([
    ['whole', 'none'],
    ['blocks', 'nf4'],
  ] as const)('%s, %s: predict what evaluate predicts', async (structure, quantization) => {
    const engine = await anEngine({ structure, weights: quantization === 'nf4' ? 'nf4' : 'merged' }, quantization);
    const recorded = expected.get('tiny.logits')!; // [answer tokens of all examples, V]
    const V = engine.vocabularySize;
    const batch = toBatch(fixture.batch, 5);
    const firstAnswer = Int32Array.from(fixture.batch.answerMask, (mask) => mask.indexOf(1));
    const logits = await engine.logits(batch, firstAnswer);
    let row = 0;
    for (const [example, mask] of fixture.batch.answerMask.entries()) {
      const wanted = recorded.subarray(row * V, (row + 1) * V);
      expect(relativeError(logits.subarray(example * V, (example + 1) * V), wanted)).toBeLessThan(1e-5);
      row += mask.filter((one) => one === 1).length;
    }
  });
});

describe('adapter', () => {
  it('is copied on its way in and out', async () => {
    const engine = await anEngine(undefined);
    const values = modelOf(fixture).adapter;
    engine.setAdapter(values);
    const before = values.modules[0].A[0];
    values.modules[0].A[0] = 7;
    expect(engine.adapter().modules[0].A[0]).toBe(before);
    engine.adapter().modules[0].A[0] = 8;
    expect(engine.adapter().modules[0].A[0]).toBe(before);
  });

  it('changes the next result, also where it is merged into the weights', async () => {
    const engine = await anEngine({ weights: 'merged' });
    const batch = toBatch(fixture.batch);
    const { adapter } = modelOf(fixture);
    engine.setAdapter({ modules: adapter.modules.map(({ A, B }) => ({ A, B: B.map(() => 0) })) });
    expect(relativeError((await engine.evaluate(batch)).losses, fixture.losses)).toBeGreaterThan(1e-3);
    engine.setAdapter(adapter);
    expect(relativeError((await engine.evaluate(batch)).losses, fixture.losses)).toBeLessThan(1e-5);
  });
});

describe('selfTest', () => {
  const factory = (structure: 'whole' | 'blocks') => (model: Parameters<Parameters<typeof selfTest>[3]>[0]) =>
    createOnnxEngine({ ...model, threads: 1, plan: { structure, weights: model.weights }, selfTest: false });

  it.each([
    ['merged', 'whole', 'silu'],
    ['dense', 'whole', 'silu'],
    ['nf4', 'whole', 'silu'],
    ['nf4', 'blocks', 'silu'],
    ['merged', 'whole', 'gelu_pytorch_tanh'],
    ['nf4', 'blocks', 'gelu_pytorch_tanh'],
  ] as const)('passes this machine with %s weights, %s, %s', async (weights, structure, activation) => {
    const result = await selfTest('cpu', weights, activation, factory(structure));
    expect(result.gradient).toBeLessThan(1e-5);
  });

  it('refuses a device whose losses are right and whose gradients are not, and says by how much', async () => {
    const faulty = async (model: Parameters<Parameters<typeof selfTest>[3]>[0]): Promise<Engine> => {
      const engine = await factory('whole')(model);
      const gradients = engine.gradients.bind(engine);
      engine.gradients = async (batch, options) => {
        const result = await gradients(batch, options);
        result.clippedSum[3] *= 1.01;
        return result;
      };
      return engine;
    };
    await expect(selfTest('cpu', 'dense', 'silu', faulty)).rejects.toMatchObject({
      code: 'engine/self-test-failed',
      message: expect.stringMatching(/gradient \d/),
    });
  });

  it.each(['losses', 'norms'] as const)(
    'refuses a device on which %s depend on the examples beside',
    async (numbers) => {
      const faulty = async (model: Parameters<Parameters<typeof selfTest>[3]>[0]): Promise<Engine> => {
        const engine = await factory('whole')(model);
        const gradients = engine.gradients.bind(engine);
        engine.gradients = async (batch, options) => {
          const result = await gradients(batch, options);
          if (batch.examples > 1) result[numbers]![0] *= 1 + 2 ** -15; // a tenth of what would be wrong by itself
          return result;
        };
        return engine;
      };
      await expect(selfTest('cpu', 'dense', 'silu', faulty)).rejects.toMatchObject({
        code: 'engine/self-test-failed',
        message: expect.stringMatching(/company \d/) as string,
      });
    },
  );
});
