import { afterEach, describe, expect, it } from 'vitest';
import * as tf from '@tensorflow/tfjs';
import type { AdapterValues, Batch, Engine, LoraConfig, TrainedFactor } from '../engine.js';
import type { BaseModel, ModelConfig } from '../weights/base-model.js';
import { knownAdapter, knownModel, KnownValues } from '../onnx/known-model.js';
import { expectedTensors } from '../weights/model-config.js';
import { ropeFrequencies } from '../weights/rope.js';
import { createTfjsEngine } from './engine.js';

/** Relative; f32 sums of at most a few hundred terms against f64. */
const F32_AGAINST_F64 = 2e-5;

/** Relative to the largest slope; central differences in f64 with a step of 1e-4 of a value. */
const DIFFERENCES = 1e-4;

const allLinear = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'];
const lora: LoraConfig = { r: 3, lora_alpha: 5, use_rslora: false, target_modules: allLinear };

function aConfig(changes: Partial<ModelConfig> = {}): ModelConfig {
  return {
    model_type: 'llama',
    hidden_size: 16,
    intermediate_size: 24,
    num_hidden_layers: 1,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    head_dim: 6,
    vocab_size: 19,
    max_position_embeddings: 32,
    rms_norm_eps: 1e-5,
    rope_theta: 100,
    tie_word_embeddings: true,
    ...changes,
  };
}

interface InspectableModel extends BaseModel {
  readonly tensors: ReadonlyMap<string, Float32Array>;
}

/** A base model of seeded tensors; what is in it follows from the model type. */
async function aBaseModel(config: ModelConfig, seed = 1): Promise<InspectableModel> {
  const { base } = knownModel(config, seed);
  const tensors = new Map<string, Float32Array>();
  for (const [name, shape] of expectedTensors(config)) tensors.set(name, await base.tensor(name, shape));
  return { ...base, tensors };
}

/** Rows of different lengths, each with its answer at the end, but for the gap that a chat of two answers has. */
function aBatch(): Batch {
  const rows = [
    { ids: [3, 7, 1, 12, 5, 9, 2], mask: [0, 0, 0, 1, 1, 1, 1] },
    { ids: [4, 4, 18, 6, 2], mask: [0, 1, 0, 0, 1] },
    { ids: [11, 2, 8, 0, 17, 13, 16, 2], mask: [0, 0, 0, 0, 0, 0, 1, 1] },
  ];
  const length = 9;
  const ids = new Int32Array(rows.length * length);
  const answerMask = new Uint8Array(rows.length * length);
  rows.forEach((row, i) => {
    ids.set(row.ids, i * length);
    answerMask.set(row.mask, i * length);
  });
  return { examples: rows.length, length, ids, answerMask };
}

