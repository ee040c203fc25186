import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { toVector, withVector } from '../../client/src/engine/adapter-init.js';
import type { AdapterValues, Engine } from '../../client/src/engine/engine.js';
import { createOnnxEngine, type OnnxEngineOptions } from '../../client/src/engine/onnx/engine.js';
import { createTfjsEngine } from '../../client/src/engine/tfjs/engine.js';
import { fixtureFolder, fixtures, modelOf, relativeError, storedModel, toBatch } from './engine-fixtures.js';

const open: Engine[] = [];
afterAll(() => Promise.all(open.map((engine) => engine.close())));

type Plan = NonNullable<OnnxEngineOptions['plan']>;

async function anEngine(name: string, probability: number, plan: Plan | 'tfjs' = {}): Promise<Engine> {
  const fixture = fixtures[name];
  const { base: generated, adapter } = modelOf(fixture);
  const base = name === 'tiny' ? storedModel(join(fixtureFolder, 'tiny')) : generated;
  const lora = { ...fixture.lora, lora_dropout: probability };
  const engine =
    plan === 'tfjs'
      ? await createTfjsEngine({ base, lora, quantization: 'none', backend: 'cpu' })
      : await createOnnxEngine({
          base,
          lora,
          quantization: plan.weights === 'nf4' ? 'nf4' : 'none',
          threads: 1,
          plan,
          selfTest: false,
        });
  engine.setAdapter(adapter);
  open.push(engine);
  return engine;
}

const both = { trained: 'both', l2Bound: null } as const;

/** Slope of the loss along a direction of unit length, by central differences of the losses that `gradients` itself gives. */
async function slope(engine: Engine, direction: Float32Array, seed: number, batch: ReturnType<typeof toBatch>) {
  const adapter = engine.adapter();
  const at = toVector(adapter, 'both');
  const step = 2e-3;
  const lossAt = async (sign: number): Promise<number> => {
    const moved = at.map((value, i) => value + sign * step * direction[i]);
    engine.setAdapter(withVector(adapter, engine.modules, engine.lora.r, 'both', moved));
    const { losses } = await engine.gradients(batch, { ...both, dropoutSeed: seed });
    return losses.reduce((sum, loss) => sum + loss, 0);
  };
  const difference = (await lossAt(1)) - (await lossAt(-1));
  engine.setAdapter(adapter);
  return difference / (2 * step);
}

describe('lora_dropout', () => {
  it.each([
    ['qwen3', { structure: 'whole', weights: 'dense' }],
    ['qwen3', { structure: 'blocks', weights: 'dense' }],
    ['tiny', { structure: 'whole', weights: 'nf4' }],
    ['tiny', { structure: 'blocks', weights: 'nf4' }],
    ['llama-mha-1-block', { structure: 'blocks', weights: 'dense' }],
    ['qwen2', 'tfjs'],
  ] as [string, Plan | 'tfjs'][])(
    '%s, %j: gradients are the slope of the loss under the same mask, recomputation included',
    async (name, plan) => {
      const engine = await anEngine(name, 0.4, plan);
      const batch = toBatch(fixtures[name].batch);
      const { clippedSum } = await engine.gradients(batch, { ...both, dropoutSeed: 11 });
      const length = Math.sqrt(clippedSum.reduce((sum, value) => sum + value * value, 0));
      const along = clippedSum.map((value) => value / length);
      const measured = await slope(engine, along, 11, batch);
      expect(Math.abs(measured - length) / length).toBeLessThan(5e-3); // f32 losses over a step of 2e-3
      // Another mask has another slope: the test would notice a mask that differs between forward and backward.
      expect(Math.abs((await slope(engine, along, 12, batch)) - length) / length).toBeGreaterThan(2e-2);
    },
  );

  it.each(['qwen2', 'qwen3', 'mistral'])('%s: both engines drop the same and compute the same', async (name) => {
    const batch = toBatch(fixtures[name].batch);
    const [onnx, blocks, tfjs] = await Promise.all([
      anEngine(name, 0.25, { structure: 'whole', weights: 'dense', rows: 24 }),
      anEngine(name, 0.25, { structure: 'blocks', weights: 'dense' }),
      anEngine(name, 0.25, 'tfjs'),
    ]);
    for (const l2Bound of [null, 0.5]) {
      const options = { trained: 'both', l2Bound, dropoutSeed: 3 } as const;
      const wanted = await onnx.gradients(batch, options);
      for (const other of [blocks, tfjs]) {
        const found = await other.gradients(batch, options);
        expect(relativeError(found.losses, wanted.losses)).toBeLessThan(1e-5);
        expect(relativeError(found.clippedSum, wanted.clippedSum)).toBeLessThan(1e-4);
      }
    }
  });

  it('changes nothing on average: the mean over many masks comes near the gradient without', async () => {
    const name = 'llama-mha-1-block';
    const batch = toBatch(fixtures[name].batch);
    const engine = await anEngine(name, 0.1, { structure: 'whole', weights: 'dense' });
    const { adapter } = modelOf(fixtures[name]);
    // B small: the loss is then nearly linear in what is dropped, so that its mean is that of the undropped.
    const small: AdapterValues = {
      modules: adapter.modules.map(({ A, B }) => ({ A, B: B.map((value) => 0.01 * value) })),
    };
    engine.setAdapter(small);
    const count = 300;
    const trainedB = { trained: 'B', l2Bound: null } as const;
    const mean = new Float64Array(toVector(small, 'B').length);
    let lastDistance = 0;
    const without = await anEngine(name, 0, { structure: 'whole', weights: 'dense' });
    without.setAdapter(small);
    const wanted = (await without.gradients(batch, trainedB)).clippedSum;
    for (let seed = 0; seed < count; seed++) {
      const { clippedSum } = await engine.gradients(batch, { ...trainedB, dropoutSeed: seed });
      lastDistance = relativeError(clippedSum, wanted);
      clippedSum.forEach((value, i) => (mean[i] += value / count));
    }
    expect(lastDistance).toBeGreaterThan(0.1);
    expect(relativeError(mean, wanted)).toBeLessThan(0.05);
  });

  it('is off in evaluations, logits and continued texts', async () => {
    const batch = toBatch(fixtures['qwen3'].batch);
    const [dropping, plain] = await Promise.all([anEngine('qwen3', 0.5), anEngine('qwen3', 0)]);
    const lengths = new Int32Array(batch.examples).fill(3);
    expect(relativeError((await dropping.evaluate(batch)).losses, (await plain.evaluate(batch)).losses)).toBeLessThan(
      1e-5,
    );
    expect(relativeError(await dropping.logits(batch, lengths), await plain.logits(batch, lengths))).toBeLessThan(1e-5);
    const text = [1, 2, 3, 4];
    const [one, other] = await Promise.all([dropping, plain].map((engine) => engine.continuation!().append(text)));
    expect(relativeError(one, other)).toBeLessThan(1e-5);
  });

  it('needs a seed, a probability below 1, and weights without the adapter in them', async () => {
    const engine = await anEngine('qwen3', 0.5);
    await expect(engine.gradients(toBatch(fixtures['qwen3'].batch), both)).rejects.toThrow('dropoutSeed');
    await expect(anEngine('qwen3', 1)).rejects.toMatchObject({ code: 'adapter/unsupported' });
    await expect(anEngine('qwen3', 0.5, { weights: 'merged' })).rejects.toThrow('cannot be merged');
  });
});
