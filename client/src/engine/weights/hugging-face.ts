/**
 * A base model in a Hugging Face folder: config.json and safetensors, in float or as bitsandbytes NF4.
 *
 * Guarantee  What is opened is computed rightly or refused: every setting that would change the mathematics is checked, and no
 *            tensor is silently ignored.
 * It reads no pickle, runs no code of the folder and follows no path out of it.
 */

import { FedloraError, linearLayers, linearShape } from '@fedlora/shared';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BaseModel, ModelConfig, RopeScaling } from './base-model.js';
import { baseModelDigest } from './digest.js';
import { dequantizeAbsmax, dequantizeNf4, nf4Codebook } from './nf4.js';
import { openSafetensorsFolder, type SafetensorsFolder } from './safetensors-file.js';

export { baseModelDigest } from './digest.js';

const supportedTypes = ['llama', 'mistral', 'qwen2', 'qwen3'] as const;
const SUPPORTED = `supported are ${supportedTypes.join(', ')}`;

/** More than any model here has; a hostile config cannot make the checks below run for ever. */
const MAXIMUM_LAYERS = 1000;

/** Suffix of the tensor in which bitsandbytes describes a quantized weight. */
const QUANT_STATE = '.quant_state.bitsandbytes__nf4';

/** Tensors that bitsandbytes stores beside a weight. */
const quantSuffixes = ['.absmax', '.quant_map', '.nested_absmax', '.nested_quant_map', QUANT_STATE] as const;

export interface OpenOptions {
  /**
   * Kinds of rope_scaling that the caller computes (with `ropeFrequencies`). Others are refused, since ignoring them trains a
   * different model without a sign of it.
   */
  readonly ropeTypes?: readonly RopeScaling['rope_type'][];
}

/**
 * Opens a base model: reads headers, checks every tensor's presence and shape, hashes the files. Reads no weights yet.
 *
 * @throws FedloraError base-model/not-found | base-model/invalid | base-model/unsupported | safetensors/*
 */
export async function openBaseModel(directory: string, options: OpenOptions = {}): Promise<BaseModel> {
  const config = parseModelConfig(await readText(directory, 'config.json'), options);
  const folder = await openSafetensorsFolder(directory);
  checkTensors(config, folder);
  const digest = await baseModelDigest(directory);
  return {
    config,
    directory,
    digest,
    has: (name) => folder.has(name),
    async tensor(name, shape) {
      const actual = await shapeOf(folder, name);
      if (actual === undefined) throw new FedloraError('base-model/invalid', `Tensor ${name} is missing.`);
      if (!sameShape(actual, shape)) wrongShape(name, actual, shape);
      if (!folder.has(name + QUANT_STATE)) return folder.floats(name);
      return readNf4(folder, name);
    },
  };
}

/**
 * Reads and checks a config.json.
 *
 * Edge cases head_dim absent -> hidden_size / num_attention_heads | sliding_window shorter than the context -> the context is
 *            cut to it, within which full attention is the same | rope_theta under rope_parameters (transformers 5) -> read there
 * @throws FedloraError base-model/invalid | base-model/unsupported
 */
