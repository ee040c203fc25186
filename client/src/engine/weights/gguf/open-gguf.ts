/**
 * A base model in a GGUF file, as llama.cpp converts it: names, settings and the order of rows made Hugging Face's again.
 *
 * Source     llama.cpp `convert_hf_to_gguf.py` (LlamaModel, Qwen2Model, Qwen3Model, Gemma2Model, Gemma3Model) and gguf-py `constants.py`, `tensor_mapping.py`.
 * Guarantee  As for a Hugging Face folder: what is opened is computed rightly or refused. Of the settings under the architecture's
 *            name only those below are accepted, and no tensor is silently ignored.
 * Its tokenizer is not read: GGUF stores a vocabulary without the rules by which texts are split. The tokenizer.json of the
 * original model must lie beside the file.
 */

import { FedloraError, type ErrorCode } from '@fedlora/shared';
import { stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { storedNorm } from '../architecture.js';
import type { BaseModel, BaseModelShape, LayerType, ModelConfig, OpenOptions, RopeScaling } from '../base-model.js';
import { baseModelDigest } from '../digest.js';
import { expectedTensors, parseModelConfig } from '../model-config.js';
import { requireFinite } from '../nf4.js';
import { ropeFrequencies } from '../rope.js';
import type { GgufHeader, GgufTensor, GgufValue } from './format.js';
import { GgufFile } from './gguf-file.js';
import { architectures, ggufName, type GgufArchitecture } from './names.js';
import { permutedHeads, unpermuteRows } from './permuted-rows.js';

/**
 * What GGUF leaves to the reader's knowledge of a Gemma: every how manyeth block sees the whole row, the base of the rotary
 * frequencies, and of how many blocks is the largest model, whose scores alone are scaled by hidden_size / heads.
 *
 * Source     llama.cpp `llama-model.cpp`, load_hparams of LLM_ARCH_GEMMA2 and LLM_ARCH_GEMMA3
 */
const gemmas = {
  gemma2: { fullEvery: 2, theta: 10_000, largestBlocks: 46 },
  gemma3: { fullEvery: 6, theta: 1_000_000, largestBlocks: 62 },
} as const;

/** As many as `parseModelConfig` accepts. */
const MAXIMUM_BLOCKS = 1000;

/** What each rotary frequency is divided by, for Llama 3's stretching. */
const ROPE_FACTORS = 'rope_freqs.weight';

/** Relative; the converter computes the factors in f32, with a blend that magnifies rounding. */
const F32_ROPE_FACTOR = 1e-4;

/** Settings that are read here, and those that say nothing on the mathematics. */
const knownSettings: ReadonlySet<string> = new Set([
  'context_length',
  'embedding_length',
  'block_count',
  'feed_forward_length',
  'vocab_size',
  'attention.head_count',
  'attention.head_count_kv',
  'attention.key_length',
  'attention.value_length',
  'attention.layer_norm_rms_epsilon',
  'attention.sliding_window',
  'attention.sliding_window_pattern',
  'attn_logit_softcapping',
  'final_logit_softcapping',
  'rope.dimension_count',
  'rope.freq_base_swa',
  'rope.freq_base',
  'rope.scale_linear',
  'rope.scaling.type',
  'rope.scaling.factor',
  'rope.scaling.original_context_length',
  'rope.scaling.finetuned',
  'tensor_data_layout',
]);

/** Settings that are accepted only with a value that changes nothing. */
const neutralSettings: Readonly<Record<string, GgufValue>> = {
  expert_count: 0,
  expert_used_count: 0,
  use_parallel_residual: false,
  'attention.causal': true,
  'attention.max_alibi_bias': 0,
  'attention.clamp_kqv': 0,
  'rope.scaling.attn_factor': 1,
};

/**
 * Opens a GGUF file: reads its header, checks every tensor's presence and shape, hashes it. Reads no weights yet.
 *
 * Guarantee  `tensor` gives the weights under Hugging Face's names in Hugging Face's order; quantized ones as llama.cpp dequantizes
 *            them.
 * @throws FedloraError base-model/not-found: no such file, or no tokenizer.json beside it | base-model/invalid
 *         | base-model/unsupported | gguf/malformed | gguf/unsupported
 */
export async function openGguf(path: string, options: OpenOptions = {}): Promise<BaseModel> {
  const { file, config, located } = await openHeader(path, options);
  return {
    config,
    directory: path,
    digest: await baseModelDigest(path),
    has: (name) => located.has(name),
    async tensor(name, shape) {
      const tensor = located.get(name);
      if (tensor === undefined) throw new FedloraError('base-model/invalid', `Tensor ${name} is missing.`);
      requireShape(name, tensor, shape, basename(path));
      const values = requireFinite(name, await file.floats(tensor));
      if (name.endsWith('norm.weight')) return storedNorm(config, values);
      const heads = permutedHeads(config, name);
      return heads === undefined ? values : unpermuteRows(values, heads, shape[0], shape[1]);
    },
  };
}

/** What the header says, without hashing the file. @throws FedloraError as `openGguf` */
export async function readGgufShape(path: string, options: OpenOptions = {}): Promise<BaseModelShape> {
  return { config: (await openHeader(path, options)).config };
}

/** The hyper-parameters alone: no tokenizer need be beside the file. @throws FedloraError as `openGguf` */
export async function readGgufConfig(path: string, options: OpenOptions = {}): Promise<ModelConfig> {
  return readConfig(await GgufFile.open(path), options);
}

async function openHeader(
  path: string,
  options: OpenOptions,
): Promise<{
  readonly file: GgufFile;
  readonly config: ModelConfig;
  readonly located: ReadonlyMap<string, GgufTensor>;
}> {
  const file = await GgufFile.open(path);
  const config = await readConfig(file, options);
  const located = locate(config, file);
  await requireTokenizer(path);
  return { file, config, located };
}

async function readConfig(file: GgufFile, options: OpenOptions): Promise<ModelConfig> {
  const where = basename(file.path);
  const { metadata, tensors } = file.header;
  const names = Object.keys(architectures) as GgufArchitecture[];
  const architecture = names.find((name) => name === metadata.get('general.architecture'));
  if (architecture === undefined) {
    const actual = show(metadata.get('general.architecture'));
    fail('base-model/unsupported', `Architecture ${actual} is not supported; ${names.join(', ')} are.`, where);
  }
  const parts = metadata.get('split.count');
  if (parts !== undefined && parts !== 1 && parts !== 0)
    fail(
      'base-model/unsupported',
      `It is one of ${show(parts)} parts; join them with llama-gguf-split --merge.`,
      where,
    );
  refuseUnknownSettings(metadata, architecture, where);

  const setting = (name: string): GgufValue | undefined => metadata.get(`${architecture}.${name}`);
  const heads = uniform(setting('attention.head_count'), 'attention.head_count', where);
  const hidden = setting('embedding_length');
  const head_dim = setting('attention.key_length') ?? Number(hidden) / Number(heads);
  for (const name of ['attention.value_length', 'rope.dimension_count']) {
    // Not a number: heads or width are wrong, which `parseModelConfig` reports.
    if (!Number.isNaN(head_dim) && (setting(name) ?? head_dim) !== head_dim)
      fail('base-model/unsupported', `${name} ${show(setting(name))} is not the ${show(head_dim)} of a head.`, where);
  }
  const context = setting('context_length');
  const window = setting('attention.sliding_window');
  const isGemma = architecture === 'gemma2' || architecture === 'gemma3';
  const theta = decimal(setting('rope.freq_base') ?? (isGemma ? gemmas[architecture].theta : 10_000));
  const embedding = tensors.get('token_embd.weight');
  const fields = {
    model_type: architectures[architecture],
    hidden_size: hidden,
    intermediate_size: uniform(setting('feed_forward_length'), 'feed_forward_length', where),
    num_hidden_layers: setting('block_count'),
    num_attention_heads: heads,
    num_key_value_heads: uniform(setting('attention.head_count_kv') ?? heads, 'attention.head_count_kv', where),
    head_dim,
    vocab_size: embedding?.shape[0],
    // Gemma's windows are computed; within one, full attention is the same.
    max_position_embeddings: !isGemma && Number(window) > 0 ? Math.min(Number(context), Number(window)) : context,
    rms_norm_eps: decimal(setting('attention.layer_norm_rms_epsilon')),
    rope_theta: theta,
    rope_scaling: await readRopeScaling(file, setting, Number(head_dim), Number(theta)),
    tie_word_embeddings: !tensors.has('output.weight'),
    ...(!isGemma ? {} : gemmaFields(architecture, setting, Number(hidden) / Number(heads), Number(head_dim), where)),
  };
  try {
    return parseModelConfig(
      JSON.stringify(fields, (_, value: unknown) => plain(value)),
      options,
    );
  } catch (error) {
    if (!(error instanceof FedloraError)) throw error;
    throw new FedloraError(error.code, error.summary, { where, details: error.details, cause: error });
  }
}

/**
 * Gemma's windows, caps and scalings, as config.json would have them.
 *
 * Edge cases no cap -> none, since the converter writes what there is | no window -> blocks that all see the whole row
 *            | a pattern that lists blocks -> refused: both Gemmas have a period | embeddings are scaled as in bfloat16, in which
 *            all Gemmas were trained
 */
export function gemmaFields(
  architecture: keyof typeof gemmas,
  setting: (name: string) => GgufValue | undefined,
  widthOfHead: number,
  head_dim: number,
  where: string,
): Readonly<Record<string, unknown>> & { readonly layer_types: readonly LayerType[] } {
  const gemma = gemmas[architecture];
  const window = setting('attention.sliding_window');
  const pattern = setting('attention.sliding_window_pattern') ?? gemma.fullEvery;
  if (typeof pattern !== 'number' || !(pattern >= 1))
    fail('base-model/unsupported', `attention.sliding_window_pattern is ${show(pattern)}, not a period.`, where);
  const blocks = Number(setting('block_count'));
  const slides = window !== undefined && window !== 0; // and if it is no number, `parseModelConfig` says so
  // Not a whole number of blocks: `parseModelConfig` reports it.
  const layer_types = Array.from(
    { length: blocks > 0 && blocks <= MAXIMUM_BLOCKS ? blocks : 0 },
    (_, block): LayerType => (slides && (block + 1) % pattern !== 0 ? 'sliding_attention' : 'full_attention'),
  );
  const local = setting('rope.freq_base_swa');
  return {
    ...(slides ? { sliding_window: window } : {}),
    layer_types,
    dtype: 'bfloat16',
    query_pre_attn_scalar: blocks === gemma.largestBlocks ? widthOfHead : head_dim,
    attn_logit_softcapping: decimal(setting('attn_logit_softcapping')) ?? null,
    final_logit_softcapping: decimal(setting('final_logit_softcapping')) ?? null,
    ...(local === undefined ? {} : { rope_local_base_freq: decimal(local) }),
  };
}

function refuseUnknownSettings(metadata: GgufHeader['metadata'], architecture: string, where: string): void {
  for (const [key, value] of metadata) {
    if (!key.startsWith(`${architecture}.`)) continue;
    const name = key.slice(architecture.length + 1);
    if (knownSettings.has(name)) continue;
    if (!Object.hasOwn(neutralSettings, name) || neutralSettings[name] !== value)
      fail('base-model/unsupported', `The setting ${key} = ${show(value)} is not known to change nothing.`, where);
  }
}

/** Settings may be given for each block; we compute blocks that are all alike. */
function uniform(value: GgufValue | undefined, name: string, where: string): GgufValue | undefined {
  if (typeof value !== 'object') return value;
  const [first, ...others] = value.numbers ?? [];
  if (first === undefined || others.some((other) => other !== first))
    fail('base-model/unsupported', `${name} differs between blocks.`, where);
  return first;
}

/** As config.json would have it. Anything but none, linear and Llama 3's is left for `parseModelConfig` to refuse by its name. */
async function readRopeScaling(
  file: GgufFile,
  setting: (name: string) => GgufValue | undefined,
  head_dim: number,
  rope_theta: number,
): Promise<object | undefined> {
  const where = basename(file.path);
  const factor = setting('rope.scaling.factor') ?? setting('rope.scale_linear');
  const type = setting('rope.scaling.type') ?? (factor === undefined || factor === 1 ? 'none' : 'linear');
  const table = file.header.tensors.get(ROPE_FACTORS);
  if (table === undefined)
    return type === 'none' ? undefined : { rope_type: plain(type), factor: plain(decimal(factor)) };
  if (type !== 'none')
    fail('base-model/unsupported', `${ROPE_FACTORS} comes with rope.scaling.type ${show(type)}.`, where);
  const factors = table.shape.length === 1 && table.shape[0] === head_dim / 2 ? await file.floats(table) : undefined;
  if (factors === undefined) fail('base-model/invalid', `${ROPE_FACTORS} is not [${head_dim / 2}].`, where);
  if (factors.every((value) => value === 1)) return undefined;
  const scaling = llama3Scaling(factors, head_dim, rope_theta);
  if (scaling === undefined)
    fail('base-model/unsupported', `${ROPE_FACTORS} holds other factors than Llama 3's.`, where);
  return scaling;
}

/**
 * Llama 3's stretching from the factors that GGUF stores instead of it.
 *
 * Guarantee  the factors of the result are those given, to f32; or `undefined`. All of Llama 3.1, 3.2 and 3.3 differ in `factor` only.
 */
export function llama3Scaling(factors: Float32Array, head_dim: number, rope_theta: number): RopeScaling | undefined {
  const rope_scaling = {
    rope_type: 'llama3',
    factor: factors[factors.length - 1],
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 8192,
  } as const;
  const plainFrequencies = ropeFrequencies({ head_dim, rope_theta });
  const scaled = ropeFrequencies({ head_dim, rope_theta, rope_scaling });
  const isSame = factors.every(
    (factor, i) => Math.abs((scaled[i] * factor) / plainFrequencies[i] - 1) < F32_ROPE_FACTOR,
  );
  return isSame ? rope_scaling : undefined;
}

/** Tensors by Hugging Face name; all that are needed, in their shapes, and no others. */
function locate(config: ModelConfig, file: GgufFile): ReadonlyMap<string, GgufTensor> {
  const where = basename(file.path);
  const located = new Map<string, GgufTensor>();
  const used = new Set<string>([ROPE_FACTORS]);
  for (const [name, shape] of expectedTensors(config)) {
    const stored = ggufName(config, name);
    const tensor = file.header.tensors.get(stored);
    if (tensor === undefined) fail('base-model/invalid', `Tensor ${stored} is missing, which holds ${name}.`, where);
    requireShape(name, tensor, shape, where);
    located.set(name, tensor);
    used.add(stored);
  }
  for (const name of file.header.tensors.keys()) {
    if (!used.has(name))
      fail(
        'base-model/unsupported',
        `Tensor ${name} is none that a ${config.model_type} model has; it would be ignored.`,
        where,
      );
  }
  return located;
}

function requireShape(name: string, { shape }: GgufTensor, expected: readonly number[], where: string): void {
  if (shape.length === expected.length && shape.every((size, i) => size === expected[i])) return;
  const wanted = `the model's settings call for [${expected.join(', ')}]`;
  fail('base-model/invalid', `Tensor ${name} is [${shape.join(', ')}], but ${wanted}.`, where);
}

async function requireTokenizer(path: string): Promise<void> {
  try {
    await stat(join(dirname(path), 'tokenizer.json'));
  } catch (cause) {
    throw new FedloraError(
      'base-model/not-found',
      `There is no tokenizer.json beside ${basename(path)}. The vocabulary within a GGUF file is not enough to split texts: put the tokenizer.json (and tokenizer_config.json) of the original model into the same folder.`,
      { where: dirname(path), cause },
    );
  }
}

/** The decimal that was stored as f32: 0.00001, which is what the original config says, rather than 0.000009999999747378752. */
function decimal<T>(value: T): T | number {
  if (typeof value !== 'number' || Math.fround(value) !== value) return value;
  for (let digits = 1; digits <= 7; digits++) {
    const shorter = Number(value.toPrecision(digits));
    if (Math.fround(shorter) === value) return shorter;
  }
  return value;
}

/** What JSON can hold; `parseModelConfig` then says which setting it is not content with. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return String(value);
  return value;
}

function show(value: unknown): string {
  if (value === undefined) return 'absent';
  if (typeof value === 'object' && value !== null && 'length' in value) return `a list of ${String(value.length)}`;
  const text = JSON.stringify(plain(value));
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

function fail(code: ErrorCode, message: string, where: string): never {
  throw new FedloraError(code, message, { where });
}
