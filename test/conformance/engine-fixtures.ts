/** What test/fixtures/engine/make_fixtures.py recorded, as values. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AdapterValues, Batch, Engine, LoraConfig, TrainedFactor } from '../../client/src/engine/engine.js';
import { adaptedModules, expandTargetModules } from '@fedlora/shared';
import { knownAdapter, knownModel, KnownValues } from '../../client/src/engine/onnx/known-model.js';
import { computedRopeTypes } from '../../client/src/engine/onnx/rope.js';
import { toVector } from '../../client/src/engine/adapter-init.js';
import { train } from '../../client/src/engine/train.js';
import type { BaseModel, ModelConfig } from '../../client/src/engine/weights/base-model.js';
import { parseModelConfig } from '../../client/src/engine/weights/model-config.js';

export const fixtureFolder = join(import.meta.dirname, '../fixtures/engine');

export interface Fixture {
  readonly config: ModelConfig;
  readonly seed: number;
  readonly lora: LoraConfig;
  readonly batch: { readonly ids: number[][]; readonly answerMask: number[][] };
  readonly losses: number[];
  readonly exact: number[];
  readonly trained: Record<Exclude<TrainedFactor, 'R'>, Clipped> & {
    /** Of the adapter that has a factor R as well: `withFactorR`. */
    readonly R: Clipped & { readonly losses: number[] };
  };
  readonly adamw: {
    readonly learning_rate: number;
    readonly weight_decay: number;
    readonly warmup_steps: number;
    readonly max_grad_norm: number;
    readonly losses: number[];
  };
}

interface Clipped {
  readonly l2Bound: number;
  readonly norms: number[];
}

const recorded = JSON.parse(readFileSync(join(fixtureFolder, 'fixtures.json'), 'utf8')) as {
  cases: Record<string, Omit<Fixture, 'config'> & { config: object }>;
};

/** The cases by name, each config.json as the product reads it. */
export const fixtures: Readonly<Record<string, Fixture>> = Object.fromEntries(
  Object.entries(recorded.cases).map(([name, fixture]) => [
    name,
    { ...fixture, config: parseModelConfig(JSON.stringify(fixture.config), { ropeTypes: computedRopeTypes }) },
  ]),
);

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

/** The same with the factor R that make_fixtures.py puts between B and A. */
export function withFactorR(
  { seed, lora: { r } }: Pick<Fixture, 'seed' | 'lora'>,
  adapter: AdapterValues,
): AdapterValues {
  const values = new KnownValues(seed + 1000);
  return { modules: adapter.modules.map((module) => ({ ...module, R: values.values(r * r, 1) })) };
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

/** The logits that predict each answer token, one engine call for each place in the answers: [answer tokens of all examples, V]. */
export async function labelLogits(engine: Engine, rows: Fixture['batch']): Promise<Float32Array> {
  const V = engine.vocabularySize;
  const batch = toBatch(rows);
  const places = rows.answerMask.map((mask) => mask.flatMap((isAnswer, i) => (isAnswer === 1 ? [i] : [])));
  const found = places.map((own) => new Float32Array(own.length * V));
  for (let step = 0; step < Math.max(...places.map((own) => own.length)); step++) {
    // A row whose answer is over is asked for its last token once more.
    const lengths = Int32Array.from(places, (own) => own[Math.min(step, own.length - 1)]);
    const logits = await engine.logits(batch, lengths);
    places.forEach((own, row) => {
      if (step < own.length) found[row].set(logits.subarray(row * V, (row + 1) * V), step * V);
    });
  }
  return Float32Array.from(found.flatMap((own) => [...own]));
}

/** Trains for the fixture's ten steps: the loss before each, and the adapter after the last. */
export async function tenSteps(
  engine: Engine,
  fixture: Fixture,
): Promise<{ readonly losses: number[]; readonly adapter: Float32Array }> {
  const { learning_rate, weight_decay, warmup_steps, max_grad_norm, losses: wanted } = fixture.adamw;
  const losses: number[] = [];
  const source = { batchesPerEpoch: 1, nextBatch: () => toBatch(fixture.batch) };
  const options = {
    trained: 'both' as const,
    learning_rate,
    weight_decay,
    warmup_steps,
    max_grad_norm,
    num_train_epochs: wanted.length,
  };
  await train(engine, source, options, undefined, ({ loss }) => losses.push(loss));
  return { losses, adapter: toVector(engine.adapter(), 'both') };
}
