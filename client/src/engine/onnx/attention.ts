/**
 * Causal self-attention with grouped queries: softmax(cap(q k^T / sqrt(dh)) + mask) v, between its four linear layers.
 *
 * Source     Vaswani et al. 2017; Ainslie et al. 2023, arXiv:2305.13245 (grouped queries); Qwen3 and Gemma 3 add a norm on each head
 *            of q, k; Gemma 2 (arXiv:2408.00118) caps scores: c tanh(score / c).
 * The G heads of a group share k and v: they are laid one below the other as G * S rows of one product.
 * Padding needs no mask of its own: it stands on the right, where no real token looks.
 */

import { architectureOf, scoreScaling } from '../weights/architecture.js';
import { tanhSlope } from './activation.js';
import type { Value } from './graph.js';
import { linearBackward, linearForward, type LinearCache } from './linear.js';
import { normBackward, normForward, type NormCache } from './norm.js';
import { ropeBackward, ropeForward, type Turning } from './rope.js';
import type { Rows } from './rows.js';
import type { GradientMap, GraphContext } from './spec.js';

/** All tokens of a batch: those that give keys and values. */
export interface Tokens {
  /** [B, T] */
  readonly rows: Rows;
  /** Positions count from the first row. */
  readonly turning: Turning;
  /** [T, T] 0 where row may look at column, else very negative; with `past`, [T, C + T]. */
  readonly mask: Value;
  /** Keys and values of the C tokens before these, of the block whose inputs begin with `prefix`; for graphs without backward. */
  readonly past?: (prefix: string) => Past;
}

/** What earlier tokens left behind in one block. */
export interface Past {
  /** [B, K, C, dh], turned by their positions. */
  readonly keys: Value;
  /** [B, K, C, dh] */
  readonly values: Value;
}

/** The label positions alone: in the last block no other token's output is read. */
export interface Focus {
  /** [B, L] */
  readonly rows: Rows;
  /** With the position [B, L] of each row. */
  readonly turning: Turning;
  /** [B, 1, L, T] */
  readonly mask: Value;
  /** [B L] i32 row among all tokens. */
  readonly index: Value;
  /** [B T] i32 where each token stands among the label positions, or B * L if it is none. */
  readonly inverse: Value;
}

/** Rows of label positions: [R, n] -> [B L, n]. */
export function gatherFocus(context: GraphContext, value: Value, focus: Focus): Value {
  return context.graph.op('Gather', [value, focus.index], { axis: 0 });
}

/** The reverse: [B L, n] -> [R, n], zeros elsewhere. A label position that is padding is dropped; its gradient is 0. */
export function scatterFocus(context: GraphContext, value: Value, focus: Focus, width: number): Value {
  const { graph } = context;
  const withZeros = graph.concat([value, graph.filled([1, width])], 0);
  return graph.op('Gather', [withZeros, focus.inverse], { axis: 0 });
}

/** What backward needs to lead a gradient from heads back to a linear layer's output. */
interface HeadsCache {
  readonly count: number;
  readonly rows: Rows;
  readonly norm?: NormCache;
  /** Absent for v, which is not turned. */
  readonly turning?: Turning;
}

export interface AttentionCache {
  /** Layers that read all tokens: q, k and v, or with focus k and v alone. */
  readonly all: LinearCache;
  /** With focus, the layer that reads label positions: q. */
  readonly focused?: LinearCache;
  readonly output: LinearCache;
  readonly heads: readonly [q: HeadsCache, k: HeadsCache, v: HeadsCache];
  /** [B, K, G S, dh] */
  readonly q: Value;
  /** [B, K, T, dh] */
  readonly k: Value;
  readonly v: Value;
  /** [B, K, G S, T] */
  readonly probabilities: Value;
  /** tanh(score / cap) [B, K, G S, T]; absent where scores are not capped. */
  readonly capped?: Value;
  /** [B, K, G S, dh] */
  readonly mixed: Value;
}

