/**
 * What llama.cpp calls the supported architectures and their tensors.
 *
 * Source     llama.cpp `gguf-py/gguf/constants.py`, `tensor_mapping.py`
 */

import { architectureOf } from '../architecture.js';
import type { ModelConfig } from '../base-model.js';

/** Architectures by GGUF's name, with that of Hugging Face; GGUF's `llama` is also Mistral, which computes the same. */
export const architectures = {
  llama: 'llama',
  qwen2: 'qwen2',
  qwen3: 'qwen3',
  gemma2: 'gemma2',
  gemma3: 'gemma3_text',
} as const;

export type GgufArchitecture = keyof typeof architectures;

/** The name under which a GGUF file has a model of this kind. */
export function ggufArchitecture({ model_type }: Pick<ModelConfig, 'model_type'>): GgufArchitecture {
  switch (model_type) {
    case 'mistral':
      return 'llama';
    case 'gemma3_text':
      return 'gemma3';
    default:
      return model_type;
  }
}

/** Tensor names outside blocks. */
const outerNames: Readonly<Record<string, string>> = {
  'model.embed_tokens.weight': 'token_embd.weight',
  'model.norm.weight': 'output_norm.weight',
  'lm_head.weight': 'output.weight',
};

/** Names within a block, before `.weight` or `.bias`. */
const blockNames: Readonly<Record<string, string>> = {
  input_layernorm: 'attn_norm',
  post_attention_layernorm: 'ffn_norm',
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.o_proj': 'attn_output',
  'self_attn.q_norm': 'attn_q_norm',
  'self_attn.k_norm': 'attn_k_norm',
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down',
};

/** Gemma's blocks have two norms more, and other names for one. */
const gemmaBlockNames: Readonly<Record<string, string>> = {
  ...blockNames,
  post_attention_layernorm: 'post_attention_norm',
  pre_feedforward_layernorm: 'ffn_norm',
  post_feedforward_layernorm: 'post_ffw_norm',
};

/** llama.cpp's name of one of `expectedTensors`. */
export function ggufName(config: Pick<ModelConfig, 'model_type'>, name: string): string {
  const outer = outerNames[name];
  if (outer !== undefined) return outer;
  const [, block, part, kind] = /^model\.layers\.(\d+)\.(.+)\.(weight|bias)$/.exec(name) ?? [];
  const names = architectureOf(config).norms.afterMlp === undefined ? blockNames : gemmaBlockNames;
  return `blk.${block}.${names[part ?? '']}.${kind}`;
}
