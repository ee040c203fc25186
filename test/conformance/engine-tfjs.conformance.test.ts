import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { adaptedModules, linearLayers } from '@fedlora/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Batch, Engine, LoraConfig } from '../../client/src/engine/engine.js';
import { createOnnxEngine } from '../../client/src/engine/onnx/engine.js';
import { knownAdapter, knownModel, KnownValues } from '../../client/src/engine/onnx/known-model.js';
import { detectTfjsBackend, useBackend, type TfjsBackend } from '../../client/src/engine/tfjs/backend.js';
import { createTfjsEngine } from '../../client/src/engine/tfjs/engine.js';
import { checkUnpacking, nf4Weight } from '../../client/src/engine/tfjs/frozen-weight.js';
import type { ModelConfig } from '../../client/src/engine/weights/base-model.js';
import { dequantizeNf4, quantizeNf4 } from '../../client/src/engine/weights/nf4.js';
import {
  expected,
  fixtureFolder,
  fixtures,
  labelLogits,
  modelOf,
  relativeError,
  storedModel,
  tenSteps,
  toBatch,
  withFactorR,
} from './engine-fixtures.js';

/** f32 through three blocks against f64: 1e-6 measured; the bound of DESIGN section 8. */
const GRADIENT = 1e-4;
const LOSS = 1e-5;
const LOGITS = 1e-5;

/** Adam divides by the gradient's own size, which magnifies rounding where that is small. */
const TEN_STEPS = 1e-4;

/** Two engines in f32, each with its own order of summation. */
const BETWEEN_ENGINES = 1e-4;

const factors = ['A', 'B', 'both'] as const;

const open: Engine[] = [];
afterAll(() => Promise.all(open.map((engine) => engine.close())));

const kept = <T extends Engine>(engine: T): T => {
  open.push(engine);
  return engine;
};

/**
 * The native backend is there where `npm run gpu:tensorflow` has built it, as CI does before its tests where pip offers TensorFlow.
 * Elsewhere one test, by the name of its title and on standard error, says what is missing. A backend that is built and does not
 * work fails that test.
 */
const script = join(import.meta.dirname, '../../client/scripts/gpu-tensorflow.mjs');
const check = spawnSync(process.execPath, [script, '--check'], { encoding: 'utf8' });
const backends: readonly TfjsBackend[] = check.status === 0 ? ['node', 'wasm', 'cpu'] : ['wasm', 'cpu'];

if (check.status !== 0) {
  it('tfjs on node: not tested here, and `npm run gpu:tensorflow -- --check` says why', () => {
    process.stderr.write(`tfjs on node is not tested here: ${check.stderr}`);
    expect(check.stderr).toMatch(
      /^(The native TensorFlow backend|The npm package .*|The build) is (not built|not installed|for Linux)/,
    );
    expect(check.stderr).toContain('what to do: ');
  });
} else {
  describe('NF4 on the device of the native backend', () => {
    it('unpacks to the very values of dequantizeNf4, and leaves nothing behind', async () => {
      await detectTfjsBackend('node');
      useBackend('node');
      const before = tf.memory().numTensors;
      await checkUnpacking('device');
      for (const [rows, columns] of [
        [24, 16],
        [7, 11],
        [96, 80],
      ] as const) {
        const values = Float32Array.from({ length: rows * columns }, (_, i) => Math.sin(i * i + rows) * (1 + (i % 5)));
        const weight = nf4Weight(quantizeNf4(values), [rows, columns], 'device');
        const unpacked = weight.unpack();
        expect(unpacked.shape).toEqual([rows, columns]);
        expect(await unpacked.data()).toEqual(dequantizeNf4(quantizeNf4(values), values.length));
        unpacked.dispose();
        weight.dispose();
      }
      expect(tf.memory().numTensors).toBe(before);
    });
  });
}

/**
 * The nightly suite asks every backend everything. Here `cpu`, which nobody trains on, is not asked what takes it half a minute with the
 * largest of the models, and the backends share the random configurations.
 */
const everything = process.env['FEDLORA_EVERY_CASE'] === '1';

