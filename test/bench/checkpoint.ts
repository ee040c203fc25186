/** Random base models on disk, in the shapes of known ones: a benchmark needs their sizes, not their knowledge. */

import { randomFillSync } from 'node:crypto';
import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { expectedTensors, parseModelConfig } from '@fedlora/client';

/** SmolLM2-135M. */
export const shape135m = {
  model_type: 'llama',
  hidden_size: 576,
  intermediate_size: 1536,
  num_hidden_layers: 30,
  num_attention_heads: 9,
  num_key_value_heads: 3,
  vocab_size: 49152,
  max_position_embeddings: 2048,
  rms_norm_eps: 1e-5,
  rope_theta: 100000,
  tie_word_embeddings: true,
};

/** Llama 3.2 1B. */
export const shape1b = {
  ...shape135m,
  hidden_size: 2048,
  intermediate_size: 8192,
  num_hidden_layers: 16,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  head_dim: 64,
  vocab_size: 128256,
  rope_theta: 500000,
};

/** Two layers of Llama 2 7B. */
export const shape7bTwoLayers = {
  ...shape135m,
  hidden_size: 4096,
  intermediate_size: 11008,
  num_hidden_layers: 2,
  num_attention_heads: 32,
  num_key_value_heads: 32,
  vocab_size: 32000,
  max_position_embeddings: 4096,
  rope_theta: 10000,
  tie_word_embeddings: false,
};

/** The demo's base model. */
export const shapeDemo = {
  ...shape135m,
  hidden_size: 128,
  intermediate_size: 352,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 1024,
  max_position_embeddings: 256,
  rope_theta: 10000,
};

export type Shape = typeof shape135m & { readonly head_dim?: number };

const CHUNK = 1 << 20;

/** The spread of uniform bf16 values: sign, one of few exponents, random bits: 2^-7 to 2^-5 in size. */
const SIGN_AND_LOWEST_EXPONENT_BIT = 0x81;
const EXPONENT = 0x3c;

/** Writes config.json, model.safetensors (bf16) and an empty tokenizer. Norm weights are random as well, around 1. */
export function writeCheckpoint(directory: string, shape: Shape): void {
  const config = { architectures: ['LlamaForCausalLM'], hidden_act: 'silu', torch_dtype: 'bfloat16', ...shape };
  const header: Record<string, { dtype: string; shape: readonly number[]; data_offsets: [number, number] }> = {};
  let end = 0;
  for (const [name, dimensions] of expectedTensors(parseModelConfig(JSON.stringify(config)))) {
    const begin = end;
    end += 2 * dimensions.reduce((product, size) => product * size, 1);
    header[name] = { dtype: 'BF16', shape: dimensions, data_offsets: [begin, end] };
  }
  const text = JSON.stringify({ __metadata__: { format: 'pt' }, ...header });
  const json = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const file = openSync(join(directory, 'model.safetensors'), 'w');
  try {
    writeSync(file, length);
    writeSync(file, json);
    const chunk = Buffer.alloc(CHUNK);
    for (const [
      name,
      {
        data_offsets: [begin, stop],
      },
    ] of Object.entries(header)) {
      const isNorm = name.endsWith('norm.weight');
      for (let at = begin; at < stop; at += CHUNK) {
        randomFillSync(chunk);
        for (let i = 1; i < chunk.length; i += 2) {
          // A norm's weights lie in [1, 2): the exponent of 1, a random fraction.
          if (isNorm) chunk.writeUInt16LE(0x3f80 | (chunk.readUInt16LE(i - 1) & 0x7f), i - 1);
          else chunk[i] = (chunk[i] & SIGN_AND_LOWEST_EXPONENT_BIT) | EXPONENT;
        }
        writeSync(file, chunk, 0, Math.min(CHUNK, stop - at));
      }
    }
  } finally {
    closeSync(file);
  }
  writeFileSync(join(directory, 'config.json'), JSON.stringify(config));
  writeFileSync(join(directory, 'tokenizer.json'), '{}');
}

/** Parameters of the linear layers, which are what NF4 quantizes. */
export function linearParameters({
  hidden_size: D,
  intermediate_size: F,
  num_hidden_layers: L,
  ...shape
}: Shape): number {
  const dh = shape.head_dim ?? D / shape.num_attention_heads;
  const attention = 2 * D * dh * (shape.num_attention_heads + shape.num_key_value_heads);
  return L * (attention + 3 * D * F);
}
