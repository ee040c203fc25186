import {
  fitPlan,
  makeEnginePlan,
  missingBytes,
  type EnginePlan,
  type MemoryPlan,
  type MemoryUse,
} from '@fedlora/shared';
import { describe, expect, it } from 'vitest';
import type { LoraConfig } from '../engine.js';
import type { ModelConfig } from '../weights/base-model.js';
import { parseModelConfig } from '../weights/model-config.js';
import { memoryPlan } from './memory-plan.js';

const lora: LoraConfig = { r: 4, lora_alpha: 8, use_rslora: false, target_modules: ['q_proj', 'down_proj'] };

/** Numbers that are all different, so that a size taken for another shows. */
function aConfig(changes: object = {}): ModelConfig {
  return parseModelConfig(
    JSON.stringify({
      model_type: 'qwen2',
      hidden_size: 96,
      intermediate_size: 200,
      num_hidden_layers: 3,
      num_attention_heads: 6,
      num_key_value_heads: 2,
      vocab_size: 1000,
      max_position_embeddings: 512,
      rms_norm_eps: 1e-6,
      tie_word_embeddings: false,
      ...changes,
    }),
  );
}

const blocks: EnginePlan = {
  weights: 'nf4',
  structure: 'blocks',
  rows: 128,
  tables: 'stored',
  logitsBytes: 2 ** 20,
  keptBytes: 0,
  readyGraphs: 'last',
};

const use: MemoryUse = {
  examples: 5,
  length: 50,
  labels: 20,
  trained: 'both',
  perExample: true,
  hasHalfTables: true,
};

function bytesOf(
  plan: Partial<EnginePlan> = {},
  changes: Partial<MemoryUse> = {},
  config = aConfig(),
): MemoryPlan['bytes'] {
  return memoryPlan(config, lora, { ...blocks, ...plan }, { ...use, ...changes }).bytes;
}

// Linear weights of a block: q 96 x 96, k and v 32 x 96, o 96 x 96, gate and up 200 x 96, down 96 x 200.
const LINEAR = 3 * (96 * 96 + 2 * 32 * 96 + 96 * 96 + 3 * 200 * 96);
// r = 4: q has A [4, 96] and B [96, 4], down A [4, 200] and B [96, 4].
const TRAINED = 3 * 4 * (96 + 96 + 200 + 96);

describe('memoryPlan', () => {
  it('counts half a byte a code and four for each block of 64', () => {
    const { codes, absmax, weights, merged } = bytesOf();
    expect({ codes, absmax, weights, merged }).toEqual({
      codes: LINEAR / 2,
      absmax: (4 * LINEAR) / 64,
      weights: 0,
      merged: 0,
    });
  });

  it('counts f32 weights, and those with the adapter in them a second time', () => {
    const { codes, weights, merged } = bytesOf({ weights: 'merged' });
    expect({ codes, weights, merged }).toEqual({
      codes: 0,
      weights: 4 * LINEAR,
      merged: 4 * 3 * (96 * 96 + 200 * 96),
    });
    expect(bytesOf({ weights: 'dense' }).merged).toBe(0);
  });

  it('counts tables in 16 bits only where checkpoint and plan have them so', () => {
    expect(bytesOf().tables).toBe(2 * 2 * 1000 * 96);
    expect(bytesOf({}, { hasHalfTables: false }).tables).toBe(4 * 2 * 1000 * 96);
    expect(bytesOf({ tables: 'f32' }).tables).toBe(4 * 2 * 1000 * 96);
    expect(bytesOf({ structure: 'whole' }).tables).toBe(4 * 2 * 1000 * 96);
    expect(bytesOf({}, {}, aConfig({ tie_word_embeddings: true })).tables).toBe(2 * 1000 * 96);
  });

  it('counts norms and biases of every block, and the last norm', () => {
    expect(bytesOf().norms).toBe(4 * (3 * (2 * 96 + 96 + 2 * 32) + 96));
  });

  it('counts all factors of the adapter, and what training starts from', () => {
    expect(bytesOf({}, { trained: 'A' }).adapter).toBe(4 * TRAINED);
    expect(bytesOf({}, { trained: 'A', optim: 'sgd' }).adapter).toBe(2 * 4 * TRAINED);
    // R is [4, 4] for each of six modules, between factors that stay; B R is [96, 4].
    expect(bytesOf({}, { trained: 'R' }).adapter).toBe(4 * (TRAINED + 6 * (4 * 4 + 96 * 4)));
  });

  it('counts parameters, the mean gradient in f64 and the state of each optimizer', () => {
    expect(bytesOf().optimizer).toBe(0);
    expect(bytesOf({}, { optim: 'adamw' }).optimizer).toBe((4 + 8 + 16) * TRAINED);
    expect(bytesOf({}, { optim: 'sgd' }).optimizer).toBe((4 + 8 + 8) * TRAINED);
    const eightBit = bytesOf({}, { optim: 'adamw_8bit' }).optimizer;
    expect(eightBit).toBe((4 + 8 + 2) * TRAINED + 2 * 4 * Math.ceil(TRAINED / 256));
  });

  it('counts a checkpoint of each block for the two examples that fit into 128 rows', () => {
    expect(bytesOf().checkpoints).toBe(4 * 3 * (2 * 50) * 96);
    expect(bytesOf({ structure: 'whole' }).checkpoints).toBe(0);
  });

  it('counts a gradient for each example of a slice where they are clipped, and their sums', () => {
    const sums = 4 * TRAINED + 8 * TRAINED + 4 * TRAINED;
    expect(bytesOf().gradients).toBe(2 * 4 * TRAINED + sums);
    expect(bytesOf({}, { perExample: false }).gradients).toBe(4 * TRAINED + sums);
  });

  it('keeps activations of as many blocks as there is memory for, the last never', () => {
    const block = 4 * 2 * 50 * (96 + 2 * (6 + 2) * 16 + 2 * 200 + 6 * 50);
    expect(bytesOf({ keptBytes: block - 1 }).kept).toBe(0);
    expect(bytesOf({ keptBytes: block }).kept).toBe(block);
    expect(bytesOf({ keptBytes: 9 * block }).kept).toBe(2 * block);
  });

  it('computes an example that is longer than the rows alone', () => {
    expect(bytesOf({ rows: 16 }).checkpoints).toBe(4 * 3 * 50 * 96);
  });

  it('takes the memory of one graph where only the last is ready, and of all where all are', () => {
    const few = { labels: 1 };
    const one = bytesOf({ keptBytes: 2 ** 40 }, few);
    const all = bytesOf({ keptBytes: 2 ** 40, readyGraphs: 'all' }, few);
    // Backward holds three weights in f32, the tail two, forward one; the largest is [200, 96].
    expect(one.dequantized).toBe(Math.round(1.2 * 3 * 4 * 200 * 96));
    expect(all.dequantized).toBe(Math.round(1.2 * (3 + 2 + 1) * 4 * 200 * 96));
    expect(all.activations).toBeGreaterThan(one.activations);
  });

  it('holds the logits of one part of the vocabulary', () => {
    // 40 labels of 1000 tokens are in one part of 2 ** 20 bytes; the head's part is f32 beside three copies.
    const all = { readyGraphs: 'all' } as const;
    expect(bytesOf(all).logits).toBe(Math.round(1.2 * 4 * (3 * 40 * 1000 + 1000 * 96)));
    // 128 rows of 1000 tokens are 512 000 bytes: two parts of 256 000.
    expect(bytesOf({ ...all, logitsBytes: 256_000 }).logits).toBe(Math.round(1.2 * 4 * (3 * 40 * 500 + 500 * 96)));
  });

  it('is the sum of its parts, and the base is what stays', () => {
    const { bytes, baseBytes, totalBytes } = memoryPlan(aConfig(), lora, blocks, use);
    expect(totalBytes).toBe(Object.values(bytes).reduce((sum, value) => sum + value, 0));
    expect(baseBytes).toBe(bytes.codes + bytes.absmax + bytes.tables + bytes.norms);
  });
});

