/**
 * What distinguishes the supported architectures from each other: data, read by whatever reads weights or computes blocks.
 *
 * Source     transformers `modeling_llama.py`, `modeling_mistral.py`, `modeling_qwen2.py`, `modeling_qwen3.py`, `modeling_gemma2.py`,
 *            `modeling_gemma3.py`. Numbers of one model (windows, caps, scalings) stand in its `ModelConfig`.
 */

import type { LinearName } from '@fedlora/shared';
import type { LayerType, ModelConfig } from './base-model.js';

/** Names of a block's norms, before `.weight`. */
export interface BlockNorms {
  readonly beforeAttention: string;
  /** Applied to attention's output before it is added to its input; `undefined` for none. */
  readonly afterAttention: string | undefined;
  readonly beforeMlp: string;
  /** Applied to the feed-forward layer's output before it is added to its input; `undefined` for none. */
  readonly afterMlp: string | undefined;
}

/** The function of the gate in the feed-forward layer, under transformers' names. */
export type Activation = 'silu' | 'gelu_pytorch_tanh';

export interface Architecture {
  /** Linear layers that add a bias. */
  readonly biased: readonly LinearName[];
  /** Whether queries and keys are normalized in each head. */
  readonly normalizesHeads: boolean;
  readonly norms: BlockNorms;
  /** What is added to each norm's stored weight: Gemma stores its difference from 1. */
  readonly normOffset: 0 | 1;
  readonly activation: Activation;
}

const llama: Architecture = {
  biased: [],
  normalizesHeads: false,
  norms: {
    beforeAttention: 'input_layernorm',
    afterAttention: undefined,
    beforeMlp: 'post_attention_layernorm',
    afterMlp: undefined,
  },
  normOffset: 0,
  activation: 'silu',
};

const gemma2: Architecture = {
  ...llama,
  norms: {
    beforeAttention: 'input_layernorm',
    afterAttention: 'post_attention_layernorm',
    beforeMlp: 'pre_feedforward_layernorm',
    afterMlp: 'post_feedforward_layernorm',
  },
  normOffset: 1,
  activation: 'gelu_pytorch_tanh',
};

const architectures: Readonly<Record<ModelConfig['model_type'], Architecture>> = {
  llama,
  mistral: llama,
  qwen2: { ...llama, biased: ['q_proj', 'k_proj', 'v_proj'] },
  qwen3: { ...llama, normalizesHeads: true },
  gemma2,
  gemma3_text: { ...gemma2, normalizesHeads: true },
};

export function architectureOf(config: Pick<ModelConfig, 'model_type'>): Architecture {
  return architectures[config.model_type];
}

/** Names of the norms of one block of this architecture, in the order in which they are applied. */
export function normNames({ norms }: Architecture): readonly string[] {
  const { beforeAttention, afterAttention, beforeMlp, afterMlp } = norms;
  return [beforeAttention, afterAttention, beforeMlp, afterMlp].filter((name) => name !== undefined);
}

/** The weight by which a norm multiplies, from the one that is stored. */
export function normWeight(config: Pick<ModelConfig, 'model_type'>, stored: Float32Array): Float32Array {
  const { normOffset } = architectureOf(config);
  return normOffset === 0 ? stored : stored.map((value) => value + normOffset);
}

/** The reverse: from what a norm multiplies by, as GGUF stores it, to what a Hugging Face folder stores. */
export function storedNorm(config: Pick<ModelConfig, 'model_type'>, weight: Float32Array): Float32Array {
  const { normOffset } = architectureOf(config);
  return normOffset === 0 ? weight : weight.map((value) => value - normOffset);
}

/** Which tokens a block's attention sees. */
export function layerTypeOf(config: Pick<ModelConfig, 'layer_types'>, block: number): LayerType {
  return config.layer_types?.[block] ?? 'full_attention';
}

/** How many tokens are seen in blocks of a type, the asking one included. */
export function windowOf(config: Pick<ModelConfig, 'sliding_window'>, type: LayerType): number {
  return type === 'sliding_attention' ? (config.sliding_window ?? Infinity) : Infinity;
}

/** What q k^T is multiplied by. */
export function scoreScaling(config: Pick<ModelConfig, 'head_dim' | 'query_pre_attn_scalar'>): number {
  return 1 / Math.sqrt(config.query_pre_attn_scalar ?? config.head_dim);
}
