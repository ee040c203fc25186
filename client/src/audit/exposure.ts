/**
 * How far canaries that were learned stand out among those that were not.
 *
 * Source     Carlini et al. 2019, arXiv:1802.08232, definition 6, with the sampling of section 4.3: log2 of how many canaries there could
 *            have been, less log2 of the rank that this one has among them, by its loss
 */

import { countBelow } from './membership.js';

export interface Exposure {
  /** Of the canaries that were learned from, bits. */
  readonly mean: number;
  readonly largest: number;
  /** What the mean is expected to be where nothing was learned of any canary, bits. */
  readonly withoutMemory: number;
  /** The most that so many canaries can show, bits. */
  readonly possible: number;
}

/**
 * Exposure of the canaries that were learned from, each ranked among those that were left out: they are samples of what it could have been.
 *
 * Edge cases none was learned from, or none was left out -> zeros
 */
export function exposureOf(included: readonly number[], leftOut: readonly number[]): Exposure {
  const places = leftOut.length + 1;
  const possible = Math.log2(places);
  if (included.length === 0) return { mean: 0, largest: 0, withoutMemory: 0, possible };
  const sorted = leftOut.toSorted((a, b) => a - b);
  const exposures = included.map((loss) => possible - Math.log2(1 + countBelow(sorted, loss)));
  let logRanks = 0;
  for (let rank = 1; rank <= places; rank += 1) logRanks += Math.log2(rank);
  return {
    mean: exposures.reduce((sum, one) => sum + one, 0) / exposures.length,
    largest: exposures.reduce((most, one) => Math.max(most, one), 0),
    withoutMemory: possible - logRanks / places,
    possible,
  };
}