/** The model spelt out in f64 with loops: slow, plain, and written without a look at the engine. */
function referenceLogits(base: InspectableModel, adapter: ReferenceAdapter, ids: readonly number[]): number[][] {
  const c = base.config;
  const weight = (name: string): Float32Array => base.tensors.get(name)!;
  const norm = (x: readonly number[], name: string): number[] => {
    const scale = 1 / Math.sqrt(x.reduce((sum, value) => sum + value * value, 0) / x.length + c.rms_norm_eps);
    return x.map((value, i) => value * scale * weight(name)[i]);
  };
  const times = (matrix: ArrayLike<number>, x: readonly number[]): number[] =>
    Array.from({ length: matrix.length / x.length }, (_, row) =>
      x.reduce((sum, value, i) => sum + matrix[row * x.length + i] * value, 0),
    );
  const linear = (x: readonly number[], block: number, parent: string, name: string): number[] => {
    const path = `model.layers.${block}.${parent}.${name}`;
    const bias = base.tensors.get(`${path}.bias`);
    const factors = adapter.get(`base_model.model.${path}`);
    const extra = factors === undefined ? undefined : times(factors.B, times(factors.A, x));
    return times(weight(`${path}.weight`), x).map((y, i) => y + (bias?.[i] ?? 0) + adapter.scaling * (extra?.[i] ?? 0));
  };
  const frequencies = ropeFrequencies(c);
  const turn = (x: readonly number[], position: number): number[] =>
    x.map((value, i) => {
      const half = c.head_dim / 2;
      const angle = position * frequencies[i % half];
      return value * Math.cos(angle) + (i < half ? -x[i + half] : x[i - half]) * Math.sin(angle);
    });
  const heads = (x: readonly number[]): number[][] =>
    Array.from({ length: x.length / c.head_dim }, (_, head) => x.slice(head * c.head_dim, (head + 1) * c.head_dim));

  let states = ids.map((id) =>
    Array.from(weight('model.embed_tokens.weight').slice(id * c.hidden_size, (id + 1) * c.hidden_size)),
  );
  for (let block = 0; block < c.num_hidden_layers; block++) {
    const layer = `model.layers.${block}`;
    const normalized = (x: number[], name: string): number[] =>
      c.model_type === 'qwen3' ? norm(x, `${layer}.self_attn.${name}.weight`) : x;
    const inputs = states.map((x) => norm(x, `${layer}.input_layernorm.weight`));
    const queries = inputs.map((x, t) =>
      heads(linear(x, block, 'self_attn', 'q_proj')).map((h) => turn(normalized(h, 'q_norm'), t)),
    );
    const keys = inputs.map((x, t) =>
      heads(linear(x, block, 'self_attn', 'k_proj')).map((h) => turn(normalized(h, 'k_norm'), t)),
    );
    const values = inputs.map((x) => heads(linear(x, block, 'self_attn', 'v_proj')));
    states = states.map((x, t) => {
      const mixed = queries[t].flatMap((query, head) => {
        const source = Math.floor(head / (c.num_attention_heads / c.num_key_value_heads));
        const weights = keys
          .slice(0, t + 1)
          .map((key) => Math.exp(query.reduce((sum, q, i) => sum + q * key[source][i], 0) / Math.sqrt(c.head_dim)));
        const total = weights.reduce((sum, one) => sum + one, 0);
        return query.map((_, i) => weights.reduce((sum, one, s) => sum + (one / total) * values[s][source][i], 0));
      });
      const after = linear(mixed, block, 'self_attn', 'o_proj').map((y, i) => x[i] + y);
      const input = norm(after, `${layer}.post_attention_layernorm.weight`);
      const up = linear(input, block, 'mlp', 'up_proj');
      const gated = linear(input, block, 'mlp', 'gate_proj').map((g, i) => (g / (1 + Math.exp(-g))) * up[i]);
      return linear(gated, block, 'mlp', 'down_proj').map((y, i) => after[i] + y);
    });
  }
  const head = weight(c.tie_word_embeddings ? 'model.embed_tokens.weight' : 'lm_head.weight');
  return states.map((x) => times(head, norm(x, 'model.norm.weight')));
}

type ReferenceAdapter = Map<string, { A: Float64Array; B: Float64Array }> & { scaling: number };

function referenceAdapter(engine: Engine, values: AdapterValues): ReferenceAdapter {
  const { r, lora_alpha, use_rslora } = engine.lora;
  const factors = engine.modules.map(({ name }, i): [string, { A: Float64Array; B: Float64Array }] => [
    name,
    { A: Float64Array.from(values.modules[i].A), B: Float64Array.from(values.modules[i].B) },
  ]);
  return Object.assign(new Map(factors), { scaling: lora_alpha / (use_rslora ? Math.sqrt(r) : r) });
}

/** Mean cross-entropy over the answer of each example, f64. */
function referenceLosses(base: InspectableModel, adapter: ReferenceAdapter, batch: Batch): number[] {
  return Array.from({ length: batch.examples }, (_, example) => {
    const ids = Array.from(batch.ids.slice(example * batch.length, (example + 1) * batch.length));
    const logits = referenceLogits(base, adapter, ids);
    const losses: number[] = [];
    for (let t = 1; t < batch.length; t++) {
      if (batch.answerMask[example * batch.length + t] === 0) continue;
      const row = logits[t - 1];
      losses.push(Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0)) - row[ids[t]]);
    }
    return losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
  });
}

