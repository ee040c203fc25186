import {
  adaptedModules,
  decodeAdapter,
  decodeFloats,
  encodeAdapter,
  expandTargetModules,
  parseAdapterConfig,
  type AdapterConfig,
  type WeightDtype,
} from '@fedlora/shared';
import { gguf } from '@huggingface/gguf';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ModelConfig } from '../base-model.js';
import { readModelConfig } from '../hugging-face.js';
import { encodeGgufAdapter } from './encode-adapter.js';
import { unpermuteRows } from './permuted-rows.js';

const fixtures = resolve(import.meta.dirname, '../../../../../test/fixtures');
/** In the script that made the fixtures. */
const VERSION = '0123456789abcdef0123456789abcdef01234567';
/** Relative to the largest of a module: f32 of alpha, and sums in another order. */
const F32_DELTA = 1e-6;
const models = ['llama', 'qwen2', 'qwen3', 'gemma2', 'gemma3'];

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fedlora-gguf-'));
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

interface Fixture {
  readonly base: ModelConfig;
  readonly adapter: AdapterConfig;
  readonly weights: Uint8Array;
  /** As the Python package wrote it. */
  readonly expected: Buffer;
}

async function fixture(model: string): Promise<Fixture> {
  const file = (name: string): Promise<Buffer> => readFile(join(fixtures, 'gguf-lora', model, name));
  return {
    base: await readModelConfig(join(fixtures, 'gguf', model), { ropeTypes: ['linear', 'llama3'] }),
    adapter: parseAdapterConfig((await file('adapter_config.json')).toString('utf8')),
    weights: await file('adapter_model.safetensors'),
    expected: await file('adapter.gguf'),
  };
}

interface ReadBack {
  readonly metadata: Readonly<Record<string, unknown>>;
  /** Row-major. */
  readonly tensors: ReadonlyMap<string, { readonly shape: readonly number[]; readonly values: Float32Array }>;
}

const formats = { 0: 'F32', 1: 'F16', 30: 'BF16' } as const;

/** By Hugging Face's parser; only the values are decoded here. */
async function readBack(bytes: Uint8Array): Promise<ReadBack> {
  const path = join(directory, 'adapter.gguf');
  await writeFile(path, bytes);
  const { metadata, tensorInfos, tensorDataOffset } = await gguf(path, { allowLocalFile: true });
  const tensors = tensorInfos.map(({ name, shape: fastestFirst, dtype, offset }) => {
    const shape = [...fastestFirst].reverse().map(Number);
    const format = formats[dtype as keyof typeof formats];
    const length = shape.reduce((product, size) => product * size, format === 'F32' ? 4 : 2);
    const begin = Number(tensorDataOffset + offset);
    return [name, { shape, values: decodeFloats(bytes.slice(begin, begin + length), format) }] as const;
  });
  return { metadata: { ...metadata }, tensors: new Map(tensors) };
}

/** scaling B A [rows, columns]. */
function delta(B: Float32Array, A: Float32Array, r: number, scaling: number): Float64Array {
  const [rows, columns] = [B.length / r, A.length / r];
  const product = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      for (let k = 0; k < r; k++) product[row * columns + column] += scaling * B[row * r + k] * A[k * columns + column];
  return product;
}

function expectClose(actual: Float64Array, expected: Float64Array, tolerance: number, what: string): void {
  expect(actual.length, what).toBe(expected.length);
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const worst = expected.reduce((most, value, i) => Math.max(most, Math.abs(value - actual[i])), 0);
  expect(worst / largest, what).toBeLessThan(tolerance);
}

const partNames: Readonly<Record<string, string>> = {
  q_proj: 'attn_q',
  k_proj: 'attn_k',
  v_proj: 'attn_v',
  o_proj: 'attn_output',
  gate_proj: 'ffn_gate',
  up_proj: 'ffn_up',
  down_proj: 'ffn_down',
};

/** What llama.cpp adds to each module, from the file alone, against what PEFT adds. */
async function expectSameDeltas(
  { base, adapter, weights }: Fixture,
  dtype: WeightDtype,
  tolerance: number,
): Promise<void> {
  const { metadata, tensors } = await readBack(encodeGgufAdapter(adapter, weights, base, dtype));
  const targets = expandTargetModules(adapter.target_modules);
  if ('unknown' in targets) throw new Error('The fixture has unknown modules.');
  const modules = adaptedModules(base, targets.names);
  const factors = decodeAdapter(weights, modules, adapter.r).modules;
  expect(tensors.size).toBe(2 * modules.length);
  modules.forEach(({ name }, i) => {
    const [, block, part] = /layers\.(\d+)\.\w+\.(\w+)$/.exec(name) ?? [];
    const stored = `blk.${block}.${partNames[part]}.weight`;
    const a = tensors.get(`${stored}.lora_a`)!;
    const b = tensors.get(`${stored}.lora_b`)!;
    const [r] = a.shape;
    const heads = { q_proj: base.num_attention_heads, k_proj: base.num_key_value_heads }[part];
    const isPermuted = heads !== undefined && ['llama', 'mistral'].includes(base.model_type);
    const B = isPermuted ? unpermuteRows(b.values, heads, b.shape[0], r) : b.values;
    const served = delta(B, a.values, r, Number(metadata['adapter.lora.alpha']) / r);
    const { lora_alpha, use_rslora } = adapter;
    const scaling = lora_alpha / (use_rslora ? Math.sqrt(adapter.r) : adapter.r);
    expectClose(served, delta(factors[i].B, factors[i].A, adapter.r, scaling), tolerance, name);
  });
}

