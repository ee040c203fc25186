/**
 * Decides, from sizes alone, in which form the engine computes a model. The engine builds its graphs by this plan; the coordinator asks
 * it what a run would need of its members' machines.
 */

import { linearLayers, linearShape, type ShapeConfig } from '../run/modules.js';

/** A base model's sizes, under the names of Hugging Face's `config.json`. */
export interface ModelSizes extends ShapeConfig {
  readonly head_dim: number;
  readonly vocab_size: number;
  readonly tie_word_embeddings: boolean;
}

export type Quantization = 'nf4' | 'none';

/**
 * How a linear layer's weight reaches a graph.
 *   nf4     codes and absmax, 4.5 bits a value; the adapter is applied beside it
 *   dense   f32; the adapter is applied beside it
 *   merged  f32 with the adapter already added (W + s B A): fewest operations, needs the weights in f32 twice
 */
export type WeightForm = 'nf4' | 'dense' | 'merged';

export type Structure = 'whole' | 'blocks';

export interface EnginePlan {
  readonly weights: WeightForm;
  readonly structure: Structure;
  /** Padded tokens computed at a time. */
  readonly rows: number;
  /**
   * Embedding and head: `f32`, or with block graphs `stored`: in 16 bits where the checkpoint has them so, of which only the rows or
   * the part of the vocabulary in use is f32.
   */
  readonly tables: 'f32' | 'stored';
  /**
   * Bytes of logits in f32 that are held at a time, and of a `stored` head that is f32 at a time; the vocabulary is taken in as many
   * parts as that needs.
   */
  readonly logitsBytes: number;
  /** Structure `blocks`: bytes of activations to keep for backward in the place of computing them twice; 0 keeps none. */
  readonly keptBytes: number;
  /**
   * Which graphs stay ready, each with memory of its own: `all`, or the `last` one alone. With large weights each graph holds
   * several of them in f32, and there are five.
   */
  readonly readyGraphs: 'all' | 'last';
}

const MIB = 2 ** 20;

/**
 * Linear weights up to this size are kept in f32 with the adapter merged, even if they went through NF4. Measured on the demo's base
 * model, CPU time of a record: merged 2.06 ms, f32 with the adapter beside it 2.22, NF4 2.32 (one thread of a busy AMD EPYC).
 */
const MERGED_LIMIT_BYTES = 64 * MIB;

/** Activations of the whole graph up to this size are worth it: block graphs compute them twice, for 2.83 ms in the place of 2.06. */
const WHOLE_LIMIT_BYTES = 1024 * MIB;

/** For small models. Within 5 % between 400 and 1600 rows: below, the operations' own cost shows; above, the processor's cache. */
const CACHE_ROWS = 768;

/** For larger models: rows over which dequantizing a weight is spread. */
const STREAM_ROWS = 1024;

/** Logits up to this size are computed at once. */
const LOGITS_BYTES = 64 * MIB;

/** Tokens of a part of the vocabulary, at least: matrices of few columns are multiplied by other kernels, and slowly. */
const SMALLEST_PART = 8;

/** From this size in f32 on, tables stay in 16 bits. Each slice widens the head again, which smaller models need not do. */
const STORED_TABLE_BYTES = 256 * MIB;

/**
 * From this size in f32 of a single weight on, one graph's memory at a time. Measured on two layers of 7B's shape: 3.3 GB with all
 * five graphs ready, 1.7 with one; what making them anew costs is spread over all blocks of a model.
 */
const LARGE_WEIGHT_BYTES = 32 * MIB;

/** Activations kept: those of a model of 135M parameters and 1024 tokens, which takes an eighth less time than computing them twice. */
const KEPT_BYTES = 1280 * MIB;

export function makeEnginePlan(
  config: ModelSizes,
  lora: { readonly lora_dropout?: number },
  quantization: Quantization,
): EnginePlan {
  const sizes = linearSizes(config);
  const perBlock = sizes.reduce((sum, size) => sum + size, 0);
  const isSmall = perBlock * config.num_hidden_layers * 4 <= MERGED_LIMIT_BYTES;
  const rows = isSmall ? CACHE_ROWS : STREAM_ROWS;
  const structure = activationBytes(config, rows) <= WHOLE_LIMIT_BYTES ? 'whole' : 'blocks';
  // What is dropped on the way to A must not be dropped on the way to W.
  const small = (lora.lora_dropout ?? 0) > 0 ? 'dense' : 'merged';
  const tableBytes = 4 * config.vocab_size * config.hidden_size;
  return {
    weights: isSmall ? small : quantization === 'nf4' ? 'nf4' : 'dense',
    structure,
    rows,
    keptBytes: KEPT_BYTES,
    tables: structure === 'blocks' && tableBytes >= STORED_TABLE_BYTES ? 'stored' : 'f32',
    logitsBytes: LOGITS_BYTES,
    readyGraphs: structure === 'blocks' && 4 * Math.max(...sizes) >= LARGE_WEIGHT_BYTES ? 'last' : 'all',
  };
}

/** Values of each linear layer of a block, in layout order. */
export function linearSizes(config: ShapeConfig): readonly number[] {
  return linearLayers.map(([name]) => {
    const [outFeatures, inFeatures] = linearShape(config, name);
    return outFeatures * inFeatures;
  });
}

/**
 * In how many parts the vocabulary is taken, a power of two, so that there are few kinds of graphs.
 *
 * Guarantee  It depends on no example's company: on the labels of a slice only where they are more than `rows`, and then the slice
 *            is of one example, or of examples padded to as many labels (`planSlices`).
 */
export function headPartCount(
  { vocab_size, hidden_size }: ModelSizes,
  { rows, logitsBytes, tables }: Pick<EnginePlan, 'rows' | 'logitsBytes' | 'tables'>,
  labels: number,
): number {
  const needed = (4 * vocab_size * Math.max(rows, labels, tables === 'stored' ? hidden_size : 0)) / logitsBytes;
  const most = Math.max(1, Math.floor(vocab_size / SMALLEST_PART));
  return 2 ** Math.floor(Math.log2(Math.min(most, 2 ** Math.max(0, Math.ceil(Math.log2(needed))))));
}

/** Blocks of a model whose activations fit into `bytes`, for B = `examples` rows of T = `length` tokens. */
export function keptBlocks(
  config: ModelSizes,
  { examples, length }: { readonly examples: readonly number[]; readonly length: number },
  bytes: number,
): number {
  return Math.floor(bytes / keptBlockBytes(config, examples.length, length));
}

/** Bytes of the activations that a block keeps for B = `examples` rows of T = `length` tokens. */
export function keptBlockBytes(config: ModelSizes, examples: number, length: number): number {
  const { num_attention_heads: H, num_key_value_heads: K, head_dim: dh } = config;
  // A row keeps residual, q, mixed, k, v, gate and up; each pair of tokens a probability in each head.
  const row = config.hidden_size + 2 * (H + K) * dh + 2 * config.intermediate_size;
  return 4 * examples * length * (row + H * length);
}

/** What backward keeps of forward, roughly: 10 rows of D, 7 of F, and the probabilities of 512 keys for each head. */
function activationBytes(config: ModelSizes, rows: number): number {
  const { hidden_size, intermediate_size, num_attention_heads, num_hidden_layers } = config;
  return num_hidden_layers * rows * 4 * (10 * hidden_size + 7 * intermediate_size + 512 * num_attention_heads);
}