for (const backend of backends) {
  for (const [name, fixture] of Object.entries(fixtures)) {
    for (const quantization of name === 'tiny' ? (['none', 'nf4'] as const) : (['none'] as const)) {
      describe(`tfjs on ${backend}, ${name}, quantization ${quantization}: what transformers and peft compute`, () => {
        let engine: Engine;
        beforeAll(async () => {
          const { base: generated, adapter } = modelOf(fixture);
          const base = name === 'tiny' ? storedModel(join(fixtureFolder, 'tiny')) : generated;
          engine = kept(await createTfjsEngine({ base, lora: fixture.lora, quantization, backend }));
          engine.setAdapter(adapter);
        });

        it.each(factors)('gradients of %s, clipped by example and summed', async (trained) => {
          const { l2Bound, norms } = fixture.trained[trained];
          const found = await engine.gradients(toBatch(fixture.batch), { trained, l2Bound });
          expect(relativeError(found.losses, fixture.losses)).toBeLessThan(LOSS);
          expect(relativeError(found.norms!, norms)).toBeLessThan(GRADIENT);
          expect(relativeError(found.clippedSum, expected.get(`${name}.${trained}`)!)).toBeLessThan(GRADIENT);
        });

        it.each(factors)('gradients of %s, summed as they are', async (trained) => {
          const found = await engine.gradients(toBatch(fixture.batch, 3), { trained, l2Bound: null });
          const error = relativeError(found.clippedSum, expected.get(`${name}.${trained}.unclipped`)!);
          expect(error).toBeLessThan(GRADIENT);
        });

        it('gradients of R between frozen A and B, and the losses of s B R A', async () => {
          const { adapter } = modelOf(fixture);
          engine.setAdapter(withFactorR(fixture, adapter));
          const { l2Bound, norms, losses } = fixture.trained.R;
          const found = await engine.gradients(toBatch(fixture.batch), { trained: 'R', l2Bound });
          expect(relativeError(found.losses, losses)).toBeLessThan(LOSS);
          expect(relativeError(found.norms!, norms)).toBeLessThan(GRADIENT);
          expect(relativeError(found.clippedSum, expected.get(`${name}.R`)!)).toBeLessThan(GRADIENT);
          const whole = await engine.gradients(toBatch(fixture.batch, 3), { trained: 'R', l2Bound: null });
          expect(relativeError(whole.clippedSum, expected.get(`${name}.R.unclipped`)!)).toBeLessThan(GRADIENT);
          engine.setAdapter(adapter);
        });

        it('losses and greedy answers', async () => {
          const { losses, exact } = await engine.evaluate(toBatch(fixture.batch));
          expect(relativeError(losses, fixture.losses)).toBeLessThan(LOSS);
          expect([...exact]).toEqual(fixture.exact);
        });

        const isSlow = backend === 'cpu' && name === 'tiny' && !everything;

        it('a step leaves nothing on the device', async () => {
          const batch = toBatch(fixture.batch);
          const before = tf.memory();
          for (let step = 0; step < (isSlow ? 1 : 3); step++)
            await engine.gradients(batch, { trained: 'both', l2Bound: 1 });
          const { numTensors, numBytes } = tf.memory();
          expect({ numTensors, numBytes }).toEqual({ numTensors: before.numTensors, numBytes: before.numBytes });
        });

        it('logits at the positions that predict an answer', async () => {
          const logits = await labelLogits(engine, fixture.batch);
          expect(relativeError(logits, expected.get(`${name}.logits`)!)).toBeLessThan(LOGITS);
        });

        if (isSlow) return;

        // Last, because it changes the adapter.
        it('ten steps of AdamW, warm-up and gradient limit included', async () => {
          const { losses, adapter } = await tenSteps(engine, fixture);
          expect(relativeError(losses, fixture.adamw.losses)).toBeLessThan(TEN_STEPS);
          expect(relativeError(adapter, expected.get(`${name}.adamw`)!)).toBeLessThan(TEN_STEPS);
        });
      });
    }
  }
}

const fast = backends.filter((backend) => backend !== 'cpu');
describe.each(fast)('onnx and tfjs on %s, which know nothing of each other', (backend) => {
  /** A seed per case: the same every time, and named in a failure. */
  const seeds = Array.from({ length: 24 }, (_, i) => 1000 + i);
  it.each(seeds.filter((_, i) => everything || Math.floor((i * fast.length) / 24) === fast.indexOf(backend)))(
    'agree on the random configuration of seed %i',
    async (seed) => {
      const { config, lora, batch, quantization, structure } = aRandomCase(seed);
      const { base, values } = knownModel(config, seed);
      const options = { base, lora, quantization };
      const tfjs = kept(await createTfjsEngine({ ...options, backend }));
      const onnx = kept(await createOnnxEngine({ ...options, threads: 1, plan: { structure } }));
      expect(tfjs.modules).toEqual(onnx.modules);
      const trained = seed % 4 === 3 ? 'R' : factors[seed % 3];
      const known = knownAdapter(values, tfjs.modules, lora.r);
      const adapter = trained === 'R' ? withFactorR({ seed, lora }, known) : known;
      for (const engine of [tfjs, onnx]) engine.setAdapter(adapter);

      const free = await onnx.gradients(batch, { trained, l2Bound: 1e9 });
      const l2Bound = Math.max(...free.norms!) * 0.7;
      for (const bound of [l2Bound, null]) {
        const [mine, theirs] = [
          await tfjs.gradients(batch, { trained, l2Bound: bound }),
          await onnx.gradients(batch, { trained, l2Bound: bound }),
        ];
        expect(relativeError(mine.clippedSum, theirs.clippedSum)).toBeLessThan(BETWEEN_ENGINES);
        expect(relativeError(mine.losses, theirs.losses)).toBeLessThan(BETWEEN_ENGINES);
      }
      const lengths = Int32Array.from({ length: batch.examples }, (_, i) => 1 + ((seed + i) % batch.length));
      expect(relativeError(await tfjs.logits(batch, lengths), await onnx.logits(batch, lengths))).toBeLessThan(
        BETWEEN_ENGINES,
      );
      const [mine, theirs] = [await tfjs.evaluate(batch), await onnx.evaluate(batch)];
      expect(relativeError(mine.losses, theirs.losses)).toBeLessThan(BETWEEN_ENGINES);
      expect(mine.exact).toEqual(theirs.exact);
    },
  );
});