export function parseModelConfig(text: string, options: OpenOptions = {}): ModelConfig {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw new FedloraError('base-model/invalid', 'It is no JSON.', { where: 'config.json', cause });
  }
  if (!isObject(parsed))
    throw new FedloraError('base-model/invalid', 'It is no JSON object.', { where: 'config.json' });
  const config = parsed;

  const model_type = supportedTypes.find((type) => type === config['model_type']);
  if (model_type === undefined) unsupported(`model_type ${show(config['model_type'])} is not supported; ${SUPPORTED}.`);

  const whole = (name: string, fallback?: number): number => {
    const value = config[name] ?? fallback;
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 1)
      invalid(`${name} is ${show(value)}, not a positive whole number.`);
    return value;
  };
  const only = (name: string, accepted: readonly unknown[]): void => {
    const value = config[name] ?? undefined;
    if (!accepted.includes(value))
      unsupported(`${name} ${show(value)} is not supported; ${accepted.map(show).join(' or ')} is.`);
  };

  only('hidden_act', ['silu', undefined]);
  only('attention_bias', [false, undefined]);
  only('mlp_bias', [false, undefined]);
  only('partial_rotary_factor', [1, undefined]);
  only('use_sliding_window', [false, undefined]);
  only('is_encoder_decoder', [false, undefined]);
  checkQuantization(config['quantization_config']);

  const heads = whole('num_attention_heads');
  const hidden_size = whole('hidden_size');
  const head_dim = whole('head_dim', model_type === 'qwen3' ? 128 : hidden_size / heads);
  const num_key_value_heads = whole('num_key_value_heads', model_type === 'llama' ? heads : undefined);
  if (heads % num_key_value_heads !== 0)
    invalid(`${heads} attention heads do not share ${num_key_value_heads} key-value heads evenly.`);
  if (head_dim % 2 !== 0) invalid(`head_dim ${head_dim} is odd, so that positions cannot turn pairs.`);
  if (whole('num_hidden_layers') > MAXIMUM_LAYERS) invalid(`num_hidden_layers is over ${MAXIMUM_LAYERS}.`);

  const epsilon = config['rms_norm_eps'] ?? 1e-6;
  if (typeof epsilon !== 'number' || !(epsilon > 0 && epsilon < 1)) invalid(`rms_norm_eps is ${show(epsilon)}.`);
  const parameters = isObject(config['rope_parameters']) ? config['rope_parameters'] : {};
  const theta = parameters['rope_theta'] ?? config['rope_theta'] ?? 10_000;
  if (typeof theta !== 'number' || !(theta > 1 && Number.isFinite(theta))) invalid(`rope_theta is ${show(theta)}.`);
  const rope_scaling = parseRopeScaling(config['rope_parameters'] ?? config['rope_scaling'], options.ropeTypes ?? []);

  const tied = config['tie_word_embeddings'] ?? false;
  if (typeof tied !== 'boolean') invalid(`tie_word_embeddings is ${show(tied)}.`);
  const context = whole('max_position_embeddings', model_type === 'llama' ? 2048 : undefined);
  // Qwen names a window but uses it only with use_sliding_window, which is refused above.
  const hasWindow = model_type === 'mistral' && (config['sliding_window'] ?? null) !== null;
  return {
    model_type,
    hidden_size,
    intermediate_size: whole('intermediate_size'),
    num_hidden_layers: whole('num_hidden_layers'),
    num_attention_heads: heads,
    num_key_value_heads,
    head_dim,
    vocab_size: whole('vocab_size'),
    max_position_embeddings: hasWindow ? Math.min(context, whole('sliding_window')) : context,
    rms_norm_eps: epsilon,
    rope_theta: theta,
    ...(rope_scaling === undefined ? {} : { rope_scaling }),
    tie_word_embeddings: tied,
  };
}

function parseRopeScaling(value: unknown, computed: readonly RopeScaling['rope_type'][]): RopeScaling | undefined {
  if (value === null || value === undefined) return undefined;
  if (!isObject(value)) invalid(`rope_scaling is ${show(value)}.`);
  const type = value['rope_type'] ?? value['type'] ?? 'default';
  if (type === 'default') return undefined;
  const rope_type = computed.find((name) => name === type);
  if (rope_type === undefined)
    unsupported(`rope_scaling ${show(type)} is not supported; ${['default', ...computed].join(', ')} is.`);
  const positive = (name: string): number => {
    const number = value[name];
    if (typeof number !== 'number' || !(number > 0 && Number.isFinite(number)))
      invalid(`rope_scaling.${name} is ${show(number)}.`);
    return number;
  };
  const factor = positive('factor');
  if (rope_type === 'linear') return { rope_type, factor };
  const low_freq_factor = positive('low_freq_factor');
  const high_freq_factor = positive('high_freq_factor');
  if (high_freq_factor <= low_freq_factor) invalid('rope_scaling.high_freq_factor is not over low_freq_factor.');
  const original_max_position_embeddings = positive('original_max_position_embeddings');
  return { rope_type, factor, low_freq_factor, high_freq_factor, original_max_position_embeddings };
}

