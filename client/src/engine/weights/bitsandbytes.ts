/**
 * Writes a base model as a bitsandbytes NF4 checkpoint, which transformers loads and `openBaseModel` reads back.
 *
 * Source     bitsandbytes `QuantState.as_dict(packed=True)`, `Linear4bit._save_to_state_dict`; transformers `BitsAndBytesConfig`.
 * Layout     of a linear weight [out, in] with N values, beside the name N of the weight:
 *              N                                     U8  [ceil(N/2), 1]   codes
 *              N.absmax                              F32 [blocks]; with double quantization U8 [blocks]
 *              N.quant_map                           F32 [16]
 *              N.nested_absmax, N.nested_quant_map   F32 [ceil(blocks/256)], [256]; with double quantization only
 *              N.quant_state.bitsandbytes__nf4       U8  JSON: block sizes, type and shape of the weight, mean of absmax
 * Checked    against fixtures/stories260K-nf4; bitsandbytes itself was not run (it is not to be had here).
 */

import { encodeFloats, FedloraError } from '@fedlora/shared';
import { randomUUID } from 'node:crypto';
import { copyFile, mkdir, open, readdir, readFile, rename, rm, writeFile, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { BaseModel, ModelConfig } from './base-model.js';
import { missing } from './file-range.js';
import { isGguf } from './gguf/gguf-file.js';
import { expectedTensors } from './model-config.js';
import { dynamicMap, NESTED_BLOCK, NF4_BLOCK, nf4Codebook, quantizeAbsmax } from './nf4.js';
import { quantizedLinear, type QuantizedWeight, type QuantizeOptions } from './nf4-store.js';
import { SINGLE_FILE } from './safetensors-file.js';

export interface BitsAndBytesOptions extends QuantizeOptions {
  /** Whether absmax is quantized as well: `bnb_4bit_use_double_quant`. Default true. */
  readonly doubleQuantization?: boolean;
  /** Format of what is not quantized (embedding, norms, biases, head), and of what a weight is dequantized to. Default F32, exact. */
  readonly dtype?: 'F32' | 'F16' | 'BF16';
}

const torchNames = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' } as const;

const architectures: Readonly<Record<ModelConfig['model_type'], string>> = {
  llama: 'LlamaForCausalLM',
  mistral: 'MistralForCausalLM',
  qwen2: 'Qwen2ForCausalLM',
  qwen3: 'Qwen3ForCausalLM',
  gemma2: 'Gemma2ForCausalLM',
  gemma3_text: 'Gemma3ForCausalLM',
};

/** What else makes the checkpoint usable; copied where the base model has it. */
const companions = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'chat_template.jinja',
  'generation_config.json',
];

/** A tensor to write: its bytes are made when it is their turn. */
interface Entry {
  readonly name: string;
  readonly dtype: 'F32' | 'F16' | 'BF16' | 'U8';
  readonly shape: readonly number[];
  readonly bytes: () => Promise<Uint8Array>;
}

/**
 * Writes `model.safetensors`, `config.json` and the tokenizer's files into a folder that is new or empty.
 *
 * Guarantee  Read back, the codes are those of `quantizedLinear`, and absmax is what double quantization makes of it (or itself,
 *            without). The folder has a config.json only when the weights are complete and flushed.
 * Cost       Memory holds the quantized weights and one other tensor.
 * @throws FedloraError base-model/exists | what `quantizedLinear` throws
 */
export async function writeBitsAndBytes(
  base: BaseModel,
  folder: string,
  options: BitsAndBytesOptions = {},
): Promise<void> {
  const { doubleQuantization = true, dtype = 'F32' } = options;
  await mkdir(folder, { recursive: true });
  if ((await readdir(folder)).length > 0) throw new FedloraError('base-model/exists', undefined, { where: folder });
  const { tensors } = await quantizedLinear(base, undefined, options);
  const entries: Entry[] = [];
  for (const [name, shape] of expectedTensors(base.config)) {
    const weight = tensors.get(name);
    if (weight !== undefined) entries.push(...quantizedEntries(name, weight, doubleQuantization, dtype));
    else entries.push({ name, dtype, shape, bytes: async () => encodeFloats(await base.tensor(name, shape), dtype) });
  }
  await writeSafetensorsFile(join(folder, SINGLE_FILE), entries);
  const source = isGguf(base.directory) ? dirname(base.directory) : base.directory;
  for (const name of companions) await copyFile(join(source, name), join(folder, name)).catch(missing);
  const config = {
    ...(isGguf(base.directory) ? base.config : await readConfig(source)),
    architectures: [architectures[base.config.model_type]],
    torch_dtype: torchNames[dtype],
    dtype: undefined, // what transformers 5 calls it; of two, it would be the one that counts
    quantization_config: quantizationConfig(doubleQuantization, torchNames[dtype]),
  };
  await writeFile(join(folder, 'config.json'), `${JSON.stringify(config, null, 2)}\n`);
}

