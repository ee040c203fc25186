/**
 * Opens base models: a Hugging Face folder (config.json and safetensors, in float or as bitsandbytes NF4), or a GGUF file.
 *
 * Guarantee  What is opened is computed rightly or refused: every setting that would change the mathematics is checked, and no
 *            tensor is silently ignored.
 * It reads no pickle, runs no code of the folder and follows no path out of it.
 */

import { FedloraError } from '@fedlora/shared';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  EMBEDDING,
  HEAD,
  type BaseModel,
  type BaseModelShape,
  type ModelConfig,
  type OpenOptions,
} from './base-model.js';
import { baseModelDigest } from './digest.js';
import { isGguf } from './gguf/gguf-file.js';
import { openGguf, readGgufConfig, readGgufShape } from './gguf/open-gguf.js';
import { HalfTable, type HalfFormat } from './half-table.js';
import { expectedTensors, parseModelConfig } from './model-config.js';
import { dequantizeAbsmax, dequantizeNf4, NF4_BLOCK, nf4Codebook, requireFinite, type Nf4Values } from './nf4.js';
import { openSafetensorsFolder, type SafetensorsFolder } from './safetensors-file.js';

export type { OpenOptions } from './base-model.js';
export { baseModelDigest } from './digest.js';
export { expectedTensors, parseModelConfig } from './model-config.js';

/** Suffix of the tensor in which bitsandbytes describes a quantized weight. */
const QUANT_STATE = '.quant_state.bitsandbytes__nf4';

/** Tensors that bitsandbytes stores beside a weight. */
const quantSuffixes = ['.absmax', '.quant_map', '.nested_absmax', '.nested_quant_map', QUANT_STATE] as const;

/**
 * Opens a base model: reads headers, checks every tensor's presence and shape, hashes the files. Reads no weights yet.
 *
 * Edge cases a path that ends in .gguf -> `openGguf` | any other -> a Hugging Face folder
 * @throws FedloraError base-model/not-found | base-model/invalid | base-model/unsupported | safetensors/* | gguf/*
 */
export async function openBaseModel(path: string, options: OpenOptions = {}): Promise<BaseModel> {
  return isGguf(path) ? openGguf(path, options) : openHuggingFaceFolder(path, options);
}

/**
 * What the headers say, in a moment for any size: no weight is read and nothing is hashed.
 *
 * @throws FedloraError as `openBaseModel`
 */
export async function readModelShape(path: string, options: OpenOptions = {}): Promise<BaseModelShape> {
  if (isGguf(path)) return readGgufShape(path, options);
  const { config, folder } = await openHeaders(path, options);
  return { config, hasHalfTables: hasHalfTables(config, folder) };
}

/**
 * The hyper-parameters alone: nothing else of the model need be there.
 *
 * @throws FedloraError base-model/not-found | base-model/invalid | base-model/unsupported | gguf/*
 */
export async function readModelConfig(path: string, options: OpenOptions = {}): Promise<ModelConfig> {
  return isGguf(path) ? readGgufConfig(path, options) : parseModelConfig(await readText(path, 'config.json'), options);
}

async function openHeaders(
  directory: string,
  options: OpenOptions,
): Promise<{ readonly config: ModelConfig; readonly folder: SafetensorsFolder }> {
  const config = await readModelConfig(directory, options);
  const folder = await openSafetensorsFolder(directory);
  checkTensors(config, folder);
  return { config, folder };
}

/** The format of a tensor with 16 bits a value; `undefined` for any other. */
function halfFormat(folder: SafetensorsFolder, name: string): HalfFormat | undefined {
  const dtype = folder.entry(name)?.dtype;
  return dtype === 'F16' || dtype === 'BF16' ? dtype : undefined;
}

function hasHalfTables({ tie_word_embeddings }: ModelConfig, folder: SafetensorsFolder): boolean {
  const names = tie_word_embeddings ? [EMBEDDING] : [EMBEDDING, HEAD];
  return names.every((name) => halfFormat(folder, name) !== undefined);
}

async function openHuggingFaceFolder(directory: string, options: OpenOptions): Promise<BaseModel> {
  const { config, folder } = await openHeaders(directory, options);
  const digest = await baseModelDigest(directory);
  const checked = async (name: string, shape: readonly number[]): Promise<void> => {
    const actual = await shapeOf(folder, name);
    if (actual === undefined) throw new FedloraError('base-model/invalid', `Tensor ${name} is missing.`);
    if (!sameShape(actual, shape)) wrongShape(name, actual, shape);
  };
  return {
    config,
    directory,
    digest,
    hasHalfTables: hasHalfTables(config, folder),
    has: (name) => folder.has(name),
    async tensor(name, shape) {
      await checked(name, shape);
      if (!folder.has(name + QUANT_STATE)) return requireFinite(name, await folder.floats(name));
      const { values, blockSize } = await readNf4(folder, name);
      const count = shape.reduce((product, size) => product * size, 1);
      return requireFinite(name, dequantizeNf4(values, count, blockSize));
    },
    async nf4(name, shape) {
      await checked(name, shape);
      if (!folder.has(name + QUANT_STATE)) return undefined;
      const { values, blockSize } = await readNf4(folder, name);
      if (blockSize !== NF4_BLOCK) return undefined;
      requireFinite(name, values.absmax);
      return values;
    },
    async halves(name, shape) {
      await checked(name, shape);
      const format = halfFormat(folder, name);
      return format === undefined ? undefined : new HalfTable(name, format, shape[1], await folder.bytes(name));
    },
  };
}

/** Every tensor that the engine needs is there in its shape, and there is none that it would leave out. */
function checkTensors(config: ModelConfig, folder: SafetensorsFolder): void {
  const expected = expectedTensors(config);
  for (const [name, shape] of expected) {
    const entry = folder.entry(name);
    if (entry === undefined) invalid(`Tensor ${name} is missing; config.json calls for [${shape.join(', ')}].`);
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

/** A bitsandbytes weight: its codes as they are stored, its absmax dequantized. */
async function readNf4(
  folder: SafetensorsFolder,
  name: string,
): Promise<{ readonly values: Nf4Values; readonly blockSize: number }> {
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
  return { values: { codes, absmax }, blockSize: blocksize };
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