function checkQuantization(value: unknown): void {
  if (value === null || value === undefined) return;
  if (
    !isObject(value) ||
    value['quant_method'] !== 'bitsandbytes' ||
    value['load_in_4bit'] !== true ||
    value['bnb_4bit_quant_type'] !== 'nf4'
  ) {
    const method = isObject(value)
      ? [value['quant_method'], value['bnb_4bit_quant_type']].map(show).join(' ')
      : show(value);
    unsupported(`Quantization ${method} is not supported; unquantized weights and bitsandbytes NF4 are.`);
  }
}

/** Every tensor that the engine needs is there in its shape, and there is none that it would leave out. */
function checkTensors(config: ModelConfig, folder: SafetensorsFolder): void {
  const expected = expectedTensors(config);
  for (const [name, shape] of expected) {
    const entry = folder.entry(name);
    if (entry === undefined) invalid(`Tensor ${name} is missing.`);
    // A quantized weight's own shape is that of its bytes; its true shape is checked when it is read.
    if (!folder.has(name + QUANT_STATE) && !sameShape(entry.shape, shape)) wrongShape(name, entry.shape, shape);
  }
  for (const name of folder.names()) {
    const suffix = quantSuffixes.find((end) => name.endsWith(end));
    const weight = suffix === undefined ? name : name.slice(0, -suffix.length);
    if (expected.has(weight)) continue;
    // Old checkpoints store the angles, which follow from the config; a tied head may be stored a second time.
    if (name.endsWith('.rotary_emb.inv_freq') || (name === 'lm_head.weight' && config.tie_word_embeddings)) continue;
    unsupported(`Tensor ${name} is none that a ${config.model_type} model has; it would be ignored.`);
  }
}

/** Names and shapes of a model's tensors. */
export function expectedTensors(config: ModelConfig): ReadonlyMap<string, readonly number[]> {
  const { hidden_size, vocab_size, head_dim, model_type } = config;
  const tensors = new Map<string, readonly number[]>([
    ['model.embed_tokens.weight', [vocab_size, hidden_size]],
    ['model.norm.weight', [hidden_size]],
  ]);
  if (!config.tie_word_embeddings) tensors.set('lm_head.weight', [vocab_size, hidden_size]);
  for (let block = 0; block < config.num_hidden_layers; block++) {
    const prefix = `model.layers.${block}`;
    tensors.set(`${prefix}.input_layernorm.weight`, [hidden_size]);
    tensors.set(`${prefix}.post_attention_layernorm.weight`, [hidden_size]);
    for (const [name, parent] of linearLayers) {
      const [outFeatures, inFeatures] = linearShape(config, name);
      tensors.set(`${prefix}.${parent}.${name}.weight`, [outFeatures, inFeatures]);
      const hasBias = model_type === 'qwen2' && (name === 'q_proj' || name === 'k_proj' || name === 'v_proj');
      if (hasBias) tensors.set(`${prefix}.${parent}.${name}.bias`, [outFeatures]);
    }
    if (model_type === 'qwen3') {
      tensors.set(`${prefix}.self_attn.q_norm.weight`, [head_dim]);
      tensors.set(`${prefix}.self_attn.k_norm.weight`, [head_dim]);
    }
  }
  return tensors;
}

/** What bitsandbytes says of a quantized weight, in JSON within a tensor. */
interface QuantState {
  readonly blocksize: number;
  readonly shape: readonly number[];
  readonly nested?: { readonly blocksize: number; readonly offset: number };
}

