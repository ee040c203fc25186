/**
 * The head: final norm, logits, cross-entropy. It sees label positions only.
 *
 * Gemma 2 caps logits: c tanh(logit / c). The largest stays the largest.
 * The loss of an example is the mean over its answer tokens, in nats: `weights` holds 1 / (its answer tokens), and 0 for padding.
 * The vocabulary may be taken in parts, so that memory holds the logits of one part only: what the loss and its gradient need of
 * the logits are sums, which are carried from part to part relative to the largest logit so far.
 * Source     the running softmax of Milakov and Gimelshein 2018, arXiv:1805.02867.
 */

import { tanhSlope } from './activation.js';
import type { Value } from './graph.js';
import { normBackward, normForward, type NormCache } from './norm.js';
import type { Rows } from './rows.js';
import type { GraphContext } from './spec.js';

/** Which tokens a part of the vocabulary is: [begin, end). */
export interface HeadPart {
  /** The input that holds the head's rows of these tokens. */
  readonly name: string;
  readonly begin: number;
  readonly end: number;
}

/** What is known of the logits after some parts of the vocabulary. */
export interface HeadSums {
  /** The largest logit [R, 1]. */
  readonly largest: Value;
  /** Its first token [R, 1] i64. */
  readonly best: Value;
  /** Sum of exp(logits - largest) [R, 1]. */
  readonly total: Value;
  /** Sum of exp(logits - largest) E [R, D], times the slope of the cap at each logit. */
  readonly expected: Value;
}

export interface HeadCache {
  readonly norm: NormCache;
  /** What the logits are made of [R, D]. */
  readonly h: Value;
  readonly sums: HeadSums;
  /** The label's row of the head [R, D]. */
  readonly labelRows: Value;
}

/** Parts of almost equal size. A single one is the input `head` itself. */
export function headParts(vocabularySize: number, count: number): readonly HeadPart[] {
  if (count === 1) return [{ name: 'head', begin: 0, end: vocabularySize }];
  const beginOf = (part: number): number => Math.floor((part * vocabularySize) / count);
  return Array.from({ length: count }, (_, part) => ({
    name: `head.${part}of${count}`,
    begin: beginOf(part),
    end: beginOf(part + 1),
  }));
}

/** Final norm: x [R, D] -> h [R, D] */
export function headNorm(context: GraphContext, x: Value): { readonly y: Value; readonly cache: NormCache } {
  return normForward(context, x, context.graph.input('norm', 'float32', [context.spec.config.hidden_size]));
}

/** Shapes     x [R, D] -> logits [R, V] */
export function headLogits(context: GraphContext, x: Value): Value {
  const { vocab_size: V, hidden_size: D } = context.spec.config;
  const weight = context.graph.input('head', 'float32', [V, D]);
  return logitsOf(context, headNorm(context, x).y, weight).logits;
}

/** Shapes     h [R, D], rows of the head [n, D] -> logits [R, n], and tanh(logit / cap) where logits are capped */
export function logitsOf(context: GraphContext, h: Value, weight: Value): Capped {
  const alpha = 1 / (context.spec.config.final_logit_softcapping ?? 1);
  return capped(context, context.graph.gemm(h, weight, undefined, { transB: true, alpha }));
}

export interface Capped {
  readonly logits: Value;
  /** tanh(logit / cap); absent where logits are not capped. */
  readonly tanh?: Value;
}

/** cap tanh(x) for logits that have been divided by the cap; without one, the logits themselves. */
function capped(context: GraphContext, x: Value): Capped {
  const { graph, spec } = context;
  const cap = spec.config.final_logit_softcapping;
  if (cap === undefined) return { logits: x };
  const tanh = graph.op('Tanh', [x]);
  return { logits: graph.multiply(tanh, graph.scalar(cap)), tanh };
}

/** Shapes     h, labelRows [R, D] -> the labels' logits [R, 1], which need no one-hot */
function labelLogits(context: GraphContext, h: Value, labelRows: Value): Capped {
  const { graph, spec } = context;
  const products = graph.sum(graph.multiply(h, labelRows), -1, true);
  const cap = spec.config.final_logit_softcapping;
  return capped(context, cap === undefined ? products : graph.multiply(products, graph.scalar(1 / cap)));
}