describe('fitPlan', () => {
  const config = aConfig({ hidden_size: 768, intermediate_size: 2048, num_hidden_layers: 12, head_dim: 128 });
  const memoryOf = (plan: EnginePlan): MemoryPlan =>
    memoryPlan(config, lora, plan, { ...use, examples: 64, length: 100 });
  const start: EnginePlan = { ...blocks, rows: 1024, keptBytes: 2 ** 30, logitsBytes: 2 ** 26, readyGraphs: 'all' };
  const neededBy = (plan: EnginePlan): number => missingBytes(memoryOf(plan), 0);

  it('leaves a plan that fits as it is', () => {
    expect(fitPlan(memoryOf, start, neededBy(start))).toMatchObject({ plan: start, fits: true });
  });

  it('keeps fewer activations before anything else, but as many as fit', () => {
    const { plan, fits, memory } = fitPlan(memoryOf, start, neededBy(start) - 1);
    expect(fits).toBe(true);
    expect(plan).toEqual({ ...start, keptBytes: plan.keptBytes });
    expect(memory.bytes.kept).toBeGreaterThan(0);
    expect(memory.bytes.kept).toBeLessThan(memoryOf(start).bytes.kept);
  });

  it('then computes fewer rows at a time', () => {
    const { plan, fits } = fitPlan(memoryOf, start, neededBy({ ...start, keptBytes: 0 }) - 1);
    expect(fits).toBe(true);
    expect(plan).toEqual({ ...start, keptBytes: 0, rows: 512 });
  });

  it('gives the least that there is where nothing fits', () => {
    const { plan, fits, memory } = fitPlan(memoryOf, { ...start, structure: 'whole', tables: 'f32' }, 1000);
    expect(fits).toBe(false);
    expect(plan).toMatchObject({ structure: 'blocks', keptBytes: 0, rows: 128, readyGraphs: 'last' });
    expect(missingBytes(memory, 1000)).toBe(memory.totalBytes - memory.bytes.process - 1000);
  });

  it('leaves what is fixed', () => {
    const { plan } = fitPlan(memoryOf, start, 1000, { rows: 1024 });
    expect(plan).toMatchObject({ rows: 1024, keptBytes: 0, readyGraphs: 'last' });
  });

  it('finds a plan for a model of 7B within 8 GiB and for none within 2', () => {
    const llama = parseModelConfig(
      JSON.stringify({
        model_type: 'llama',
        hidden_size: 4096,
        intermediate_size: 11008,
        num_hidden_layers: 32,
        num_attention_heads: 32,
        vocab_size: 32000,
      }),
    );
    const all = { ...lora, target_modules: ['all-linear'] };
    const of = (plan: EnginePlan): MemoryPlan => memoryPlan(llama, all, plan, { ...use, examples: 16, length: 512 });
    const plan = makeEnginePlan(llama, all, 'nf4');
    expect(fitPlan(of, plan, 8 * 2 ** 30)).toMatchObject({ fits: true, plan: { structure: 'blocks' } });
    expect(fitPlan(of, plan, 2 * 2 ** 30).fits).toBe(false);
  });
});