async function readQuantState(folder: SafetensorsFolder, name: string): Promise<QuantState> {
  let state: unknown;
  try {
    state = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(await folder.bytes(name + QUANT_STATE)));
  } catch (cause) {
    throw new FedloraError('base-model/invalid', `The quantization of ${name} is not described in JSON.`, { cause });
  }
  if (!isObject(state) || state['quant_type'] !== 'nf4') unsupported(`${name} is quantized, but not to NF4.`);
  const { blocksize, shape, nested_blocksize, nested_offset } = state;
  if (typeof blocksize !== 'number' || !Number.isInteger(blocksize) || blocksize < 1)
    invalid(`The quantization of ${name} has no block size.`);
  if (!Array.isArray(shape) || !shape.every((size) => Number.isSafeInteger(size)))
    invalid(`The quantization of ${name} has no shape.`);
  if (nested_blocksize === undefined) return { blocksize, shape: shape as number[] };
  if (typeof nested_blocksize !== 'number' || !(nested_blocksize >= 1) || typeof nested_offset !== 'number') {
    invalid(`The double quantization of ${name} has no block size or offset.`);
  }
  return { blocksize, shape: shape as number[], nested: { blocksize: nested_blocksize, offset: nested_offset } };
}

async function shapeOf(folder: SafetensorsFolder, name: string): Promise<readonly number[] | undefined> {
  if (folder.has(name + QUANT_STATE)) return (await readQuantState(folder, name)).shape;
  return folder.entry(name)?.shape;
}

/** Dequantizes a bitsandbytes weight. Quantizing it again gives the stored codes, so nothing is lost on the way. */
async function readNf4(folder: SafetensorsFolder, name: string): Promise<Float32Array> {
  const { blocksize, shape, nested } = await readQuantState(folder, name);
  const count = shape.reduce((product, size) => product * size, 1);
  const codes = await folder.bytes(name);
  const map = await folder.floats(`${name}.quant_map`);
  if (map.length !== 16 || map.some((value, i) => value !== nf4Codebook[i]))
    unsupported(`${name} has a code book of its own; only NF4's is supported.`);
  const blocks = Math.ceil(count / blocksize);
  const absmax =
    nested === undefined ? await folder.floats(`${name}.absmax`) : await readNestedAbsmax(folder, name, nested, blocks);
  if (codes.length !== Math.ceil(count / 2) || absmax.length !== blocks)
    invalid(`${name} has not the bytes that its shape [${shape.join(', ')}] needs.`);
  return dequantizeNf4({ codes, absmax }, count, blocksize);
}

async function readNestedAbsmax(
  folder: SafetensorsFolder,
  name: string,
  nested: { readonly blocksize: number; readonly offset: number },
  blocks: number,
): Promise<Float32Array> {
  const codes = await folder.bytes(`${name}.absmax`);
  const absmax = await folder.floats(`${name}.nested_absmax`);
  const map = await folder.floats(`${name}.nested_quant_map`);
  if (map.length !== 256 || codes.length !== blocks || absmax.length !== Math.ceil(blocks / nested.blocksize)) {
    invalid(`The double quantization of ${name} has tensors of the wrong length.`);
  }
  return dequantizeAbsmax({ codes, absmax, offset: nested.offset }, map, nested.blocksize);
}

async function readText(directory: string, name: string): Promise<string> {
  try {
    return await readFile(join(directory, name), 'utf8');
  } catch (cause) {
    throw new FedloraError('base-model/not-found', `${name} cannot be read.`, { where: directory, cause });
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, i) => size === b[i]);
}

function show(value: unknown): string {
  return value === undefined ? 'absent' : JSON.stringify(value);
}

function wrongShape(name: string, actual: readonly number[], expected: readonly number[]): never {
  throw new FedloraError(
    'base-model/invalid',
    `Tensor ${name} is [${actual.join(', ')}], but config.json calls for [${expected.join(', ')}].`,
  );
}

function invalid(message: string): never {
  throw new FedloraError('base-model/invalid', message, { where: 'config.json' });
}

function unsupported(message: string): never {
  throw new FedloraError('base-model/unsupported', message);
}
