/**
 * Rotary position embedding: pair (i, i + dh/2) of each head turns by an angle that grows with the token's position.
 *
 * Source     Su et al. 2021, arXiv:2104.09864, in Hugging Face's order of pairs (halves, not neighbours).
 * Angles come as tables from outside, so that one graph serves every length; see `ropeFrequencies` for their making.
 */

import type { RopeScaling } from '../weights/base-model.js';
import type { Value } from './graph.js';
import type { GraphContext } from './spec.js';

/** Kinds of rope_scaling that the engine computes, for `openBaseModel`. */
export const computedRopeTypes: readonly RopeScaling['rope_type'][] = ['linear', 'llama3'];

/** Where rows stand, and by how much each position turns: `cos`, `sin` and `minusSin` [positions, dh/2]. */
export interface Turning {
  /** [1] i64 (of the first row; the rest follow), or [B, S]. */
  readonly positions: Value;
  readonly cos: Value;
  readonly sin: Value;
  readonly minusSin: Value;
}

/** Inputs for the tables of one type of blocks. */
export function turningOf(context: GraphContext, positions: Value, tables: string): Turning {
  const { graph, spec } = context;
  const table = (name: string): Value =>
    graph.input(`${tables}.${name}`, 'float32', ['positions', spec.config.head_dim / 2]);
  return { positions, cos: table('cos'), sin: table('sin'), minusSin: table('minusSin') };
}

/** Shapes     x [B, S, heads * dh] -> the same */
export function ropeForward(context: GraphContext, x: Value, { positions, cos, sin }: Turning): Value {
  return context.graph.op('RotaryEmbedding', [x, positions, cos, sin], { interleaved: 0 });
}

/** A rotation's transpose is its inverse: backward turns the other way. */
export function ropeBackward(context: GraphContext, dy: Value, { positions, cos, minusSin }: Turning): Value {
  return context.graph.op('RotaryEmbedding', [dy, positions, cos, minusSin], { interleaved: 0 });
}

/**
 * The tables of the first `length` positions: [length, dh/2] each.
 *
 * Shapes     frequencies [dh/2] f64, radians per position
 */
export function ropeTables(
  frequencies: Float64Array,
  length: number,
): { cos: Float32Array; sin: Float32Array; minusSin: Float32Array } {
  const half = frequencies.length;
  const cos = new Float32Array(length * half);
  const sin = new Float32Array(length * half);
  for (let position = 0; position < length; position++) {
    for (let i = 0; i < half; i++) {
      const angle = position * frequencies[i];
      cos[position * half + i] = Math.cos(angle);
      sin[position * half + i] = Math.sin(angle);
    }
  }
  return { cos, sin, minusSin: sin.map((value) => -value) };
}
