/**
 * The head: final norm, logits, cross-entropy. It sees label positions only.
 *
 * The loss of an example is the mean over its answer tokens, in nats: `weights` holds 1 / (its answer tokens), and 0 for padding.
 */

import type { Value } from './graph.js';
import { normBackward, normForward, type NormCache } from './norm.js';
import type { Rows } from './rows.js';
import type { GraphContext } from './spec.js';

export interface HeadCache {
  readonly norm: NormCache;
  /** exp(logits - largest) [B L, V] and its sums [B L, 1] */
  readonly exponentials: Value;
  readonly total: Value;
  /** The label's row of the head [B L, D]. */
  readonly labelRows: Value;
}

/** Shapes     x [B L, D] -> logits [B L, V] */
export function headLogits(
  context: GraphContext,
  x: Value,
): { logits: Value; h: Value; norm: NormCache; weight: Value } {
  const { graph, spec } = context;
  const { vocab_size: V, hidden_size: D } = spec.config;
  const weight = graph.input('head', 'float32', [V, D]);
  const { y: h, cache: norm } = normForward(context, x, graph.input('norm', 'float32', [D]));
  return { logits: graph.gemm(h, weight, undefined, { transB: true }), h, norm, weight };
}

/**
 * Shapes     x [B L, D], labels [B L] i32, weights [B, L] -> losses [B], logits [B L, V]
 *
 * loss at a position = log(sum(exp(logits))) - logits[label], and logits[label] = h . E[label], which needs no one-hot.
 */
export function headForward(
  context: GraphContext,
  x: Value,
  labels: Value,
  weights: Value,
  rows: Rows,
): { readonly losses: Value; readonly logits: Value; readonly cache: HeadCache } {
  const { graph } = context;
  const { logits, h, norm, weight } = headLogits(context, x);
  const labelRows = graph.op('Gather', [weight, labels], { axis: 0 }); // [B L, D]
  const labelLogits = graph.sum(graph.multiply(h, labelRows), -1, true); // [B L, 1]
  const largest = graph.op('ReduceMax', [logits], { axes: [-1], keepdims: 1 });
  const exponentials = graph.op('Exp', [graph.subtract(logits, largest)]); // [B L, V]
  const total = graph.sum(exponentials, -1, true); // [B L, 1]
  const logTotal = graph.add(largest, graph.op('Log', [total]));
  const each = rows.apart(graph.subtract(logTotal, labelLogits), []); // [B, L]
  const losses = graph.sum(graph.multiply(each, weights), -1); // [B]
  return { losses, logits, cache: { norm, exponentials, total, labelRows } };
}

/**
 * Shapes     -> dx [B L, D]
 *
 * dLogits = weight (softmax - onehot), so dh = weight (softmax E - E[label]): again no one-hot.
 */
export function headBackward(context: GraphContext, cache: HeadCache, weights: Value): Value {
  const { graph, spec } = context;
  const { vocab_size: V, hidden_size: D } = spec.config;
  const expected = graph.op('Div', [
    graph.matmul(cache.exponentials, graph.input('head', 'float32', [V, D])),
    cache.total,
  ]); // [B L, D]
  const dh = graph.multiply(graph.subtract(expected, cache.labelRows), graph.reshape(weights, [-1, 1]));
  return normBackward(context, cache.norm, dh);
}