const normOf = (values: ArrayLike<number>): number => Math.sqrt(Array.from(values).reduce((sum, v) => sum + v * v, 0));
const difference = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  normOf(Array.from(a).map((value, i) => value - b[i])) / normOf(b);

const engines: Engine[] = [];
afterEach(async () => {
  for (const engine of engines.splice(0)) await engine.close();
});

async function anEngine(
  base: BaseModel,
  changes: Partial<Parameters<typeof createTfjsEngine>[0]> = {},
): Promise<{ engine: Engine; values: AdapterValues }> {
  const engine = await createTfjsEngine({ base, lora, quantization: 'none', backend: 'wasm', ...changes });
  engines.push(engine);
  const values = knownAdapter(new KnownValues(7), engine.modules, engine.lora.r);
  engine.setAdapter(values);
  return { engine, values };
}

const models: readonly (readonly [string, Partial<ModelConfig>])[] = [
  ['llama with a tied head', {}],
  ['llama with a head of its own and two blocks', { tie_word_embeddings: false, num_hidden_layers: 2 }],
  ['mistral with a key for every head', { model_type: 'mistral', num_key_value_heads: 4 }],
  ['qwen2 with biases and one key for all heads', { model_type: 'qwen2', num_key_value_heads: 1 }],
  ['qwen3 with normalized heads', { model_type: 'qwen3' }],
];

describe.each(['wasm', 'cpu'] as const)('the tfjs engine on %s against f64 loops', (backend) => {
  it.each(models)('%s: losses and logits agree', async (_, changes) => {
    const base = await aBaseModel(aConfig(changes));
    const { engine, values } = await anEngine(base, { backend });
    const batch = aBatch();
    const expected = referenceLosses(base, referenceAdapter(engine, values), batch);
    const { losses } = await engine.evaluate(batch);
    expect(difference(losses, expected)).toBeLessThan(F32_AGAINST_F64);
    const { losses: training } = await engine.gradients(batch, { trained: 'B', l2Bound: null });
    expect(difference(training, expected)).toBeLessThan(F32_AGAINST_F64);

    const lengths = Int32Array.of(7, 5, 8);
    const logits = await engine.logits(batch, lengths);
    const rows = Array.from(lengths, (length, i) =>
      referenceLogits(base, referenceAdapter(engine, values), Array.from(batch.ids.slice(i * 9, i * 9 + length))).at(
        -1,
      )!,
    );
    expect(difference(logits, rows.flat())).toBeLessThan(F32_AGAINST_F64);
  });

  it.each(models)('%s: the gradient has the slopes of the loss', async (_, changes) => {
    const base = await aBaseModel(aConfig(changes));
    const { engine, values } = await anEngine(base, { backend });
    const batch = aBatch();
    const { clippedSum } = await engine.gradients(batch, { trained: 'both', l2Bound: null });
    const largest = clippedSum.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

    const reference = referenceAdapter(engine, values);
    const loss = (): number => referenceLosses(base, reference, batch).reduce((sum, one) => sum + one, 0);
    let offset = 0;
    for (const [i, module] of engine.modules.entries()) {
      const factors = reference.get(module.name)!;
      for (const factor of [factors.A, factors.B]) {
        const coordinate = (i * 7 + 5) % factor.length;
        const value = factor[coordinate];
        factor[coordinate] = value + 1e-4;
        const above = loss();
        factor[coordinate] = value - 1e-4;
        const slope = (above - loss()) / 2e-4;
        factor[coordinate] = value;
        expect(Math.abs(clippedSum[offset + coordinate] - slope) / largest, module.name).toBeLessThan(DIFFERENCES);
        offset += factor.length;
      }
    }
    expect(offset).toBe(clippedSum.length);
  });
});

