/**
 * The sum of a round's stored contributions, a range of words at a time: workers sum their ranges with it, and the coordinator whatever
 * no worker sums.
 *
 * Legend     d = words of a contribution; a range = words `from` to before `to`
 */

import { bytesToWords, emptyMaskedSum, sumMaskedInto, type MaskedSum } from '@fedlora/protocol';
import { FedloraError } from '@fedlora/shared';
import type { ContributionStore } from '../storage/contribution-store.js';
import type { ByteRange, WordRange } from '../storage/growing-blobs.js';

/** What is summed. */
export interface StoredWords {
  readonly survivors: readonly number[];
  /** Words that each contribution has: d. */
  readonly length: number;
  /** Stored bytes of a survivor, a piece at a time. */
  readonly contribution: (survivor: number, bytes: ByteRange) => AsyncIterable<Uint8Array>;
}

/** A round's contributions, as they are stored. */
export function storedWords(
  contributions: Pick<ContributionStore, 'read'>,
  { roundId, survivors, length }: Pick<StoredWords, 'survivors' | 'length'> & { readonly roundId: string },
): StoredWords {
  return { survivors, length, contribution: (survivor, bytes) => contributions.read(roundId, survivor, bytes) };
}

/** Ranges of `words` words that cover `length` words in order; the last one may be shorter. */
export function rangesOf(length: number, words: number): readonly WordRange[] {
  return Array.from({ length: Math.ceil(length / words) }, (_, i) => ({
    from: i * words,
    to: Math.min((i + 1) * words, length),
  }));
}

/**
 * The sum of one range of all survivors' words. [to - from] u32 mod 2^32. Memory holds this sum and a piece of one contribution.
 *
 * @param onAdded after each survivor
 * @throws FedloraError upload/wrong-length: a contribution ends too early, or, of the last range, too late
 */
export async function sumRange(
  { survivors, length, contribution }: StoredWords,
  { from, to }: WordRange,
  onAdded?: () => Promise<void> | void,
): Promise<MaskedSum> {
  const words = to - from;
  const sum = emptyMaskedSum(words);
  // The last range reads to the end, wherever that is: so a contribution that is too long is found.
  const bytes: ByteRange = to === length ? { from: 4 * from } : { from: 4 * from, to: 4 * to };
  for (const survivor of survivors) {
    let firstWord = 0;
    let rest: Uint8Array = new Uint8Array(0); // Bytes of a word that a piece ended within.
    for await (const piece of contribution(survivor, bytes)) {
      const all = rest.length === 0 ? piece : Buffer.concat([rest, piece]);
      const whole = all.length - (all.length % 4);
      if (4 * firstWord + all.length > 4 * words) throw notTheLength(survivor, length);
      sumMaskedInto(sum, bytesToWords(all.subarray(0, whole)), firstWord);
      firstWord += whole / 4;
      rest = all.subarray(whole);
    }
    if (firstWord !== words || rest.length > 0) throw notTheLength(survivor, length);
    await onAdded?.();
  }
  return sum;
}

function notTheLength(survivor: number, length: number): FedloraError {
  return new FedloraError(
    'upload/wrong-length',
    `The stored contribution of participant ${survivor} does not have the ${length} words of the round.`,
  );
}
