/** Runs whose adapter moves by exactly the mean of what was contributed, so that a test can say what every version must be. */

import type { Manifest } from '@fedlora/protocol';
import { decodeAdapter } from '@fedlora/shared';
import { plainRun, tinyBase } from './tiny-run.js';

/** One round of differences, averaged as they are, of as few parameters as there can be. */
export const averagingRun = {
  ...plainRun,
  rounds: 1,
  base: { ...tinyBase, shape: { ...tinyBase.shape, hidden_size: 8, intermediate_size: 8 } },
  adapter: { ...plainRun.adapter, r: 2, lora_alpha: 4 },
};

/** The values of B in the weights of a version, in layout order. */
export function valuesOfB(weights: Uint8Array, { adapter: { modules, r } }: Manifest): number[] {
  return decodeAdapter(Buffer.from(weights), modules, r).modules.flatMap(({ B }) => [...B]);
}

/** The mean of what survivors contributed to a round, in units of the update, of the first `length` values. */
export function meanOf(
  levels: readonly (ArrayLike<number> | undefined)[],
  { encoding, privacy }: Manifest,
  length: number,
): number[] {
  return Array.from({ length }, (_, i) => {
    const sum = levels.reduce((all, one) => all + (one?.[i] ?? Number.NaN), 0);
    return sum / encoding.stepsPerUnit / privacy.minimumContributors;
  });
}

/** What a version must have where the one before it had `before`: floats of 32 bits. */
export function movedBy(mean: readonly number[], before: readonly number[]): number[] {
  return before.map((value, i) => Math.fround(value + Math.fround(mean[i])));
}
