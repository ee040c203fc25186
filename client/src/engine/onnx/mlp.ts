/**
 * The gated feed-forward layer: y = down(activation(gate(h)) * up(h)).
 *
 * Source     Shazeer 2020, arXiv:2002.05202 (SwiGLU, GEGLU).
 */

import { activationBackward, activationForward, type ActivationCache } from './activation.js';
import type { Value } from './graph.js';
import { linearBackward, linearForward, type LinearCache } from './linear.js';
import type { Rows } from './rows.js';
import type { GradientMap, GraphContext } from './spec.js';

export interface MlpCache {
  readonly inner: LinearCache;
  readonly outer: LinearCache;
  readonly activation: ActivationCache;
  /** activation(gate) and up: [R, F] each */
  readonly activated: Value;
  readonly up: Value;
}

/** Shapes     h [R, D], residual [R, D] -> residual + mlp(h) [R, D], or mlp(h) alone */
export function mlpForward(
  context: GraphContext,
  prefix: string,
  h: Value,
  residual: Value | undefined,
): { readonly y: Value; readonly cache: MlpCache } {
  const { graph } = context;
  const inner = linearForward(context, prefix, ['gate_proj', 'up_proj'], h);
  const [gate, up] = inner.y as [Value, Value]; // Safe: one value for each name.
  const { y: activated, cache: activation } = activationForward(context, gate); // [R, F]
  const outer = linearForward(context, prefix, ['down_proj'], graph.multiply(activated, up), residual);
  return { y: outer.y[0], cache: { inner: inner.cache, outer: outer.cache, activation, activated, up } };
}

/** Shapes     dy [R, D] -> dh [R, D] */
export function mlpBackward(
  context: GraphContext,
  cache: MlpCache,
  dy: Value,
  rows: Rows,
  gradients: GradientMap,
): Value {
  const { graph } = context;
  const { activation, activated, up } = cache;
  const dProduct = linearBackward(context, cache.outer, [dy], rows, gradients); // [R, F]
  const dUp = graph.multiply(dProduct, activated);
  const dGate = activationBackward(context, activation, graph.multiply(dProduct, up));
  return linearBackward(context, cache.inner, [dGate, dUp], rows, gradients);
}
