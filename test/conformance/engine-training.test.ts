import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { toVector } from '../../client/src/engine/adapter-init.js';
import type { Engine } from '../../client/src/engine/engine.js';
import { createOnnxEngine } from '../../client/src/engine/onnx/engine.js';
import { train } from '../../client/src/engine/train.js';
import type { BaseModel } from '../../client/src/engine/weights/base-model.js';
import {
  expected,
  fixtureFolder,
  fixtures,
  modelOf,
  readTensors,
  relativeError,
  storedModel,
  toBatch,
} from './engine-fixtures.js';

/** Ten steps of AdamW in f32 against f64; Adam divides by the gradient's own size, which magnifies rounding where that is small. */
const AFTER_TEN_STEPS = 1e-3;
const LOSS = 1e-4;

const open: Engine[] = [];
afterAll(() => Promise.all(open.map((engine) => engine.close())));

describe('train', () => {
  it('makes the ten steps that torch.optim.AdamW makes, warm-up and gradient limit included', async () => {
    const fixture = fixtures['tiny'];
    const { learning_rate, weight_decay, warmup_steps, max_grad_norm, losses } = fixture.adamw;
    const engine = await createOnnxEngine({
      base: storedModel(join(fixtureFolder, 'tiny')),
      lora: fixture.lora,
      quantization: 'nf4',
      threads: 1,
    });
    open.push(engine);
    engine.setAdapter(modelOf(fixture).adapter);
    const seen: number[] = [];
    const source = { batchesPerEpoch: 1, nextBatch: () => toBatch(fixture.batch) };
    const options = {
      trained: 'both' as const,
      learning_rate,
      weight_decay,
      warmup_steps,
      max_grad_norm,
      num_train_epochs: losses.length,
    };
    await train(engine, source, options, undefined, ({ loss }) => seen.push(loss));
    expect(relativeError(seen, losses)).toBeLessThan(LOSS);
    expect(relativeError(toVector(engine.adapter(), 'both'), expected.get('tiny.adamw')!)).toBeLessThan(
      AFTER_TEN_STEPS,
    );
  });

  it('stops when a loss is not finite, and leaves the adapter as it was', async () => {
    const fixture = fixtures['qwen3'];
    const { base, adapter } = modelOf(fixture);
    const engine = await createOnnxEngine({ base, lora: fixture.lora, quantization: 'none', threads: 1 });
    open.push(engine);
    engine.setAdapter({ modules: adapter.modules.map(({ A, B }) => ({ A: A.map(() => NaN), B })) });
    const source = { batchesPerEpoch: 1, nextBatch: () => toBatch(fixture.batch) };
    await expect(train(engine, source, { trained: 'B', learning_rate: 1 })).rejects.toMatchObject({
      code: 'engine/diverged',
    });
    expect(toVector(engine.adapter(), 'B')).toEqual(toVector(adapter, 'B'));
  });
});

/** A real pretrained model; not part of the repository. */
const shared = join(import.meta.dirname, '../../../shared');
const golden = join(shared, 'fixtures/stories260K-peft-r4');

describe.skipIf(!existsSync(golden))(
  'stories260K with an adapter of rank 4 (skipped where the model is absent)',
  () => {
    interface Golden {
      readonly input_ids: number[][];
      readonly labels_shifted: number[][];
      readonly runs: Record<
        string,
        { readonly losses: number[]; readonly first_step_grad_norms: Record<string, number> }
      >;
    }

    it.each(['fp32', 'nf4dq'])('%s: gradient norms of the first step', async (run) => {
      const recorded = JSON.parse(readFileSync(join(golden, 'golden_train.json'), 'utf8')) as Golden;
      const { losses, first_step_grad_norms: norms } = recorded.runs[run];
      const lora = { r: 4, lora_alpha: 8, use_rslora: false, target_modules: ['all-linear'] };
      const base = storedModel(join(shared, 'models/stories260K/hf'));
      // The second run's weights went through NF4 with double quantization, which is a matter of reading, tested there.
      const dequantized =
        run === 'fp32'
          ? new Map<string, Float32Array>()
          : readTensors(join(shared, 'fixtures/stories260K-nf4/dequantized.golden.safetensors'));
      const tensor: BaseModel['tensor'] = async (name, shape) => dequantized.get(name) ?? base.tensor(name, shape);
      const engine = await createOnnxEngine({ base: { ...base, tensor }, lora, quantization: 'none', threads: 1 });
      open.push(engine);
      const start = readTensors(join(golden, 'adapter_init.safetensors'));
      const name = (module: string, factor: string): Float32Array => start.get(`${module}.lora_${factor}.weight`)!;
      engine.setAdapter({
        modules: engine.modules.map((module) => ({ A: name(module.name, 'A'), B: name(module.name, 'B') })),
      });

      // The record's loss is the mean over all answer tokens, ours by example first: weigh the examples by their share of tokens.
      const shares = recorded.labels_shifted.map((row) => row.filter((label) => label >= 0).length);
      const total = shares.reduce((sum, share) => sum + share, 0);
      const gradient = new Float64Array(toVector(engine.adapter(), 'both').length);
      let loss = 0;
      for (const [i, ids] of recorded.input_ids.entries()) {
        const answerMask = [0, ...recorded.labels_shifted[i].slice(0, -1).map((label) => (label >= 0 ? 1 : 0))];
        const found = await engine.gradients(toBatch({ ids: [ids], answerMask: [answerMask] }), {
          trained: 'both',
          l2Bound: null,
        });
        loss += (found.losses[0] * shares[i]) / total;
        found.clippedSum.forEach((value, p) => (gradient[p] += (value * shares[i]) / total));
      }
      expect(Math.abs(loss - losses[0]) / losses[0]).toBeLessThan(1e-5);
      let offset = 0;
      for (const module of engine.modules) {
        for (const [factor, size] of [
          ['A', 4 * module.inFeatures],
          ['B', 4 * module.outFeatures],
        ] as const) {
          const norm = Math.sqrt(
            gradient.subarray(offset, offset + size).reduce((sum, value) => sum + value * value, 0),
          );
          const wanted = norms[`${module.name.replace('base_model.model.', '')}.${factor}`];
          expect(Math.abs(norm - wanted) / wanted, `${module.name}.${factor}`).toBeLessThan(1e-4);
          offset += size;
        }
      }
    });
  },
);
