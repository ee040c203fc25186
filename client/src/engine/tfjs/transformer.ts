/**
 * The blocks of Llama, Mistral, Qwen2, Qwen3, Gemma 2 and Gemma 3 in TensorFlow.js operations, differentiated by TensorFlow.js.
 *
 * Source     transformers `modeling_llama.py`, `modeling_qwen2.py`, `modeling_qwen3.py`,
 *            `modeling_gemma2.py`, `modeling_gemma3.py`; PEFT `LoraLayer` for the adapter.
 * Written independently of `onnx/`, whose backward pass is derived by hand, so that each checks the other.
 * Legend     b = examples in this computation, T = tokens of each, D = hidden_size, dh = head_dim, H = attention heads,
 *            K = key-value heads, G = H / K, r = LoRA rank. Rows of all examples lie one below the other: [b * T, D].
 */

import { linearLayers, linearShape, type LinearName } from '@fedlora/shared';
import * as tf from '@tensorflow/tfjs';
import { architectureOf, layerTypeOf, normWeight, scoreScaling, windowOf } from '../weights/architecture.js';
import type { BaseModel, LayerType, ModelConfig } from '../weights/base-model.js';
import { layerFrequencies } from '../weights/rope.js';
import type { FrozenWeight } from './frozen-weight.js';
import { product, timesConstant } from './product.js';

/** The constants of one block. */
export interface BlockWeights {
  readonly linear: Readonly<Record<LinearName, FrozenWeight>>;
  /** [out], where the model has one. */
  readonly bias: Partial<Record<LinearName, tf.Tensor1D>>;
  readonly attentionNorm: tf.Tensor1D; // [D]
  readonly mlpNorm: tf.Tensor1D; // [D]
  /** Gemma normalizes what attention and the feed-forward layer add: [D]. */
  readonly attendedNorm: tf.Tensor1D | undefined;
  readonly gatedNorm: tf.Tensor1D | undefined;
  /** Qwen3 and Gemma 3 normalize each head's query and key: [dh]. */
  readonly queryNorm: tf.Tensor1D | undefined;
  readonly keyNorm: tf.Tensor1D | undefined;
}

/** A LoRA factor of a linear layer: a constant in this computation, or a variable of it. */
export interface Factor {
  readonly value: tf.Tensor2D;
  readonly isTrained: boolean;
}

/** A [r, in] and B [out, r], and R [r, r] of an adapter that has it, of the adapted layers of one block. */
export type BlockFactors = Partial<Record<LinearName, LayerFactors>>;

export interface LayerFactors {
  readonly A: Factor;
  readonly B: Factor;
  readonly R?: Factor;
  /** With dropout, what the input of A is multiplied by: [b * T, in]. */
  readonly inputFactors?: tf.Tensor2D;
}

/** What attention needs to know of positions: the same for all examples and for all blocks of a type. */
export interface Positions {
  readonly length: number;
  readonly cos: tf.Tensor2D; // [T, dh]
  readonly sin: tf.Tensor2D; // [T, dh]
  /** [dh, dh] turns every pair by 90 degrees. */
  readonly quarterTurn: tf.Tensor2D;
  /** [T, T] 0 where row sees column, hugely negative elsewhere. */
  readonly mask: tf.Tensor2D;
}

/** Added to the score of a token that is not seen. exp of it is 0, and unlike infinity it makes no NaN. */
const UNSEEN = -1e30;

/** Positions for each block: those of one type share theirs. */
export function positionsByBlock(config: ModelConfig, length: number): Positions[] {
  const byType = new Map<LayerType, Positions>();
  return Array.from({ length: config.num_hidden_layers }, (_, block) => {
    const type = layerTypeOf(config, block);
    const positions = byType.get(type) ?? positionsOf(config, length, type);
    byType.set(type, positions);
    return positions;
  });
}

/** Angles and mask for T tokens, computed in f64 and rounded once. */
function positionsOf(config: ModelConfig, length: number, type: LayerType): Positions {
  const { head_dim } = config;
  const frequencies = layerFrequencies(config, type);
  const window = windowOf(config, type);
  const cos = new Float32Array(length * head_dim);
  const sin = new Float32Array(length * head_dim);
  const mask = new Float32Array(length * length).fill(UNSEEN);
  const quarterTurn = new Float32Array(head_dim * head_dim);
  for (let i = 0, half = head_dim / 2; i < half; i++) {
    quarterTurn[i * head_dim + half + i] = -1;
    quarterTurn[(half + i) * head_dim + i] = 1;
  }
  for (let position = 0; position < length; position++) {
    for (let i = 0; i < head_dim; i++) {
      const angle = position * frequencies[i % (head_dim / 2)];
      cos[position * head_dim + i] = Math.cos(angle);
      sin[position * head_dim + i] = Math.sin(angle);
    }
    const row = position * length;
    mask.fill(0, row + Math.max(0, position + 1 - window), row + position + 1);
  }
  return {
    length,
    cos: tf.tensor2d(cos, [length, head_dim]),
    sin: tf.tensor2d(sin, [length, head_dim]),
    quarterTurn: tf.tensor2d(quarterTurn, [head_dim, head_dim]),
    mask: tf.tensor2d(mask, [length, length]),
  };
}