describe('gradients', () => {
  it('lays out A and B of each module in turn, of which a single trained factor is a part', async () => {
    const base = await aBaseModel(aConfig({ num_hidden_layers: 2 }));
    const target_modules = ['down_proj', 'q_proj', 'v_proj'];
    const { engine } = await anEngine(base, { lora: { ...lora, target_modules } });
    expect(engine.modules.map(({ name }) => name.split('.').slice(4).join('.'))).toEqual(
      [0, 1].flatMap((block) =>
        ['self_attn.q_proj', 'self_attn.v_proj', 'mlp.down_proj'].map((name) => `${block}.${name}`),
      ),
    );
    const of = async (trained: TrainedFactor): Promise<Float32Array> =>
      (await engine.gradients(aBatch(), { trained, l2Bound: null })).clippedSum;
    const [both, onlyA, onlyB] = [await of('both'), await of('A'), await of('B')];
    const partsA: number[] = [];
    const partsB: number[] = [];
    let offset = 0;
    for (const { inFeatures, outFeatures } of engine.modules) {
      partsA.push(...both.subarray(offset, (offset += lora.r * inFeatures)));
      partsB.push(...both.subarray(offset, (offset += lora.r * outFeatures)));
    }
    expect(offset).toBe(both.length);
    expect(difference(partsA, onlyA)).toBeLessThan(F32_AGAINST_F64);
    expect(difference(partsB, onlyB)).toBeLessThan(F32_AGAINST_F64);
  });

  it('sums over examples: a batch is the sum of its rows, whatever their padding', async () => {
    const { engine } = await anEngine(await aBaseModel(aConfig()));
    const whole = await engine.gradients(aBatch(), { trained: 'both', l2Bound: null });
    const apart = await engine.gradients(aBatch(), { trained: 'both', l2Bound: 1e9 });
    expect(difference(apart.clippedSum, whole.clippedSum)).toBeLessThan(F32_AGAINST_F64);
    expect(whole.norms).toBeUndefined();
    expect(apart.norms).toHaveLength(3);
  });

  it('clips each example to the bound and leaves shorter ones alone', async () => {
    const { engine } = await anEngine(await aBaseModel(aConfig()));
    const batch = aBatch();
    const rows = [0, 1, 2].map((row) => ({
      examples: 1,
      length: 9,
      ids: batch.ids.slice(row * 9, row * 9 + 9),
      answerMask: batch.answerMask.slice(row * 9, row * 9 + 9),
    }));
    const alone: Float32Array[] = [];
    for (const row of rows) alone.push((await engine.gradients(row, { trained: 'B', l2Bound: null })).clippedSum);
    const lengths = alone.map(normOf);
    const l2Bound = lengths.toSorted((a, b) => a - b)[1] * 0.999; // two are longer, one is not
    const { clippedSum, norms } = await engine.gradients(batch, { trained: 'B', l2Bound });
    const expected = clippedSum.map((_, i) =>
      alone.reduce((sum, gradient, row) => sum + gradient[i] * Math.min(1, l2Bound / lengths[row]), 0),
    );
    expect(difference(clippedSum, expected)).toBeLessThan(F32_AGAINST_F64);
    expect(difference(norms!, lengths)).toBeLessThan(F32_AGAINST_F64);
    for (const row of rows) {
      expect(normOf((await engine.gradients(row, { trained: 'B', l2Bound })).clippedSum)).toBeLessThanOrEqual(l2Bound);
    }
    expect((await engine.gradients(batch, { trained: 'B', l2Bound: 0 })).clippedSum.every((value) => value === 0)).toBe(
      true,
    );
  });

  it('an example without an answer has no loss, no gradient and no part in the sum', async () => {
    const { engine } = await anEngine(await aBaseModel(aConfig()));
    const batch = aBatch();
    const others = { examples: 2, length: 9, ids: batch.ids.slice(0, 18), answerMask: batch.answerMask.slice(0, 18) };
    const before = await engine.gradients(others, { trained: 'B', l2Bound: 0.5 });
    const answerMask = batch.answerMask.slice();
    answerMask.fill(0, 18);
    answerMask[18] = 1; // the first token has nothing to its left
    const { clippedSum, losses, norms } = await engine.gradients(
      { ...batch, answerMask },
      { trained: 'B', l2Bound: 0.5 },
    );
    expect(losses[2]).toBe(0);
    expect(norms![2]).toBe(0);
    expect(difference(clippedSum, before.clippedSum)).toBeLessThan(F32_AGAINST_F64);
    const empty = await engine.gradients({ ...batch, answerMask: new Uint8Array(27) }, { trained: 'A', l2Bound: null });
    expect(empty.clippedSum.every((value) => value === 0)).toBe(true);
    const nothing = await engine.evaluate({ ...batch, answerMask: new Uint8Array(27) });
    expect(nothing).toEqual({ losses: new Float32Array(3), exact: new Uint8Array(3) });
  });

  it('a diverged adapter is an error and not a vector of NaN', async () => {
    const { engine, values } = await anEngine(await aBaseModel(aConfig()));
    engine.setAdapter({ modules: values.modules.map(({ A, B }) => ({ A: A.map(() => Infinity), B })) });
    await expect(engine.gradients(aBatch(), { trained: 'B', l2Bound: 1 })).rejects.toMatchObject({
      code: 'engine/diverged',
    });
    await expect(engine.gradients(aBatch(), { trained: 'B', l2Bound: null })).rejects.toMatchObject({
      code: 'engine/diverged',
    });
  });
});