interface RandomCase {
  readonly config: ModelConfig;
  readonly lora: LoraConfig;
  readonly batch: Batch;
  readonly quantization: 'nf4' | 'none';
  readonly structure: 'whole' | 'blocks';
}

/** A small model, adapter shape and batch, all of them of awkward sizes, which follow from a seed. */
function aRandomCase(seed: number): RandomCase {
  const random = new KnownValues(seed * 7919);
  const upTo = (count: number): number => Math.floor(((random.values(1, 1)[0] + 1) / 2) * count); // 0 .. count - 1
  const oneOf = <T>(choices: readonly T[]): T => choices[upTo(choices.length)];

  const num_key_value_heads = 1 + upTo(3);
  const model_type = oneOf(['llama', 'mistral', 'qwen2', 'qwen3', 'gemma2', 'gemma3_text'] as const);
  const num_hidden_layers = 1 + upTo(3);
  const layer_types = Array.from({ length: num_hidden_layers }, () =>
    oneOf(['full_attention', 'sliding_attention'] as const),
  );
  const config: ModelConfig = {
    model_type,
    hidden_size: 64 * (1 + upTo(2)),
    intermediate_size: 64 * (1 + upTo(3)),
    num_hidden_layers,
    num_attention_heads: num_key_value_heads * (1 + upTo(3)),
    num_key_value_heads,
    head_dim: oneOf([8, 16, 32]),
    vocab_size: 20 + upTo(80),
    max_position_embeddings: 32,
    rms_norm_eps: 1e-5,
    rope_theta: oneOf([100, 10_000]),
    ...oneOf([
      {},
      { rope_scaling: { rope_type: 'linear', factor: 2 } as const },
      {
        rope_scaling: {
          rope_type: 'llama3',
          factor: 8,
          low_freq_factor: 1,
          high_freq_factor: 4,
          original_max_position_embeddings: 16,
        } as const,
      },
    ]),
    tie_word_embeddings: oneOf([true, false]),
    ...(model_type !== 'llama' && layer_types.includes('sliding_attention')
      ? {
          layer_types,
          sliding_window: 1 + upTo(12),
          ...(model_type === 'gemma3_text' ? { rope_local_base_freq: 50 } : {}),
        }
      : {}),
    ...(model_type.startsWith('gemma') ? { embedding_scale: 2.5, ...oneOf([{}, { query_pre_attn_scalar: 3 }]) } : {}),
    ...(model_type.startsWith('gemma') ? oneOf([{}, { final_logit_softcapping: 4 }]) : {}),
    ...(model_type === 'gemma2' ? oneOf([{}, { attn_logit_softcapping: 2 }]) : {}),
  };
  const names = linearLayers.map(([name]) => name).filter(() => upTo(3) > 0);
  const lora = {
    r: 1 + upTo(8),
    lora_alpha: 1 + upTo(16),
    use_rslora: oneOf([true, false]),
    target_modules: names.length > 0 ? names : ['v_proj'],
  };
  expect(adaptedModules(config, names).length).toBe(names.length * config.num_hidden_layers);

  const examples = 1 + upTo(4);
  const length = 4 + upTo(20);
  const ids = Int32Array.from({ length: examples * length }, () => upTo(config.vocab_size));
  const answerMask = Uint8Array.from({ length: examples * length }, () => (upTo(3) === 0 ? 1 : 0));
  answerMask[2] = 1; // at least one answer in the batch
  return {
    config,
    lora,
    batch: { examples, length, ids, answerMask },
    quantization: oneOf(['nf4', 'none']),
    structure: oneOf(['whole', 'blocks']),
  };
}