describe('encodeGgufAdapter', () => {
  it.each(models)('writes for %s the very bytes that llama.cpp’s Python package writes', async (model) => {
    const { adapter, weights, base, expected } = await fixture(model);
    expect(expected.equals(encodeGgufAdapter(adapter, weights, base, 'f32', VERSION))).toBe(true);
  });

  it.each(models)('adds to each module of %s what PEFT adds, as Hugging Face’s parser reads it back', async (model) => {
    await expectSameDeltas(await fixture(model), 'f32', F32_DELTA);
  });

  it('scales a rank-stabilised adapter as PEFT does, where alpha alone would make it too weak', async () => {
    const llama = await fixture('llama');
    const adapter = { ...llama.adapter, lora_alpha: 7, use_rslora: true };
    await expectSameDeltas({ ...llama, adapter }, 'f32', F32_DELTA);
    const { metadata } = await readBack(encodeGgufAdapter(adapter, llama.weights, llama.base, 'f32'));
    expect(metadata['adapter.lora.alpha']).toBeCloseTo(7 * Math.sqrt(3), 5);
  });

  it('takes Mistral for the llama that it is to llama.cpp, permuted queries and keys included', async () => {
    const llama = await fixture('llama');
    const base = { ...llama.base, model_type: 'mistral' as const };
    await expectSameDeltas({ ...llama, base }, 'f32', F32_DELTA);
    const { metadata } = await readBack(encodeGgufAdapter(llama.adapter, llama.weights, base, 'f32'));
    expect(metadata['general.architecture']).toBe('llama');
  });

  it('says what the file is in the keys that llama.cpp asks for', async () => {
    const { adapter, weights, base } = await fixture('gemma3');
    const { metadata } = await readBack(encodeGgufAdapter(adapter, weights, base, 'f16'));
    expect(metadata).toMatchObject({
      version: 3,
      'general.architecture': 'gemma3',
      'general.type': 'adapter',
      'adapter.type': 'lora',
      'adapter.lora.alpha': 1,
      'general.base_model.0.name': 'tiny/gemma3',
    });
    expect(metadata).not.toHaveProperty('general.version');
  });

  it.each<[WeightDtype, number]>([
    ['f16', 2 ** -10],
    ['bf16', 2 ** -7],
  ])('rounds to %s, and halves the file', async (dtype, tolerance) => {
    const { adapter, weights, base, expected } = await fixture('gemma3');
    expect(encodeGgufAdapter(adapter, weights, base, dtype).length).toBeLessThan(0.75 * expected.length);
    await expectSameDeltas({ adapter, weights, base, expected }, dtype, tolerance);
  });

  it('refuses a value that f16 would make infinite', async () => {
    const { adapter, base, weights } = await fixture('llama');
    const modules = adaptedModules(base, ['q_proj']);
    const factors = modules.map(({ inFeatures, outFeatures }) => ({
      A: new Float32Array(3 * inFeatures).fill(70_000),
      B: new Float32Array(3 * outFeatures),
    }));
    const large = encodeAdapter(modules, 3, { modules: factors });
    const config = { ...adapter, target_modules: ['q_proj'] };
    expect(() => encodeGgufAdapter(config, large, base, 'f16')).toThrow(/f16 cannot hold/);
    expect(() => encodeGgufAdapter(config, large, base, 'bf16')).not.toThrow();
    expect(() => encodeGgufAdapter(config, weights, base, 'f16')).toThrow(
      expect.objectContaining({ code: 'adapter/tensor-unexpected' }),
    );
  });

  it('refuses modules that are no linear layers of a block, and adapters of another base model', async () => {
    const { adapter, base, weights } = await fixture('llama');
    const head = { ...adapter, target_modules: ['q_proj', 'lm_head'] };
    expect(() => encodeGgufAdapter(head, weights, base, 'f32')).toThrow(/lm_head/);
    const wider = { ...base, hidden_size: 32 };
    expect(() => encodeGgufAdapter(adapter, weights, wider, 'f32')).toThrow(
      expect.objectContaining({ code: 'adapter/wrong-shape' }),
    );
  });
});
