/**
 * The blocks of Llama, Mistral, Qwen2 and Qwen3 in TensorFlow.js operations, differentiated by TensorFlow.js.
 *
 * Source     transformers `modeling_llama.py`, `modeling_qwen2.py`, `modeling_qwen3.py`; PEFT `LoraLayer` for the adapter.
 * Written independently of `onnx/`, whose backward pass is derived by hand, so that each checks the other.
 * Legend     b = examples in this computation, T = tokens of each, D = hidden_size, dh = head_dim, H = attention heads,
 *            K = key-value heads, G = H / K, r = LoRA rank. Rows of all examples lie one below the other: [b * T, D].
 */

import { linearLayers, linearShape, type LinearName } from '@fedlora/shared';
import * as tf from '@tensorflow/tfjs';
import type { BaseModel, ModelConfig } from '../weights/base-model.js';
import { ropeFrequencies } from '../weights/rope.js';
import type { FrozenWeight } from './frozen-weight.js';
import { product, timesConstant } from './product.js';

/** The constants of one block. */
export interface BlockWeights {
  readonly linear: Readonly<Record<LinearName, FrozenWeight>>;
  /** [out], where the model has one. */
  readonly bias: Partial<Record<LinearName, tf.Tensor1D>>;
  readonly attentionNorm: tf.Tensor1D; // [D]
  readonly mlpNorm: tf.Tensor1D; // [D]
  /** Qwen3 normalizes each head's query and key: [dh]. */
  readonly queryNorm: tf.Tensor1D | undefined;
  readonly keyNorm: tf.Tensor1D | undefined;
}

/** A LoRA factor of a linear layer: a constant in this computation, or a variable of it. */
export interface Factor {
  readonly value: tf.Tensor2D;
  readonly isTrained: boolean;
}

/** A [r, in] and B [out, r] of the adapted layers of one block. */
export type BlockFactors = Partial<Record<LinearName, LayerFactors>>;

export interface LayerFactors {
  readonly A: Factor;
  readonly B: Factor;
  /** With dropout, what the input of A is multiplied by: [b * T, in]. */
  readonly inputFactors?: tf.Tensor2D;
}

/** What attention needs to know of positions: the same for all blocks and examples. */
export interface Positions {
  readonly length: number;
  readonly cos: tf.Tensor2D; // [T, dh]
  readonly sin: tf.Tensor2D; // [T, dh]
  /** [dh, dh] turns every pair by 90 degrees. */
  readonly quarterTurn: tf.Tensor2D;
  /** [T, T] 0 at and below the diagonal, hugely negative above. */
  readonly causal: tf.Tensor2D;
}

/** Added to the score of a later token. exp of it is 0, and unlike infinity it makes no NaN. */
const LATER = -1e30;

/** Angles and causal mask for T tokens, computed in f64 and rounded once. */
export function positionsOf(config: ModelConfig, length: number): Positions {
  const { head_dim } = config;
  const frequencies = ropeFrequencies(config);
  const cos = new Float32Array(length * head_dim);
  const sin = new Float32Array(length * head_dim);
  const causal = new Float32Array(length * length);
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
    causal.fill(LATER, position * length + position + 1, (position + 1) * length);
  }
  return {
    length,
    cos: tf.tensor2d(cos, [length, head_dim]),
    sin: tf.tensor2d(sin, [length, head_dim]),
    quarterTurn: tf.tensor2d(quarterTurn, [head_dim, head_dim]),
    causal: tf.tensor2d(causal, [length, length]),
  };
}

/** How what has been read is put on a device. */
export interface Upload {
  linear(values: Float32Array, shape: readonly [number, number]): FrozenWeight;
  vector(values: Float32Array): tf.Tensor1D;
}

/** Reads one block of the base model. */
export async function loadBlock(base: BaseModel, block: number, upload: Upload): Promise<BlockWeights> {
  const { config } = base;
  const prefix = `model.layers.${block}`;
  const vector = async (name: string, size: number): Promise<tf.Tensor1D> =>
    upload.vector(await base.tensor(name, [size]));
  const optional = async (name: string, size: number): Promise<tf.Tensor1D | undefined> =>
    base.has(name) ? vector(name, size) : undefined;

  const linear: Partial<Record<LinearName, FrozenWeight>> = {};
  const bias: Partial<Record<LinearName, tf.Tensor1D>> = {};
  for (const [name, parent] of linearLayers) {
    const shape = linearShape(config, name);
    linear[name] = upload.linear(await base.tensor(`${prefix}.${parent}.${name}.weight`, shape), shape);
    const ofLayer = await optional(`${prefix}.${parent}.${name}.bias`, shape[0]);
    if (ofLayer !== undefined) bias[name] = ofLayer;
  }
  return {
    linear: linear as Record<LinearName, FrozenWeight>, // Safe: the loop has been through all names.
    bias,
    attentionNorm: await vector(`${prefix}.input_layernorm.weight`, config.hidden_size),
    mlpNorm: await vector(`${prefix}.post_attention_layernorm.weight`, config.hidden_size),
    queryNorm: await optional(`${prefix}.self_attn.q_norm.weight`, config.head_dim),
    keyNorm: await optional(`${prefix}.self_attn.k_norm.weight`, config.head_dim),
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
  const turnedQuery = rotate(
    weights.queryNorm === undefined ? query : rmsNorm(query, weights.queryNorm, epsilon),
    positions,
  );
  const turnedKey = rotate(weights.keyNorm === undefined ? key : rmsNorm(key, weights.keyNorm, epsilon), positions);
  const attended = attention(turnedQuery, turnedKey, value, positions); // [b * H, T, dh]
  const afterAttention: tf.Tensor2D = tf.add(x, linear(rowsOf(attended, config.num_attention_heads), 'o_proj')); // [b * T, D]

  const input = rmsNorm<tf.Tensor2D>(afterAttention, weights.mlpNorm, epsilon); // [b * T, D]
  const gate = linear(input, 'gate_proj'); // [b * T, intermediate]
  const gated: tf.Tensor2D = tf.mul(tf.mul(gate, tf.sigmoid(gate)), linear(input, 'up_proj')); // SwiGLU
  return tf.add(afterAttention, linear(gated, 'down_proj')); // [b * T, D]
}

/** W x + bias + scaling * B A x: [b * T, in] -> [b * T, out]. */
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
  const inner = timesFactor(input, lora.A); // [b * T, r] = [b * T, in] x [r, in]^T
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
function attention(query: tf.Tensor3D, key: tf.Tensor3D, value: tf.Tensor3D, positions: Positions): tf.Tensor3D {
  const [heads, length, headDim] = query.shape;
  const keyHeads = key.shape[0];
  const grouped = tf.reshape<tf.Rank.R3>(tf.mul(query, 1 / Math.sqrt(headDim)), [keyHeads, -1, headDim]); // [b * K, G * T, dh]
  const scores = tf.reshape(product(grouped, key, true), [heads, length, length]); // [b * H, T, T]
  const weights = tf.softmax(tf.add(scores, positions.causal)); // [b * H, T, T]
  const mixed = product(tf.reshape<tf.Rank.R3>(weights, [keyHeads, -1, length]), value); // [b * K, G * T, dh]
  return tf.reshape(mixed, [heads, length, headDim]);
}
