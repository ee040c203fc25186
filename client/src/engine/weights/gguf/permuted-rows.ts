/**
 * The order of the rows of queries and keys in GGUF's `llama`, where the two of a rotated pair stand side by side.
 *
 * Source     llama.cpp `convert_hf_to_gguf.py`, LlamaModel.permute: row 2j + s of a head was row s D/2 + j, for a head of D rows,
 *            s in {0, 1} and j < D/2.
 */

import type { ModelConfig } from '../base-model.js';
import { ggufArchitecture } from './names.js';

/** In how many heads a tensor's rows are permuted; `undefined` if they are not. Only the `llama` architecture's are. */
export function permutedHeads(
  config: Pick<ModelConfig, 'model_type' | 'num_attention_heads' | 'num_key_value_heads'>,
  name: string,
): number | undefined {
  if (ggufArchitecture(config) !== 'llama') return undefined;
  if (name.endsWith('.q_proj.weight')) return config.num_attention_heads;
  return name.endsWith('.k_proj.weight') ? config.num_key_value_heads : undefined;
}

/** From GGUF's order to the one that Hugging Face's rotary embedding expects. Shapes: values [rows, columns] f32 -> the same. */
export function unpermuteRows(values: Float32Array, heads: number, rows: number, columns: number): Float32Array {
  return reordered(values, heads, rows, columns, (row, original) => [row, original]);
}

/** The reverse: from Hugging Face's order to GGUF's. */
export function permuteRows(values: Float32Array, heads: number, rows: number, columns: number): Float32Array {
  return reordered(values, heads, rows, columns, (row, original) => [original, row]);
}

/** `move`: which row goes where, of GGUF's row and the one that it originally was. */
function reordered(
  values: Float32Array,
  heads: number,
  rows: number,
  columns: number,
  move: (row: number, original: number) => readonly [from: number, to: number],
): Float32Array {
  const result = new Float32Array(values.length);
  const headRows = rows / heads;
  for (let row = 0; row < rows; row++) {
    const within = row % headRows;
    const [from, to] = move(row, row - within + (within & 1) * (headRows / 2) + (within >> 1));
    result.set(values.subarray(from * columns, (from + 1) * columns), to * columns);
  }
  return result;
}
