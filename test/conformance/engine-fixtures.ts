/** What test/fixtures/engine/make_fixtures.py recorded, as values. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AdapterValues, Batch, LoraConfig, TrainedFactor } from '../../client/src/engine/engine.js';
import { adaptedModules, expandTargetModules } from '@fedlora/shared';
import { knownAdapter, knownModel } from '../../client/src/engine/onnx/known-model.js';
import type { BaseModel, ModelConfig } from '../../client/src/engine/weights/base-model.js';

export const fixtureFolder = join(import.meta.dirname, '../fixtures/engine');

export interface Fixture {
  readonly config: ModelConfig;
  readonly seed: number;
  readonly lora: LoraConfig;
  readonly batch: { readonly ids: number[][]; readonly answerMask: number[][] };
  readonly losses: number[];
  readonly exact: number[];
  readonly trained: Record<TrainedFactor, { readonly l2Bound: number; readonly norms: number[] }>;
  readonly adamw?: {
    readonly learning_rate: number;
    readonly weight_decay: number;
    readonly warmup_steps: number;
    readonly max_grad_norm: number;
    readonly losses: number[];
  };
}

export const fixtures = (
  JSON.parse(readFileSync(join(fixtureFolder, 'fixtures.json'), 'utf8')) as { cases: Record<string, Fixture> }
).cases;

/** f32 tensors of a safetensors file that we wrote ourselves. */
export function readTensors(path: string): Map<string, Float32Array> {
  const bytes = readFileSync(path);
  const headerLength = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + headerLength)) as Record<
    string,
    { data_offsets: [number, number] }
  >;
  const tensors = new Map<string, Float32Array>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const [begin, end] = entry.data_offsets;
    const own = Uint8Array.from(bytes.subarray(8 + headerLength + begin, 8 + headerLength + end));
    tensors.set(name, new Float32Array(own.buffer));
  }
  return tensors;
}

export const expected = readTensors(join(fixtureFolder, 'expected.safetensors'));

/** A base model in f32 from a Hugging Face folder, without the product's reader: this suite is about the engine. */
export function storedModel(folder: string): BaseModel {
  const tensors = readTensors(join(folder, 'model.safetensors'));
  const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as ModelConfig;
  const head_dim = config.head_dim ?? config.hidden_size / config.num_attention_heads;
  return {
    config: { ...config, rope_scaling: undefined, head_dim },
    directory: folder,
    digest: '',
    has: (name) => tensors.has(name),
    tensor: async (name) => tensors.get(name)!,
  };
}

/** The generated base model and adapter of a fixture. */
export function modelOf(fixture: Fixture): { base: BaseModel; adapter: AdapterValues } {
  const { base, values } = knownModel(fixture.config, fixture.seed);
  const names = expandTargetModules(fixture.lora.target_modules);
  if ('unknown' in names) throw new Error('unknown modules');
  return { base, adapter: knownAdapter(values, adaptedModules(fixture.config, names.names), fixture.lora.r) };
}

/** Rows padded to the same length, and `extra` more. */
export function toBatch(rows: Fixture['batch'], extra = 0): Batch {
  const length = Math.max(...rows.ids.map((ids) => ids.length)) + extra;
  const ids = new Int32Array(rows.ids.length * length);
  const answerMask = new Uint8Array(rows.ids.length * length);
  rows.ids.forEach((row, i) => ids.set(row, i * length));
  rows.answerMask.forEach((row, i) => answerMask.set(row, i * length));
  return { examples: rows.ids.length, length, ids, answerMask };
}

/** |actual - expected| / |expected|, in f64. */
export function relativeError(actual: ArrayLike<number>, wanted: ArrayLike<number>): number {
  if (actual.length !== wanted.length) return Infinity;
  let difference = 0;
  let size = 0;
  for (let i = 0; i < wanted.length; i++) {
    difference += (actual[i] - wanted[i]) ** 2;
    size += wanted[i] ** 2;
  }
  return Math.sqrt(difference / size);
}