/** The tensors in which one weight is stored. */
function quantizedEntries(
  name: string,
  { codes, absmax, shape }: QuantizedWeight,
  doubleQuantization: boolean,
  dtype: Exclude<Entry['dtype'], 'U8'>,
): Entry[] {
  const floats = (suffix: string, values: Float32Array): Entry => ({
    name: `${name}.${suffix}`,
    dtype: 'F32',
    shape: [values.length],
    bytes: async () => encodeFloats(values, 'F32'),
  });
  const raw = (entry: string, bytes: Uint8Array, entryShape: readonly number[]): Entry => ({
    name: entry,
    dtype: 'U8',
    shape: entryShape,
    bytes: async () => bytes,
  });
  const state = [
    ['quant_type', '"nf4"'],
    ['blocksize', String(NF4_BLOCK)],
    ['dtype', `"${torchNames[dtype]}"`],
    ['shape', `[${shape.join(', ')}]`],
  ];
  const entries = [raw(name, codes, [codes.length, 1]), floats('quant_map', nf4Codebook)];
  if (doubleQuantization) {
    const nested = quantizeAbsmax(absmax);
    state.push(
      ['nested_blocksize', String(NESTED_BLOCK)],
      ['nested_dtype', '"float32"'],
      ['nested_offset', pythonFloat(nested.offset)],
    );
    entries.push(
      raw(`${name}.absmax`, nested.codes, [nested.codes.length]),
      floats('nested_absmax', nested.absmax),
      floats('nested_quant_map', dynamicMap),
    );
  } else entries.push(floats('absmax', absmax));
  const json = new TextEncoder().encode(`{${state.map(([key, value]) => `"${key}": ${value}`).join(', ')}}`);
  entries.push(raw(`${name}.quant_state.bitsandbytes__nf4`, json, [json.length]));
  return entries;
}

/** A float as Python prints it where that makes a difference of type: `1.0`, not `1`. */
function pythonFloat(value: number): string {
  return Number.isInteger(value) ? `${value}.0` : String(value);
}

/** Larger elements first, then by name: the order that the safetensors library gives a file. */
const dtypeOrder: readonly Entry['dtype'][] = ['F32', 'BF16', 'F16', 'U8'];
const elementBytes: Readonly<Record<Entry['dtype'], number>> = { F32: 4, F16: 2, BF16: 2, U8: 1 };

/** Streams a safetensors file to disk: flushed, then given its name. */
async function writeSafetensorsFile(path: string, entries: readonly Entry[]): Promise<void> {
  const sorted = [...entries].sort(
    (a, b) => dtypeOrder.indexOf(a.dtype) - dtypeOrder.indexOf(b.dtype) || (a.name < b.name ? -1 : 1),
  );
  let end = 0;
  const fields = ['"__metadata__":{"format":"pt"}'];
  for (const { name, dtype, shape } of sorted) {
    const begin = end;
    end += elementBytes[dtype] * shape.reduce((product, size) => product * size, 1);
    fields.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [begin, end] })}`);
  }
  const text = `{${fields.join(',')}}`;
  const header = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));

  const temporary = join(dirname(path), `.${randomUUID()}.tmp`);
  try {
    const file = await open(temporary, 'wx', 0o644);
    try {
      await writeAll(file, length);
      await writeAll(file, header);
      for (const entry of sorted) await writeAll(file, await entry.bytes());
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += (await file.write(bytes, done)).bytesWritten;
}

/** The base model's own config.json, which has more than `ModelConfig`: ids of special tokens. It was read before, so it is JSON. */
async function readConfig(directory: string): Promise<object> {
  return JSON.parse(await readFile(join(directory, 'config.json'), 'utf8')) as object;
}

function quantizationConfig(doubleQuantization: boolean, dtype: string): object {
  return {
    quant_method: 'bitsandbytes',
    load_in_4bit: true,
    load_in_8bit: false,
    bnb_4bit_quant_type: 'nf4',
    bnb_4bit_use_double_quant: doubleQuantization,
    bnb_4bit_compute_dtype: dtype,
    bnb_4bit_quant_storage: 'uint8',
    llm_int8_skip_modules: null,
    llm_int8_threshold: 6.0,
    llm_int8_has_fp16_weight: false,
    llm_int8_enable_fp32_cpu_offload: false,
  };
}
