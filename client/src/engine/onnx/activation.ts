/**
 * The function of the gate: silu(x) = x sigmoid(x), or Gemma's gelu(x) = x/2 (1 + tanh(u)), u = sqrt(2 / pi) (x + 0.044715 x^3).
 *
 * Source     Elfwing et al. 2017, arXiv:1702.03118; Hendrycks and Gimpel 2016, arXiv:1606.08415 (the approximation by tanh).
 */

import { architectureOf } from '../weights/architecture.js';
import type { Value } from './graph.js';
import type { GraphContext } from './spec.js';

/** What backward needs of forward: all [R, F]. */
export type ActivationCache =
  | { readonly kind: 'silu'; readonly y: Value; readonly sigmoid: Value }
  | {
      readonly kind: 'gelu';
      readonly x: Value;
      readonly square: Value;
      readonly tanh: Value;
      /** (1 + tanh) / 2 */
      readonly share: Value;
    };

const CUBIC = 0.044715;
const SLOPE = Math.sqrt(2 / Math.PI);

/** Shapes     x [R, F] -> y [R, F] */
export function activationForward(
  context: GraphContext,
  x: Value,
): { readonly y: Value; readonly cache: ActivationCache } {
  const { graph, spec } = context;
  if (architectureOf(spec.config).activation === 'silu') {
    const sigmoid = graph.op('Sigmoid', [x]);
    const y = graph.multiply(x, sigmoid);
    return { y, cache: { kind: 'silu', y, sigmoid } };
  }
  const square = graph.multiply(x, x);
  // u = x (SLOPE + SLOPE CUBIC x^2)
  const u = graph.multiply(x, affine(context, square, SLOPE * CUBIC, SLOPE));
  const tanh = graph.op('Tanh', [u]);
  const share = affine(context, tanh, 0.5, 0.5);
  return { y: graph.multiply(x, share), cache: { kind: 'gelu', x, square, tanh, share } };
}

/**
 * Shapes     dy [R, F] -> dx [R, F]
 *
 * With g = sigmoid(x):  silu'(x) = g + x g (1 - g) = g + silu(x) - silu(x) g.
 * With t = tanh(u):     gelu'(x) = (1 + t) / 2 + x/2 (1 - t^2) SLOPE (1 + 3 CUBIC x^2).
 */
export function activationBackward(context: GraphContext, cache: ActivationCache, dy: Value): Value {
  const { graph } = context;
  if (cache.kind === 'silu') {
    const { y, sigmoid } = cache;
    return graph.multiply(dy, graph.subtract(graph.add(sigmoid, y), graph.multiply(y, sigmoid)));
  }
  const { x, square, tanh, share } = cache;
  const inner = graph.multiply(x, affine(context, square, 1.5 * SLOPE * CUBIC, 0.5 * SLOPE));
  return graph.multiply(dy, graph.add(share, graph.multiply(inner, tanhSlope(context, tanh))));
}

/** tanh'(x) = 1 - tanh(x)^2, from tanh(x). */
export function tanhSlope(context: GraphContext, tanh: Value): Value {
  const { graph } = context;
  return graph.subtract(graph.scalar(1), graph.multiply(tanh, tanh));
}

/** a x + b */
function affine(context: GraphContext, x: Value, a: number, b: number): Value {
  const { graph } = context;
  return graph.add(graph.multiply(x, graph.scalar(a)), graph.scalar(b));
}
