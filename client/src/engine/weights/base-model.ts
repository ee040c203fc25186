/**
 * A base model as the engine sees it: hyper-parameters and tensors by Hugging Face name, wherever the bytes come from.
 */

import type { HalfTable } from './half-table.js';
import type { Nf4Values } from './nf4.js';

/** Names of the tables of tokens. */
export const EMBEDDING = 'model.embed_tokens.weight';
export const HEAD = 'lm_head.weight';

/** Which tokens a block's attention sees: all before, or the last `sliding_window` of them. */
export type LayerType = 'full_attention' | 'sliding_attention';

/** The transformer's hyper-parameters, under the names of Hugging Face's `config.json` where one exists. */
export interface ModelConfig {
  readonly model_type: 'llama' | 'mistral' | 'qwen2' | 'qwen3' | 'gemma2' | 'gemma3_text';
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly head_dim: number;
  readonly vocab_size: number;
  readonly max_position_embeddings: number;
  readonly rms_norm_eps: number;
  readonly rope_theta: number;
  /** Stretching of the rotary frequencies; absent for none. Use `ropeFrequencies`, which knows all kinds. */
  readonly rope_scaling?: RopeScaling;
  /** Base of the rotary frequencies in sliding blocks, which are not stretched; absent where they turn as all others. */
  readonly rope_local_base_freq?: number;
  readonly tie_word_embeddings: boolean;
  /** Tokens that sliding blocks see, the asking one included; absent where no block slides. */
  readonly sliding_window?: number;
  /** [num_hidden_layers]; absent where no block slides. */
  readonly layer_types?: readonly LayerType[];
  /** Scores are divided by its root; absent for head_dim. */
  readonly query_pre_attn_scalar?: number;
  /** c of c tanh(score / c); absent for none. */
  readonly attn_logit_softcapping?: number;
  /** The same for the logits of the head. */
  readonly final_logit_softcapping?: number;
  /** What embeddings are multiplied by; absent for 1. */
  readonly embedding_scale?: number;
}

/** Kinds of `rope_scaling` that `ropeFrequencies` computes. */
export type RopeScaling =
  | { readonly rope_type: 'linear'; readonly factor: number }
  | {
      readonly rope_type: 'llama3';
      readonly factor: number;
      readonly low_freq_factor: number;
      readonly high_freq_factor: number;
      readonly original_max_position_embeddings: number;
    };

/** A base model opened for reading. Tensors are read on demand, so that memory never holds the whole model in f32. */
export interface BaseModel {
  readonly config: ModelConfig;
  /** Where the model was read from: its folder, or its .gguf file. What `openBaseModel` and `loadTokenizer` are given. */
  readonly directory: string;
  /** Hex SHA-256 that identifies the model: see `baseModelDigest`. */
  readonly digest: string;
  /** Reads a tensor as row-major f32; checks its shape. A bitsandbytes NF4 tensor is dequantized. */
  tensor(name: string, shape: readonly number[]): Promise<Float32Array>;
  /**
   * A weight that is stored as NF4 in blocks of 64, with its codes as they are stored; `undefined` if it is stored otherwise.
   * Absent where no format of the model has it.
   */
  nf4?(name: string, shape: readonly number[]): Promise<Nf4Values | undefined>;
  /**
   * A matrix that is stored in 16 bits a value, as it is stored; `undefined` if it is stored otherwise. Absent where no format of the
   * model has it.
   */
  halves?(name: string, shape: readonly [rows: number, columns: number]): Promise<HalfTable | undefined>;
  /** Whether `halves` gives embedding and head; absent for no. Known without reading them. */
  readonly hasHalfTables?: boolean;
  has(name: string): boolean;
}

/** What the headers of a base model say, without reading or hashing it. */
export type BaseModelShape = Pick<BaseModel, 'config' | 'hasHalfTables'>;

/** What the engine that will use the model is able to compute. */
export interface OpenOptions {
  /**
   * Kinds of rope_scaling that the caller computes (with `ropeFrequencies`). Others are refused, since ignoring them trains a
   * different model without a sign of it.
   */
  readonly ropeTypes?: readonly RopeScaling['rope_type'][];
}
