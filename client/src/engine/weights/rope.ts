/**
 * The angles by which rotary position embedding turns, with the stretchings that Llama checkpoints ask for.
 *
 * Source     Su et al. 2021, arXiv:2104.09864; transformers `modeling_rope_utils` for `linear` and `llama3`,
 *            `modeling_gemma3.py` for frequencies by layer type.
 * Legend     frequency i turns the pair (i, i + head_dim / 2) by frequency * position radians.
 */

import type { LayerType, ModelConfig } from './base-model.js';

/**
 * Radians per position for each pair: [head_dim / 2] f64.
 *
 * Edge cases no rope_scaling -> theta^(-2i / head_dim) | linear -> all divided by factor
 *            | llama3 -> only long wavelengths divided, with a linear blend between the two limits
 */
export function ropeFrequencies(config: Pick<ModelConfig, 'head_dim' | 'rope_theta' | 'rope_scaling'>): Float64Array {
  const { head_dim, rope_theta, rope_scaling } = config;
  return Float64Array.from({ length: head_dim / 2 }, (_, i) => {
    const frequency = rope_theta ** ((-2 * i) / head_dim);
    if (rope_scaling === undefined) return frequency;
    const slow = frequency / rope_scaling.factor;
    if (rope_scaling.rope_type === 'linear') return slow;
    const { low_freq_factor, high_freq_factor, original_max_position_embeddings } = rope_scaling;
    const turns = (original_max_position_embeddings * frequency) / (2 * Math.PI); // within the original context
    if (turns < low_freq_factor) return slow;
    if (turns > high_freq_factor) return frequency;
    const blend = (turns - low_freq_factor) / (high_freq_factor - low_freq_factor);
    return (1 - blend) * slow + blend * frequency;
  });
}

/** The same for the blocks of one type: Gemma 3's sliding blocks turn by a base of their own, without stretching. */
export function layerFrequencies(config: ModelConfig, type: LayerType): Float64Array {
  const { head_dim, rope_local_base_freq } = config;
  if (type === 'full_attention' || rope_local_base_freq === undefined) return ropeFrequencies(config);
  return ropeFrequencies({ head_dim, rope_theta: rope_local_base_freq });
}
