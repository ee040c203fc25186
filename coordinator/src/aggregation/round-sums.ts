/** The sum of a round's masked contributions: by this process, or by workers where there are any. */

import { bytesToWords, emptyMaskedSum, sumMaskedInto, type MaskedSum } from '@fedlora/protocol';
import type { ContributionStore } from '../storage/contribution-store.js';
import { rangesOf, storedWords, sumRange } from './range-sums.js';
import type { SumWorkers } from './sum-workers.js';

/** Words of a range that a worker sums: 4 MiB, which is what it holds, whatever the length of the vector. */
const RANGE_WORDS = 1 << 20;

export class RoundSums {
  constructor(
    private readonly contributions: ContributionStore,
    private readonly workers?: SumWorkers,
    private readonly rangeWords = RANGE_WORDS,
  ) {}

  /**
   * The sum of the survivors' contributions. [length] u32 mod 2^32.
   *
   * Guarantee  it ends whatever becomes of workers and Redis: ranges that no worker has summed are summed here
   * @throws FedloraError upload/wrong-length: what is stored of a contribution is not what was received
   */
  async sum(roundId: string, survivors: readonly number[], length: number): Promise<MaskedSum> {
    const { contributions, workers } = this;
    const stored = storedWords(contributions, { roundId, survivors, length });
    if (workers === undefined) return sumRange(stored, { from: 0, to: length });
    const sum = emptyMaskedSum(length);
    const ranges = rangesOf(length, this.rangeWords);
    const left = await workers.sum({ roundId, survivors, length }, ranges, ({ from }, bytes) =>
      sumMaskedInto(sum, bytesToWords(bytes), from),
    );
    for (const range of left) sumMaskedInto(sum, (await sumRange(stored, range)).words, range.from);
    return sum;
  }
}
