/**
 * One transformer block: x + attention(norm(x)), then that + mlp(norm(that)). Gemma normalizes what is added as well.
 *
 * In the last block, `focus` leaves everything but keys and values to the label positions: exact, because nothing reads the others.
 */

import { architectureOf } from '../weights/architecture.js';
import {
  attentionBackward,
  attentionForward,
  gatherFocus,
  scatterFocus,
  type AttentionCache,
  type Focus,
  type Tokens,
} from './attention.js';
import type { Value } from './graph.js';
import { mlpBackward, mlpForward, type MlpCache } from './mlp.js';
import { normBackward, normForward, type NormCache } from './norm.js';
import type { GradientMap, GraphContext } from './spec.js';

export interface BlockCache {
  readonly inputNorm: NormCache;
  readonly attention: AttentionCache;
  /** Absent where attention's output is added as it is. */
  readonly attendedNorm: NormCache | undefined;
  readonly middleNorm: NormCache;
  readonly mlp: MlpCache;
  readonly mlpNorm: NormCache | undefined;
}

/** Shapes     x [R, D] -> y [R, D]; with focus [B L, D] */
export function blockForward(
  context: GraphContext,
  prefix: string,
  x: Value,
  tokens: Tokens,
  focus?: Focus,
): { readonly y: Value; readonly cache: BlockCache } {
  const { graph, spec } = context;
  const { norms } = architectureOf(spec.config);
  const norm = (name: string, value: Value): { readonly y: Value; readonly cache: NormCache } =>
    normForward(context, value, graph.input(`${prefix}${name}.weight`, 'float32', [spec.config.hidden_size]));
  // What is normalized before it is added cannot be added by the product that makes it.
  const added = (name: string | undefined, value: Value, residual: Value) => {
    if (name === undefined) return { y: value, cache: undefined };
    const normed = norm(name, value);
    return { y: graph.add(residual, normed.y), cache: normed.cache };
  };

  const input = norm(norms.beforeAttention, x);
  const residual = focus === undefined ? x : gatherFocus(context, x, focus);
  const inProduct = (name: string | undefined, value: Value) => (name === undefined ? value : undefined);
  const attention = attentionForward(
    context,
    prefix,
    input.y,
    inProduct(norms.afterAttention, residual),
    tokens,
    focus,
  );
  const attended = added(norms.afterAttention, attention.y, residual); // [B S, D]
  const middle = norm(norms.beforeMlp, attended.y);
  const mlp = mlpForward(context, prefix, middle.y, inProduct(norms.afterMlp, attended.y));
  const { y, cache: mlpNorm } = added(norms.afterMlp, mlp.y, attended.y);
  return {
    y,
    cache: {
      inputNorm: input.cache,
      attention: attention.cache,
      attendedNorm: attended.cache,
      middleNorm: middle.cache,
      mlp: mlp.cache,
      mlpNorm,
    },
  };
}

/** Shapes     dy [R, D], or with focus [B L, D] -> dx [R, D] */
export function blockBackward(
  context: GraphContext,
  cache: BlockCache,
  dy: Value,
  tokens: Tokens,
  focus: Focus | undefined,
  gradients: GradientMap,
): Value {
  const { graph, spec } = context;
  const asking = focus ?? tokens;
  const through = (norm: NormCache | undefined, d: Value): Value =>
    norm === undefined ? d : normBackward(context, norm, d);
  const dMiddle = mlpBackward(context, cache.mlp, through(cache.mlpNorm, dy), asking.rows, gradients);
  const dAttended = graph.add(dy, normBackward(context, cache.middleNorm, dMiddle)); // [B S, D]
  const dAttention = through(cache.attendedNorm, dAttended);
  const dInput = attentionBackward(context, cache.attention, dAttention, tokens, focus, gradients); // [R, D]
  const dNormed = normBackward(context, cache.inputNorm, dInput);
  const dResidual = focus === undefined ? dAttended : scatterFocus(context, dAttended, focus, spec.config.hidden_size);
  return graph.add(dResidual, dNormed);
}
