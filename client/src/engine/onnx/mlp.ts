/**
 * The gated feed-forward layer: y = down(silu(gate(h)) * up(h)).
 *
 * Source     Shazeer 2020, arXiv:2002.05202 (SwiGLU).
 */

import type { Value } from './graph.js';
import { linearBackward, linearForward, type LinearCache } from './linear.js';
import type { Rows } from './rows.js';
import type { GradientMap, GraphContext } from './spec.js';

export interface MlpCache {
  readonly inner: LinearCache;
  readonly outer: LinearCache;
  /** sigmoid(gate), silu(gate), up: [R, F] each */
  readonly sigmoid: Value;
  readonly silu: Value;
  readonly up: Value;
}

/** Shapes     h [R, D], residual [R, D] -> residual + mlp(h) [R, D] */
export function mlpForward(
  context: GraphContext,
  prefix: string,
  h: Value,
  residual: Value,
): { readonly y: Value; readonly cache: MlpCache } {
  const { graph } = context;
  const inner = linearForward(context, prefix, ['gate_proj', 'up_proj'], h);
  const [gate, up] = inner.y as [Value, Value]; // Safe: one value for each name.
  const sigmoid = graph.op('Sigmoid', [gate]); // [R, F]
  const silu = graph.multiply(gate, sigmoid);
  const outer = linearForward(context, prefix, ['down_proj'], graph.multiply(silu, up), residual);
  return { y: outer.y[0], cache: { inner: inner.cache, outer: outer.cache, sigmoid, silu, up } };
}

/**
 * Shapes     dy [R, D] -> dh [R, D]
 *
 * silu(x) = x g with g = sigmoid(x), so silu'(x) = g + x g (1 - g) = g + silu(x) - silu(x) g.
 */
export function mlpBackward(
  context: GraphContext,
  cache: MlpCache,
  dy: Value,
  rows: Rows,
  gradients: GradientMap,
): Value {
  const { graph } = context;
  const { sigmoid, silu, up } = cache;
  const dProduct = linearBackward(context, cache.outer, [dy], rows, gradients); // [R, F]
  const dUp = graph.multiply(dProduct, silu);
  const slope = graph.subtract(graph.add(sigmoid, silu), graph.multiply(silu, sigmoid));
  const dGate = graph.multiply(graph.multiply(dProduct, up), slope);
  return linearBackward(context, cache.inner, [dGate, dUp], rows, gradients);
}
