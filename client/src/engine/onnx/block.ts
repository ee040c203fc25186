/**
 * One transformer block: x + attention(norm(x)), then that + mlp(norm(that)).
 *
 * In the last block, `focus` leaves everything but keys and values to the label positions: exact, because nothing reads the others.
 */

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
  readonly middleNorm: NormCache;
  readonly mlp: MlpCache;
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
  const weight = (name: string): Value => graph.input(`${prefix}${name}.weight`, 'float32', [spec.config.hidden_size]);
  const input = normForward(context, x, weight('input_layernorm'));
  const residual = focus === undefined ? x : gatherFocus(context, x, focus);
  const attention = attentionForward(context, prefix, input.y, residual, tokens, focus);
  const middle = normForward(context, attention.y, weight('post_attention_layernorm'));
  const mlp = mlpForward(context, prefix, middle.y, attention.y);
  return {
    y: mlp.y,
    cache: { inputNorm: input.cache, attention: attention.cache, middleNorm: middle.cache, mlp: mlp.cache },
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
  const dMiddle = mlpBackward(context, cache.mlp, dy, asking.rows, gradients);
  const dAttended = graph.add(dy, normBackward(context, cache.middleNorm, dMiddle)); // [B S, D]
  const dInput = attentionBackward(context, cache.attention, dAttended, tokens, focus, gradients); // [R, D]
  const dNormed = normBackward(context, cache.inputNorm, dInput);
  const dResidual = focus === undefined ? dAttended : scatterFocus(context, dAttended, focus, spec.config.hidden_size);
  return graph.add(dResidual, dNormed);
}
