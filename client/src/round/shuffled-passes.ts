/** Passes over all examples, each in a new order; no example twice in a batch. */

import type { RandomSource } from '@fedlora/protocol';
import { uniformBelow } from './uniform.js';

export class ShuffledPasses {
  private order: number[] = [];

  constructor(
    private readonly count: number,
    private readonly random: RandomSource,
  ) {}

  /** The indices of the next batch; all of them when there are fewer. */
  next(batchSize: number): number[] {
    const size = Math.min(batchSize, this.count);
    const batch = this.order.splice(0, size);
    if (batch.length === size) return batch;
    this.order = this.shuffled();
    // The pass that begins must not bring what the batch has from the one that ended.
    const known = new Set(batch);
    const fresh = this.order.filter((index) => !known.has(index)).slice(0, size - batch.length);
    const taken = new Set(fresh);
    this.order = this.order.filter((index) => !taken.has(index));
    return [...batch, ...fresh];
  }

  private shuffled(): number[] {
    const order = Array.from({ length: this.count }, (_, index) => index);
    for (let i = order.length - 1; i > 0; i -= 1) {
      const j = uniformBelow(i + 1, this.random);
      [order[i], order[j]] = [order[j], order[i]];
    }
    return order;
  }
}
