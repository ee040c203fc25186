/**
 * RMS normalization: y = x / rms(x) * w, over the last axis.
 *
 * Source     Zhang and Sennrich 2019, arXiv:1910.07467. Where the device has it, forward is onnxruntime's fused operation, which
 *            also gives 1 / rms; elsewhere it is written out.
 */

import type { Value } from './graph.js';
import type { GraphContext } from './spec.js';

export interface NormCache {
  readonly x: Value;
  readonly weight: Value;
  /** 1 / rms(x) [..., 1] */
  readonly inverse: Value;
}

/** Shapes     x [..., n], weight [n] -> y [..., n] */
export function normForward(
  context: GraphContext,
  x: Value,
  weight: Value,
): { readonly y: Value; readonly cache: NormCache } {
  const { graph, spec } = context;
  const epsilon = spec.config.rms_norm_eps;
  if (spec.profile.hasFusedNorm) {
    const attributes = { axis: -1, epsilon: { float: epsilon }, stash_type: 1 };
    const [y, inverse] = graph.ops('SimplifiedLayerNormalization', [x, weight], attributes, 2) as [Value, Value]; // Safe: two were asked for.
    return { y, cache: { x, weight, inverse } };
  }
  const meanSquare = graph.op('ReduceMean', [graph.multiply(x, x)], { axes: [-1], keepdims: 1 }); // [..., 1]
  const inverse = graph.op('Reciprocal', [graph.op('Sqrt', [graph.add(meanSquare, graph.scalar(epsilon))])]);
  return { y: graph.multiply(graph.multiply(x, inverse), weight), cache: { x, weight, inverse } };
}

/**
 * Shapes     dy [..., n] -> dx [..., n]
 *
 * With t = dy * w and i = 1 / rms:  dx = i t - i^3 mean(t x) x, since d(1/rms)/dx = -i^3 x / n.
 */
export function normBackward(context: GraphContext, cache: NormCache, dy: Value): Value {
  const { graph } = context;
  const { x, weight, inverse } = cache;
  const t = graph.multiply(dy, weight); // [..., n]
  const mean = graph.op('ReduceMean', [graph.multiply(t, x)], { axes: [-1], keepdims: 1 }); // [..., 1]
  const cube = graph.multiply(inverse, graph.multiply(inverse, inverse)); // [..., 1]
  return graph.subtract(graph.multiply(t, inverse), graph.multiply(x, graph.multiply(cube, mean)));
}