/**
 * Shapes     h [R, D] -> residual + attention [R, D], or attention alone; with focus, residual and result are [B L, D]
 */
export function attentionForward(
  context: GraphContext,
  prefix: string,
  h: Value,
  residual: Value | undefined,
  tokens: Tokens,
  focus?: Focus,
): { readonly y: Value; readonly cache: AttentionCache } {
  const { graph, spec } = context;
  const { num_attention_heads: H, num_key_value_heads: K, head_dim: dh, attn_logit_softcapping: cap } = spec.config;
  const asking = focus ?? tokens; // S = T rows of each example ask, or L

  const all = linearForward(
    context,
    prefix,
    focus === undefined ? ['q_proj', 'k_proj', 'v_proj'] : ['k_proj', 'v_proj'],
    h,
  );
  const focused =
    focus === undefined ? undefined : linearForward(context, prefix, ['q_proj'], gatherFocus(context, h, focus));
  const [qRows, kRows, vRows] = [...(focused?.y ?? []), ...all.y] as [Value, Value, Value]; // Safe: [B S, H dh], [R, K dh], [R, K dh].

  const qHeads = headsForward(context, prefix, 'q', qRows, H, asking.rows, asking.turning); // [B, H, S, dh]
  const kHeads = headsForward(context, prefix, 'k', kRows, K, tokens.rows, tokens.turning); // [B, K, T, dh]
  const vHeads = headsForward(context, prefix, 'v', vRows, K, tokens.rows);
  const q = graph.reshape(qHeads.y, [0, K, -1, dh]); // [B, K, G S, dh]
  const k = kHeads.y;
  const v = vHeads.y;
  const past = tokens.past?.(prefix);
  const keys = past === undefined ? k : graph.concat([past.keys, k], 2); // [B, K, C + T, dh]
  const values = past === undefined ? v : graph.concat([past.values, v], 2);

  // [B, K, G S, C + T]
  const products = graph.matmul(q, keys, {
    transB: true,
    alpha: scoreScaling(spec.config) / (cap ?? 1),
    rank: 4,
  });
  const capped = cap === undefined ? undefined : graph.op('Tanh', [products]);
  const scores = cap === undefined || capped === undefined ? products : graph.multiply(capped, graph.scalar(cap));
  const masked = graph.add(graph.reshape(scores, [0, H, -1, 0]), asking.mask); // [B, H, S, C + T]
  const probabilities = graph.reshape(graph.op('Softmax', [masked], { axis: -1 }), [0, K, -1, 0]); // [B, K, G S, C + T]
  const mixed = graph.matmul(probabilities, values); // [B, K, G S, dh]

  const joined = graph.transpose(graph.reshape(mixed, [0, H, -1, dh]), [0, 2, 1, 3]); // [B, S, H, dh]
  const output = linearForward(context, prefix, ['o_proj'], graph.reshape(joined, [-1, H * dh]), residual);
  const heads = [qHeads.cache, kHeads.cache, vHeads.cache] as const;
  const linear = { all: all.cache, focused: focused?.cache, output: output.cache };
  return { y: output.y[0], cache: { ...linear, heads, q, k, v, probabilities, capped, mixed } };
}

/**
 * Shapes     dy [R, D], or with focus [B L, D] -> dh [R, D]
 *
 * With p = softmax(z):  dz = p (dp - sum(p dp)), and sum over keys of p dp = sum over dh of dMixed * mixed, which is shorter.
 * With a cap c, score = c tanh(product / c), so dProduct = dScore (1 - tanh^2).
 */