/** Values of a row times the slope of its cap. */
function timesSlope(context: GraphContext, values: Value, tanh: Value | undefined): Value {
  return tanh === undefined ? values : context.graph.multiply(values, tanhSlope(context, tanh));
}

/**
 * Goes on by one part of the vocabulary.
 *
 * Shapes     h [R, D], weight [n, D], begin [1] i64 (the part's first token) -> sums
 * Guarantee  of equal logits the first token is best, as ArgMax has it.
 */
export function addHeadPart(
  context: GraphContext,
  h: Value,
  weight: Value,
  begin: Value,
  before: HeadSums | undefined,
): HeadSums {
  const { graph } = context;
  const { logits, tanh } = logitsOf(context, h, weight); // [R, n]
  const largestHere = graph.op('ReduceMax', [logits], { axes: [-1], keepdims: 1 });
  const bestHere = graph.add(graph.op('ArgMax', [logits], { axis: -1, keepdims: 1 }), begin);
  const largest = before === undefined ? largestHere : graph.op('Max', [before.largest, largestHere]);
  const exponentials = graph.op('Exp', [graph.subtract(logits, largest)]); // [R, n]
  const totalHere = graph.sum(exponentials, -1, true);
  const expectedHere = graph.matmul(timesSlope(context, exponentials, tanh), weight); // [R, D] = [R, n] x [n, D]
  if (before === undefined) return { largest, best: bestHere, total: totalHere, expected: expectedHere };
  const shrink = graph.op('Exp', [graph.subtract(before.largest, largest)]); // [R, 1]
  return {
    largest,
    best: graph.op('Where', [graph.op('Greater', [largestHere, before.largest]), bestHere, before.best]),
    total: graph.add(graph.multiply(before.total, shrink), totalHere),
    expected: graph.add(graph.multiply(before.expected, shrink), expectedHere),
  };
}

/**
 * Shapes     x [R, D], labels [R] i32, weights [B, L] -> losses [B]
 */
export function headForward(
  context: GraphContext,
  x: Value,
  labels: Value,
  weights: Value,
  rows: Rows,
  parts: readonly HeadPart[],
): { readonly losses: Value; readonly cache: HeadCache } {
  const { graph, spec } = context;
  const { vocab_size: V, hidden_size: D } = spec.config;
  const { y: h, cache: norm } = headNorm(context, x);
  const labelRows = graph.op('Gather', [graph.input('head', 'float32', [V, D]), labels], { axis: 0 }); // [R, D]
  let sums: HeadSums | undefined;
  for (const { name, begin, end } of parts) {
    const weight = graph.input(name, 'float32', [end - begin, D]);
    sums = addHeadPart(context, h, weight, graph.integers([begin]), sums);
  }
  const cache = { norm, h, sums: sums!, labelRows }; // Safe: there is at least one part.
  return { losses: headLosses(context, cache, weights, rows), cache };
}

/**
 * Shapes     h [R, D], weights [B, L] -> losses [B]
 *
 * loss at a position = log(sum(exp(logits))) - logits[label], and logits[label] = h . E[label], which needs no one-hot.
 */
export function headLosses(
  context: GraphContext,
  { h, sums, labelRows }: Omit<HeadCache, 'norm'>,
  weights: Value,
  rows: Rows,
): Value {
  const { graph } = context;
  const { logits: label } = labelLogits(context, h, labelRows); // [R, 1]
  const logTotal = graph.add(sums.largest, graph.op('Log', [sums.total]));
  const each = rows.apart(graph.subtract(logTotal, label), []); // [B, L]
  return graph.sum(graph.multiply(each, weights), -1); // [B]
}

/**
 * Shapes     -> dx [R, D]
 *
 * dLogits = weight (softmax - onehot), so dh = weight (softmax E - E[label]): again no one-hot.
 * With a cap, dLogits is multiplied by its slope at each logit.
 */
export function headBackward(context: GraphContext, { norm, h, sums, labelRows }: HeadCache, weights: Value): Value {
  const { graph } = context;
  const expected = graph.op('Div', [sums.expected, sums.total]); // [R, D]
  const label = timesSlope(context, labelRows, labelLogits(context, h, labelRows).tanh);
  const dh = graph.multiply(graph.subtract(expected, label), graph.reshape(weights, [-1, 1]));
  return normBackward(context, norm, dh);
}