describe('evaluate', () => {
  it('calls an answer exact where each of its tokens has the largest logit', async () => {
    const { engine } = await anEngine(await aBaseModel(aConfig()));
    const batch = aBatch();
    const prompt = Array.from(batch.ids.slice(0, 3));
    const greedy = prompt.slice();
    for (let step = 0; step < 4; step++) {
      const one = {
        examples: 1,
        length: greedy.length,
        ids: Int32Array.from(greedy),
        answerMask: new Uint8Array(greedy.length),
      };
      const logits = await engine.logits(one, Int32Array.of(greedy.length));
      greedy.push(logits.indexOf(Math.max(...logits)));
    }
    const wrong = greedy.with(6, (greedy[6] + 1) % 19);
    const ids = Int32Array.from([...greedy, ...wrong]);
    const answerMask = Uint8Array.of(0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1);
    expect((await engine.evaluate({ examples: 2, length: 7, ids, answerMask })).exact).toEqual(Uint8Array.of(1, 0));
  });
});

describe('the adapter', () => {
  it('is copied on its way in and out', async () => {
    const { engine, values } = await anEngine(await aBaseModel(aConfig()), { backend: 'cpu' });
    const { losses } = await engine.evaluate(aBatch());
    engine.adapter().modules[0].A.fill(9);
    const kept = values.modules[0].A.slice();
    values.modules[0].A.fill(9);
    expect(engine.adapter().modules[0].A).toEqual(kept);
    expect((await engine.evaluate(aBatch())).losses).toEqual(losses);
  });

  it('of the wrong shape is refused and the old one stays', async () => {
    const { engine, values } = await anEngine(await aBaseModel(aConfig()));
    const modules = values.modules.map((module, i) => (i === 6 ? { A: module.A, B: module.B.slice(1) } : module));
    expect(() => engine.setAdapter({ modules })).toThrow(expect.objectContaining({ code: 'adapter/wrong-shape' }));
    expect(() => engine.setAdapter({ modules: [] })).toThrow(expect.objectContaining({ code: 'adapter/wrong-shape' }));
    expect(engine.adapter()).toEqual(values);
  });

  it('is scaled by alpha over the root of r with rsLoRA', async () => {
    const base = await aBaseModel(aConfig());
    const { engine, values } = await anEngine(base, { lora: { ...lora, use_rslora: true } });
    const expected = referenceLosses(base, referenceAdapter(engine, values), aBatch());
    expect(difference((await engine.evaluate(aBatch())).losses, expected)).toBeLessThan(F32_AGAINST_F64);
  });
});

