/** Decides, from sizes alone, in which form a model is computed. */

import type { LoraConfig } from '../engine.js';
import type { ModelConfig } from '../weights/base-model.js';
import type { Quantization } from './base-weights.js';
import { graphSpec, linearNames, shapeOf, type WeightForm } from './spec.js';

export type Structure = 'whole' | 'blocks';

export interface Plan {
  readonly weights: WeightForm;
  readonly structure: Structure;
  /** Padded tokens computed at a time. */
  readonly rows: number;
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

export function makePlan(config: ModelConfig, lora: LoraConfig, quantization: Quantization): Plan {
  const spec = graphSpec(config, lora, 'dense');
  const perBlock = linearNames.reduce((sum, name) => sum + shapeOf(spec, name)[0] * shapeOf(spec, name)[1], 0);
  const isSmall = perBlock * config.num_hidden_layers * 4 <= MERGED_LIMIT_BYTES;
  const rows = isSmall ? CACHE_ROWS : STREAM_ROWS;
  const structure = activationBytes(config, rows) <= WHOLE_LIMIT_BYTES ? 'whole' : 'blocks';
  // What is dropped on the way to A must not be dropped on the way to W.
  const small = (lora.lora_dropout ?? 0) > 0 ? 'dense' : 'merged';
  return { weights: isSmall ? small : quantization === 'nf4' ? 'nf4' : 'dense', structure, rows };
}

/** What backward keeps of forward, roughly: 10 rows of D, 7 of F, and the probabilities of 512 keys for each head. */
function activationBytes(config: ModelConfig, rows: number): number {
  const { hidden_size, intermediate_size, num_attention_heads, num_hidden_layers } = config;
  return num_hidden_layers * rows * 4 * (10 * hidden_size + 7 * intermediate_size + 512 * num_attention_heads);
}
