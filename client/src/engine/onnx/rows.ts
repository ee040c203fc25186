/**
 * Rows of several examples, stored one below the other as [R, n], and seen as [B, S, n] where examples must be told apart.
 *
 * Linear layers and norms work on rows and know nothing of examples. Seeing rows otherwise moves no data.
 */

import type { GraphBuilder, Value } from './graph.js';

export class Rows {
  readonly #shapes = new Map<string, Value>();

  /** `shape` [2] i64: examples and rows of each. */
  constructor(
    readonly graph: GraphBuilder,
    readonly shape: Value,
  ) {}

  /** [R, n] -> [B, S, ...sizes], whose product is n. */
  apart(value: Value, sizes: readonly number[]): Value {
    const key = sizes.join('x');
    let shape = this.#shapes.get(key);
    if (shape === undefined) {
      shape = sizes.length === 0 ? this.shape : this.graph.concat([this.shape, this.graph.integers(sizes)], 0);
      this.#shapes.set(key, shape);
    }
    return this.graph.reshape(value, shape);
  }
}