describe('memory', () => {
  it('no call leaves a tensor behind, and closing leaves none at all', async () => {
    const atStart = tf.memory().numTensors;
    const { engine, values } = await anEngine(
      await aBaseModel(aConfig({ num_hidden_layers: 2, model_type: 'qwen3' })),
      {
        quantization: 'nf4',
      },
    );
    const held = tf.memory().numTensors;
    for (let step = 0; step < 3; step++) {
      for (const trained of ['A', 'B', 'both'] as const) {
        await engine.gradients(aBatch(), { trained, l2Bound: 1 });
        await engine.gradients(aBatch(), { trained, l2Bound: null });
      }
      await engine.evaluate(aBatch());
      await engine.logits(aBatch(), Int32Array.of(7, 5, 8));
      engine.setAdapter(values);
      expect(tf.memory().numTensors).toBe(held);
    }
    await engine.close();
    expect(tf.memory().numTensors).toBe(atStart);
    await expect(engine.evaluate(aBatch())).rejects.toThrow('closed');
  });

  it('a base model that cannot be read to its end leaves no tensor behind', async () => {
    await anEngine(await aBaseModel(aConfig())); // what the process holds once and for all
    const before = tf.memory().numTensors;
    const { tensor, ...base } = await aBaseModel(aConfig());
    const broken = (name: string, shape: readonly number[]): Promise<Float32Array> =>
      name === 'model.norm.weight' ? Promise.reject(new Error('the disk is gone')) : tensor(name, shape);
    await expect(anEngine({ ...base, tensor: broken })).rejects.toThrow('the disk is gone');
    expect(tf.memory().numTensors).toBe(before);
  });

  it('two engines on different backends do not disturb each other', async () => {
    const base = await aBaseModel(aConfig());
    const [{ engine: first }, { engine: second }] = await Promise.all([
      anEngine(base, { backend: 'wasm' }),
      anEngine(base, { backend: 'cpu' }),
    ]);
    const options = { trained: 'B', l2Bound: 0.3 } as const;
    const [a, b] = await Promise.all([first.gradients(aBatch(), options), second.gradients(aBatch(), options)]);
    expect(difference(a.clippedSum, b.clippedSum)).toBeLessThan(F32_AGAINST_F64);
    expect([first.device, second.device]).toEqual(['wasm', 'javascript']);
  });
});

describe('what is refused', () => {
  it('batches that the model cannot take', async () => {
    const { engine } = await anEngine(await aBaseModel(aConfig()));
    const batch = aBatch();
    const options = { trained: 'B', l2Bound: 1 } as const;
    await expect(engine.gradients({ ...batch, ids: batch.ids.map((id) => id + 1) }, options)).rejects.toMatchObject({
      code: 'tokenizer/mismatch',
    });
    await expect(engine.gradients({ ...batch, length: 8 }, options)).rejects.toMatchObject({
      code: 'internal/unexpected',
    });
    const long = { examples: 1, length: 33, ids: new Int32Array(33), answerMask: new Uint8Array(33) };
    await expect(engine.gradients(long, options)).rejects.toMatchObject({ code: 'data/too-long' });
    await expect(engine.gradients(batch, { trained: 'B', l2Bound: NaN })).rejects.toMatchObject({
      code: 'privacy/invalid-parameter',
    });
  });

  it('target modules that no model has', async () => {
    const unknown = { ...lora, target_modules: ['q_proj', 'c_attn'] };
    await expect(anEngine(await aBaseModel(aConfig()), { lora: unknown })).rejects.toMatchObject({
      code: 'adapter/unsupported',
    });
  });
});