/** How what has been read is put on a device. */
export interface Upload {
  /** A linear layer's weight, by its name in the base model. */
  linear(name: string, shape: readonly [number, number]): Promise<FrozenWeight>;
  vector(values: Float32Array): tf.Tensor1D;
}

/** Reads one block of the base model. */
export async function loadBlock(base: BaseModel, block: number, upload: Upload): Promise<BlockWeights> {
  const { config } = base;
  const prefix = `model.layers.${block}`;
  const { norms, normalizesHeads, biased } = architectureOf(config);
  const norm = async (name: string, size: number): Promise<tf.Tensor1D> =>
    upload.vector(normWeight(config, await base.tensor(`${prefix}.${name}.weight`, [size])));
  const optional = async (name: string | undefined): Promise<tf.Tensor1D | undefined> =>
    name === undefined ? undefined : norm(name, config.hidden_size);
  const headNorm = async (name: string): Promise<tf.Tensor1D | undefined> =>
    normalizesHeads ? norm(`self_attn.${name}`, config.head_dim) : undefined;

  const linear: Partial<Record<LinearName, FrozenWeight>> = {};
  const bias: Partial<Record<LinearName, tf.Tensor1D>> = {};
  for (const [name, parent] of linearLayers) {
    const shape = linearShape(config, name);
    linear[name] = await upload.linear(`${prefix}.${parent}.${name}.weight`, shape);
    if (biased.includes(name))
      bias[name] = upload.vector(await base.tensor(`${prefix}.${parent}.${name}.bias`, [shape[0]]));
  }
  return {
    linear: linear as Record<LinearName, FrozenWeight>, // Safe: the loop has been through all names.
    bias,
    attentionNorm: await norm(norms.beforeAttention, config.hidden_size),
    attendedNorm: await optional(norms.afterAttention),
    mlpNorm: await norm(norms.beforeMlp, config.hidden_size),
    gatedNorm: await optional(norms.afterMlp),
    queryNorm: await headNorm('q_norm'),
    keyNorm: await headNorm('k_norm'),
  };
}

/**
 * One transformer block.
 *
 * Shapes     x [b * T, D] -> [b * T, D]
 */
export function blockForward(
  x: tf.Tensor2D,
  weights: BlockWeights,
  factors: BlockFactors,
  positions: Positions,
  config: ModelConfig,
  loraScaling: number,
): tf.Tensor2D {
  const linear = (input: tf.Tensor2D, name: LinearName): tf.Tensor2D =>
    linearForward(input, name, weights, factors, loraScaling);
  const epsilon = config.rms_norm_eps;

  const normed = rmsNorm<tf.Tensor2D>(x, weights.attentionNorm, epsilon); // [b * T, D]
  const query = headsOf(linear(normed, 'q_proj'), config.num_attention_heads, positions.length); // [b * H, T, dh]
  const key = headsOf(linear(normed, 'k_proj'), config.num_key_value_heads, positions.length); // [b * K, T, dh]
  const value = headsOf(linear(normed, 'v_proj'), config.num_key_value_heads, positions.length); // [b * K, T, dh]
  const turnedQuery = rotate(normedBy(query, weights.queryNorm, epsilon), positions);
  const turnedKey = rotate(normedBy(key, weights.keyNorm, epsilon), positions);
  const attended = attention(turnedQuery, turnedKey, value, positions, config); // [b * H, T, dh]
  const output = linear(rowsOf(attended, config.num_attention_heads), 'o_proj'); // [b * T, D]
  const afterAttention: tf.Tensor2D = tf.add(x, normedBy(output, weights.attendedNorm, epsilon)); // [b * T, D]

  const input = rmsNorm<tf.Tensor2D>(afterAttention, weights.mlpNorm, epsilon); // [b * T, D]
  const gate = activated(linear(input, 'gate_proj'), config); // [b * T, intermediate]
  const down = linear(tf.mul(gate, linear(input, 'up_proj')), 'down_proj'); // [b * T, D]
  return tf.add(afterAttention, normedBy(down, weights.gatedNorm, epsilon)); // [b * T, D]
}

/** silu, or gelu as its approximation by tanh. */
function activated(x: tf.Tensor2D, config: ModelConfig): tf.Tensor2D {
  if (architectureOf(config).activation === 'silu') return tf.mul(x, tf.sigmoid(x));
  const cubed = tf.mul(tf.square(x), tf.mul(x, 0.044715));
  const tanh = tf.tanh(tf.mul(tf.add(x, cubed), Math.sqrt(2 / Math.PI)));
  return tf.mul(tf.mul(x, 0.5), tf.add(tanh, 1));
}

