import { describe, expect, it } from 'vitest';
import { exposureOf } from './exposure.js';
import { likelihoodRatios, logitOf, separationOf } from './membership.js';

/** Fixed numbers between 0 and 1 without order. */
const scattered = (count: number, shift = 0): number[] =>
  Array.from({ length: count }, (_, i) => (((i + 1) * 0.618034) % 1) + shift);

describe('how far members are from others', () => {
  it('counts every pair, and equal scores as half', () => {
    const [members, others] = [
      [3, 1, 2, 2],
      [2, 0, 1],
    ];
    // By hand: 3 beats all three; 1 beats 0 and ties 1; each 2 beats two and ties one.
    expect(separationOf(members, others).auc).toBeCloseTo((3 + 1.5 + 2.5 + 2.5) / 12, 12);
  });

  it('is 0.5 for the same scores on both sides, 1 where all members are above, 0 where all are below', () => {
    expect(separationOf(scattered(50), scattered(50)).auc).toBe(0.5);
    expect(separationOf(scattered(50, 2), scattered(70)).auc).toBe(1);
    expect(separationOf(scattered(50), scattered(70, 2)).auc).toBe(0);
  });

  it('takes at most one in a hundred of the others for a member', () => {
    const others = Array.from({ length: 200 }, (_, i) => i); // Two of them may be: those with 198 and 199.
    expect(separationOf([197, 197.5, 198, 300], others).truePositiveRate).toBe(0.75);
  });

  it('takes none of fewer than a hundred others for a member', () => {
    const others = Array.from({ length: 99 }, (_, i) => i);
    expect(separationOf([97.5, 98, 98.5], others).truePositiveRate).toBeCloseTo(1 / 3, 12);
  });

  it('tells nothing where a side is empty', () => {
    expect(separationOf([], [1])).toEqual({ auc: 0.5, truePositiveRate: 0 });
  });
});

describe('the likelihood ratio of a row', () => {
  it('is of the logit of the mean probability of its tokens', () => {
    expect(logitOf(Math.log(2))).toBeCloseTo(0, 12); // p = 1/2
    expect(logitOf(-Math.log(0.9))).toBeCloseTo(Math.log(9), 12);
    expect(logitOf(0)).toBeGreaterThan(15);
    expect(logitOf(0)).toBeLessThan(20);
  });

  it('is the difference to a single reference, so that rows that are easy for everybody are no members', () => {
    const ratios = likelihoodRatios([0.1, 1], [[0.1, 4]]);
    expect(ratios[0]).toBe(0);
    expect(ratios[1]).toBeCloseTo(logitOf(1) - logitOf(4), 12);
  });

  it('is in standard deviations of all rows together for a few references', () => {
    const losses = [1, 1];
    const references = [
      [2, 2],
      [4, 2],
    ];
    const spread = Math.sqrt((logitOf(2) - logitOf(4)) ** 2 / 2 / 2); // The second row has none, and both share the mean.
    const [first, second] = likelihoodRatios(losses, references);
    expect(first).toBeCloseTo((logitOf(1) - (logitOf(2) + logitOf(4)) / 2) / spread, 12);
    expect(second).toBeCloseTo((logitOf(1) - logitOf(2)) / spread, 12);
  });

  it('is in standard deviations of the row itself from eight references on', () => {
    const references = Array.from({ length: 8 }, (_, k) => [k % 2 === 0 ? 2 : 4, k % 2 === 0 ? 2.9 : 3.1]);
    const [wide, narrow] = likelihoodRatios([1, 1], references);
    expect(narrow).toBeGreaterThan(5 * wide);
  });
});

describe('the exposure of canaries', () => {
  it('is log2 of the places less log2 of the rank, among those that were left out', () => {
    const leftOut = [1, 2, 3];
    expect(exposureOf([0.5], leftOut)).toMatchObject({ mean: 2, largest: 2, possible: 2 });
    expect(exposureOf([1.5], leftOut).mean).toBe(1); // Rank 2 of 4.
    expect(exposureOf([9], leftOut).mean).toBe(0); // Rank 4 of 4.
    expect(exposureOf([0.5, 9], leftOut)).toMatchObject({ mean: 1, largest: 2 });
  });

  it('says what it is on average where every rank is as likely', () => {
    const leftOut = [1, 2, 3, 4, 5, 6, 7];
    const everyRank = [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5];
    const { mean, withoutMemory } = exposureOf(everyRank, leftOut);
    expect(mean).toBeCloseTo(withoutMemory, 12);
    expect(withoutMemory).toBeGreaterThan(1);
  });

  it('is 0 where no canary was learned from', () => {
    expect(exposureOf([], [1, 2])).toEqual({ mean: 0, largest: 0, withoutMemory: 0, possible: Math.log2(3) });
  });
});
