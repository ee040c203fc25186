/**
 * The head: final norm, logits, cross-entropy. It sees label positions only.
 *
 * Gemma 2 caps logits: c tanh(logit / c). The largest stays the largest.
 * The loss of an example is the mean over its answer tokens, in nats: `weights` holds 1 / (its answer tokens), and 0 for padding.
 */

import { tanhSlope } from './activation.js';
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
  /** The slopes of the cap at all logits [B L, V] and at the labels' [B L, 1]; absent where logits are not capped. */
  readonly slopes?: { readonly all: Value; readonly label: Value };
}

/** Logits, and what they are computed from. */
interface Logits {
  readonly logits: Value;
  /** tanh(logit / cap); absent where logits are not capped. */
  readonly tanh?: Value;
  readonly h: Value;
  readonly norm: NormCache;
  readonly weight: Value;
}

/** Shapes     x [B L, D] -> logits [B L, V] */
export function headLogits(context: GraphContext, x: Value): Logits {
  const { graph, spec } = context;
  const { vocab_size: V, hidden_size: D } = spec.config;
  const weight = graph.input('head', 'float32', [V, D]);
  const { y: h, cache: norm } = normForward(context, x, graph.input('norm', 'float32', [D]));
  const alpha = 1 / (spec.config.final_logit_softcapping ?? 1);
  return { ...capped(context, graph.gemm(h, weight, undefined, { transB: true, alpha })), h, norm, weight };
}

/** cap tanh(x) for logits that have been divided by the cap; without one, the logits themselves. */
function capped(context: GraphContext, x: Value): { readonly logits: Value; readonly tanh?: Value } {
  const { graph, spec } = context;
  const cap = spec.config.final_logit_softcapping;
  if (cap === undefined) return { logits: x };
  const tanh = graph.op('Tanh', [x]);
  return { logits: graph.multiply(tanh, graph.scalar(cap)), tanh };
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
  const { logits, tanh, h, norm, weight } = headLogits(context, x);
  const labelRows = graph.op('Gather', [weight, labels], { axis: 0 }); // [B L, D]
  const products = graph.sum(graph.multiply(h, labelRows), -1, true); // [B L, 1]
  const cap = context.spec.config.final_logit_softcapping;
  const label = capped(context, cap === undefined ? products : graph.multiply(products, graph.scalar(1 / cap)));
  const largest = graph.op('ReduceMax', [logits], { axes: [-1], keepdims: 1 });
  const exponentials = graph.op('Exp', [graph.subtract(logits, largest)]); // [B L, V]
  const total = graph.sum(exponentials, -1, true); // [B L, 1]
  const logTotal = graph.add(largest, graph.op('Log', [total]));
  const each = rows.apart(graph.subtract(logTotal, label.logits), []); // [B, L]
  const losses = graph.sum(graph.multiply(each, weights), -1); // [B]
  if (tanh === undefined || label.tanh === undefined)
    return { losses, logits, cache: { norm, exponentials, total, labelRows } };
  const slopes = { all: tanhSlope(context, tanh), label: tanhSlope(context, label.tanh) };
  return { losses, logits, cache: { norm, exponentials, total, labelRows, slopes } };
}

/**
 * Shapes     -> dx [B L, D]
 *
 * dLogits = weight (softmax - onehot), so dh = weight (softmax E - E[label]): again no one-hot.
 * With a cap, dLogits is multiplied by its slope at each logit.
 */
export function headBackward(context: GraphContext, cache: HeadCache, weights: Value): Value {
  const { graph, spec } = context;
  const { vocab_size: V, hidden_size: D } = spec.config;
  const { exponentials, total, labelRows, slopes } = cache;
  const weighted = slopes === undefined ? exponentials : graph.multiply(exponentials, slopes.all);
  const expected = graph.op('Div', [graph.matmul(weighted, graph.input('head', 'float32', [V, D])), total]); // [B L, D]
  const label = slopes === undefined ? labelRows : graph.multiply(labelRows, slopes.label);
  const dh = graph.multiply(graph.subtract(expected, label), graph.reshape(weights, [-1, 1]));
  return normBackward(context, cache.norm, dh);
}