/** W x + bias + scaling * B A x, or scaling * B R A x: [b * T, in] -> [b * T, out]. */
function linearForward(
  x: tf.Tensor2D,
  name: LinearName,
  weights: BlockWeights,
  factors: BlockFactors,
  loraScaling: number,
): tf.Tensor2D {
  let y = timesConstant(x, () => weights.linear[name].unpack()); // [b * T, out] = [b * T, in] x [out, in]^T
  const bias = weights.bias[name];
  if (bias !== undefined) y = tf.add(y, bias);
  const lora = factors[name];
  if (lora === undefined) return y;
  const input: tf.Tensor2D = lora.inputFactors === undefined ? x : tf.mul(x, lora.inputFactors);
  let inner = timesFactor(input, lora.A); // [b * T, r] = [b * T, in] x [r, in]^T
  if (lora.R !== undefined) inner = timesFactor(inner, lora.R); // [b * T, r] = [b * T, r] x [r, r]^T
  return tf.add(y, tf.mul(timesFactor(inner, lora.B), loraScaling)); // [b * T, out] = [b * T, r] x [out, r]^T
}

function timesFactor(x: tf.Tensor2D, factor: Factor): tf.Tensor2D {
  return factor.isTrained ? product(x, factor.value, true) : timesConstant(x, () => tf.clone(factor.value));
}

/** x / sqrt(mean(x^2) + epsilon) * weight over the last axis. */
export function rmsNorm<T extends tf.Tensor>(x: T, weight: tf.Tensor1D, epsilon: number): T {
  const meanSquare = tf.mean(tf.square(x), -1, true); // [..., 1]
  return tf.mul(tf.mul(x, tf.rsqrt(tf.add(meanSquare, epsilon))), weight);
}

/** Normalized, where the model has a norm there. */
function normedBy<T extends tf.Tensor>(x: T, weight: tf.Tensor1D | undefined, epsilon: number): T {
  return weight === undefined ? x : rmsNorm(x, weight, epsilon);
}

/** cap tanh(x / cap), or x where there is no cap. */
export function softCapped<T extends tf.Tensor>(x: T, cap: number | undefined): T {
  return cap === undefined ? x : tf.mul(tf.tanh(tf.div(x, cap)), cap);
}

/** [b * T, heads * dh] -> [b * heads, T, dh]. */
function headsOf(rows: tf.Tensor2D, heads: number, length: number): tf.Tensor3D {
  const headDim = rows.shape[1] / heads;
  const split = tf.reshape(rows, [-1, length, heads, headDim]);
  return tf.reshape(tf.transpose(split, [0, 2, 1, 3]), [-1, length, headDim]);
}

/** [b * heads, T, dh] -> [b * T, heads * dh]. */
function rowsOf(states: tf.Tensor3D, heads: number): tf.Tensor2D {
  const [, length, headDim] = states.shape;
  const split = tf.reshape(states, [-1, heads, length, headDim]);
  return tf.reshape(tf.transpose(split, [0, 2, 1, 3]), [-1, heads * headDim]);
}

/**
 * Turns each pair (i, i + dh / 2) by its angle: Hugging Face's half-split order, not the interleaved one of the paper.
 *
 * The other half of each pair, with its sign, comes from a product with a matrix of 0 and 1, which is exact; slicing is slow on
 * `wasm`, where each slice copies its whole source.
 */
function rotate(states: tf.Tensor3D, positions: Positions): tf.Tensor3D {
  const rows: tf.Tensor2D = tf.reshape(states, [-1, states.shape[2]]);
  const turned = timesConstant(rows, () => tf.clone(positions.quarterTurn)); // (x, y) -> (-y, x)
  const sine = tf.mul(tf.reshape(turned, states.shape), positions.sin);
  return tf.add(tf.mul(states, positions.cos), sine); // [b * heads, T, dh] * [T, dh]
}

/**
 * Causal attention. Head h reads key-value head floor(h / G), so that the G heads of one key lie side by side in rows.
 *
 * Shapes     query [b * H, T, dh], key and value [b * K, T, dh] -> [b * H, T, dh]
 * Edge cases padding is on the right, hence later than every real token, and needs no mask of its own
 */
function attention(
  query: tf.Tensor3D,
  key: tf.Tensor3D,
  value: tf.Tensor3D,
  positions: Positions,
  config: ModelConfig,
): tf.Tensor3D {
  const [heads, length, headDim] = query.shape;
  const keyHeads = key.shape[0];
  const grouped = tf.reshape<tf.Rank.R3>(tf.mul(query, scoreScaling(config)), [keyHeads, -1, headDim]); // [b * K, G * T, dh]
  const scores = tf.reshape<tf.Rank.R3>(product(grouped, key, true), [heads, length, length]); // [b * H, T, T]
  const weights = tf.softmax(tf.add(softCapped(scores, config.attn_logit_softcapping), positions.mask)); // [b * H, T, T]
  const mixed = product(tf.reshape<tf.Rank.R3>(weights, [keyHeads, -1, length]), value); // [b * K, G * T, dh]
  return tf.reshape(mixed, [heads, length, headDim]);
}