export function attentionBackward(
  context: GraphContext,
  cache: AttentionCache,
  dy: Value,
  tokens: Tokens,
  focus: Focus | undefined,
  gradients: GradientMap,
): Value {
  const { graph, spec } = context;
  const { num_attention_heads: H, num_key_value_heads: K, head_dim: dh, hidden_size: D } = spec.config;
  const { q, k, v, probabilities, capped, mixed } = cache;
  const alpha = scoreScaling(spec.config);
  const asking = focus ?? tokens;

  const dJoined = linearBackward(context, cache.output, [dy], asking.rows, gradients); // [B S, H dh]
  const dMixedHeads = graph.transpose(asking.rows.apart(dJoined, [H, dh]), [0, 2, 1, 3]); // [B, H, S, dh]
  const dMixed = graph.reshape(dMixedHeads, [0, K, -1, dh]); // [B, K, G S, dh]

  const dV = graph.matmul(probabilities, dMixed, { transA: true, rank: 4 }); // [B, K, T, dh]
  const dProbabilities = graph.matmul(dMixed, v, { transB: true, rank: 4 }); // [B, K, G S, T]
  const mean = graph.sum(graph.multiply(dMixed, mixed), -1, true); // [B, K, G S, 1]
  const dScores = graph.multiply(probabilities, graph.subtract(dProbabilities, mean)); // [B, K, G S, T]
  const dProducts = capped === undefined ? dScores : graph.multiply(dScores, tanhSlope(context, capped));
  const dQ = graph.matmul(dProducts, k, { alpha, rank: 4 }); // [B, K, G S, dh]
  const dK = graph.matmul(dProducts, q, { transA: true, alpha, rank: 4 }); // [B, K, T, dh]

  const dQRows = headsBackward(context, cache.heads[0], graph.reshape(dQ, [0, H, -1, dh])); // [B S, H dh]
  const dKRows = headsBackward(context, cache.heads[1], dK); // [R, K dh]
  const dVRows = headsBackward(context, cache.heads[2], dV);
  if (focus === undefined || cache.focused === undefined) {
    return linearBackward(context, cache.all, [dQRows, dKRows, dVRows], tokens.rows, gradients);
  }
  const dAsking = linearBackward(context, cache.focused, [dQRows], focus.rows, gradients); // [B L, D]
  const dAll = linearBackward(context, cache.all, [dKRows, dVRows], tokens.rows, gradients);
  return graph.add(dAll, scatterFocus(context, dAsking, focus, D));
}

/** Shapes     rows [B S, count * dh] -> [B, count, S, dh], normalized and turned where the model and `turning` say so */
function headsForward(
  context: GraphContext,
  prefix: string,
  name: 'q' | 'k' | 'v',
  value: Value,
  count: number,
  rows: Rows,
  turning?: Turning,
): { readonly y: Value; readonly cache: HeadsCache } {
  const { graph, spec } = context;
  const dh = spec.config.head_dim;
  let y = value;
  let norm: NormCache | undefined;
  if (name !== 'v' && architectureOf(spec.config).normalizesHeads) {
    const weight = graph.input(`${prefix}${name}_norm.weight`, 'float32', [dh]);
    const normalized = normForward(context, graph.reshape(y, [-1, dh]), weight); // [B S count, dh]
    norm = normalized.cache;
    y = normalized.y;
  }
  y = rows.apart(y, [count * dh]); // [B, S, count dh]
  if (turning !== undefined) y = ropeForward(context, y, turning);
  return {
    y: graph.transpose(graph.reshape(y, [0, 0, count, dh]), [0, 2, 1, 3]),
    cache: { count, rows, norm, turning },
  };
}

/** Shapes     dy [B, count, S, dh] -> [B S, count * dh] */
function headsBackward(context: GraphContext, cache: HeadsCache, dy: Value): Value {
  const { graph, spec } = context;
  const { count, norm, turning } = cache;
  const dh = spec.config.head_dim;
  let d = graph.reshape(graph.transpose(dy, [0, 2, 1, 3]), [0, 0, count * dh]); // [B, S, count dh]
  if (turning !== undefined) d = ropeBackward(context, d, turning);
  if (norm !== undefined) d = normBackward(context, norm, graph.reshape(d, [-1, dh]));
  return graph.reshape(d, [-1, count * dh]);
}
