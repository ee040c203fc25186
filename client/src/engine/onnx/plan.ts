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

/** Linear weights up to this size are also kept in f32 with the adapter merged, though NF4 was asked for: it is nearly twice as fast. */
const MERGED_LIMIT_BYTES = 64 * MIB;

/** Activations of the whole graph up to this size are worth the time that block graphs spend on computing them twice. */
const WHOLE_LIMIT_BYTES = 1024 * MIB;

/** More rows at a time no longer fit the processor's cache, fewer leave its vector units waiting. Measured on the demo model. */
const CACHE_ROWS = 768;

/** For larger models: rows over which dequantizing a weight is spread. */
const STREAM_ROWS = 1024;

export function makePlan(config: ModelConfig, lora: LoraConfig, quantization: Quantization): Plan {
  const spec = graphSpec(config, lora, 'dense');
  const perBlock = linearNames.reduce((sum, name) => sum + shapeOf(spec, name)[0] * shapeOf(spec, name)[1], 0);
  const isSmall = perBlock * config.num_hidden_layers * 4 <= MERGED_LIMIT_BYTES;
  const rows = isSmall ? CACHE_ROWS : STREAM_ROWS;
  const structure = activationBytes(config, rows) <= WHOLE_LIMIT_BYTES ? 'whole' : 'blocks';
  return { weights: isSmall ? 'merged' : quantization === 'nf4' ? 'nf4' : 'dense', structure, rows };
}

/** What backward keeps of forward, roughly: 10 rows of D, 7 of F, and the probabilities of 512 keys for each head. */
function activationBytes(config: ModelConfig, rows: number): number {
  const { hidden_size, intermediate_size, num_attention_heads, num_hidden_layers } = config;
  return num_hidden_layers * rows * 4 * (10 * hidden_size + 7 * intermediate_size + 512 * num_attention_heads);
}
