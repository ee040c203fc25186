/** The sum of a round's masked contributions: by this process, or by workers where there are any. */

import { bytesToWords, emptyMaskedSum, sumMaskedInto, type MaskedSum } from '@fedlora/protocol';
import type { ContributionStore } from '../storage/contribution-store.js';
import { storedWords, sumRange } from './range-sums.js';
import type { SumWorkers } from './sum-workers.js';

/** Most words of a range that a worker sums: 4 MiB, which is what it holds, whatever the length of the vector. */
const RANGE_WORDS = 1 << 20;

export class RoundSums {
  private readonly closing = new AbortController();

  constructor(
    private readonly contributions: ContributionStore,
    private readonly workers?: SumWorkers,
    private readonly rangeWords = RANGE_WORDS,
  ) {}

  /** Ends sums that are being made: in a second, or when one contribution more is read. */
  close(): void {
    this.closing.abort();
  }

  /**
   * The sum of the survivors' contributions. [length] u32 mod 2^32.
   *
   * Guarantee  it ends whatever becomes of workers and Redis: ranges that no worker has summed are summed here
   * @throws FedloraError upload/wrong-length: what is stored of a contribution is not what was received | AbortError: it was closed
   */
  async sum(roundId: string, survivors: readonly number[], length: number): Promise<MaskedSum> {
    const { contributions, workers, rangeWords } = this;
    const { signal } = this.closing;
    const stored = storedWords(contributions, { roundId, survivors, length });
    const goOn = (): void => signal.throwIfAborted();
    if (workers === undefined) return sumRange(stored, { from: 0, to: length }, goOn);
    const sum = emptyMaskedSum(length);
    const left = await workers.sum(
      { roundId, survivors, length, rangeWords },
      ({ from }, bytes) => sumMaskedInto(sum, bytesToWords(bytes), from),
      signal,
    );
    for (const range of left) sumMaskedInto(sum, (await sumRange(stored, range, goOn)).words, range.from);
    return sum;
  }
}
