/**
 * What the coordinator holds says nothing about a single contribution. Each statistic is shown to catch a protocol that is broken
 * in the way it looks for, so that it can fail.
 *
 * False alarms: 1e-4 for each statistic and about 70 of them, so under one in a hundred runs with a new seed. `npm test` fixes the
 * seed; the nightly draws a new one and prints it.
 */

import { describe, expect, it } from 'vitest';
import { nodeProvider, seededRandom } from '../../protocol/src/node/index.js';
import type { CryptoProvider } from '../../protocol/src/primitives/provider.js';
import {
  emptyMaskedSum,
  mask,
  selfMaskKey,
  sumMaskedInto,
  unmask,
  type SignedMask,
} from '../../protocol/src/secagg/masks.js';
import { combine, FIELD_PRIME, interpolate, interpolationAtZero, split } from '../../protocol/src/sharing/shamir.js';
import { toHex } from '../../protocol/src/bytes/hex.js';
import { fuzzSeed } from '../fuzz/hostile-bytes.js';
import {
  aCohort,
  answer,
  collect,
  noised,
  plainSum,
  prove,
  ready,
  recover,
  unmaskedSum,
  type Cohort,
  type Collected,
} from './secagg-cohort.js';

const LENGTH = 40_000;

/** Chi-square with 255 degrees of freedom lies outside with probability 1e-4 (Wilson-Hilferty with z = 3.89: 173.5 to 353.7). */
const CHI_SQUARE_255 = { low: 173.5, high: 353.7 };

/** The chi-square statistic of bytes against the uniform law, for each of the four bytes of a word. */
function chiSquares(words: Uint32Array): number[] {
  return [0, 8, 16, 24].map((shift) => {
    const counts = new Float64Array(256);
    for (const word of words) counts[(word >>> shift) & 255]++;
    const expected = words.length / 256;
    return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
  });
}

const looksUniform = (words: Uint32Array): boolean =>
  chiSquares(words).every((value) => value > CHI_SQUARE_255.low && value < CHI_SQUARE_255.high);

/**
 * Kolmogorov and Smirnov's distance between two samples of n words, times sqrt(n / 2). Over 2.23 with probability 1e-4
 * (2 exp(-2 x^2) for large n).
 */
function kolmogorovSmirnov(a: Uint32Array, b: Uint32Array): number {
  const [left, right] = [a.slice().sort(), b.slice().sort()];
  let [i, j, largest] = [0, 0, 0];
  while (i < left.length && j < right.length) {
    const at = Math.min(left[i], right[j]);
    while (i < left.length && left[i] === at) i++;
    while (j < right.length && right[j] === at) j++;
    largest = Math.max(largest, Math.abs(i / left.length - j / right.length));
  }
  return largest * Math.sqrt(left.length / 2);
}

const MOST_KS = 2.23;

/** Pearson's correlation of two samples times sqrt(n): normal where they are unrelated, so over 3.9 with probability 1e-4. */
function correlation(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const mean = (values: ArrayLike<number>): number => Array.from(values).reduce((sum, x) => sum + x, 0) / values.length;
  const [meanA, meanB] = [mean(a), mean(b)];
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    ab += (a[i] - meanA) * (b[i] - meanB);
    aa += (a[i] - meanA) ** 2;
    bb += (b[i] - meanB) ** 2;
  }
  return (ab / Math.sqrt(aa * bb)) * Math.sqrt(a.length);
}

const MOST_CORRELATION = 3.9;

/** A cohort of four whose member 0 has these levels; round numbers make fresh masks in each run of the nightly. */
function cohortWith(levels: (i: number) => number, options: { round?: number; crypto?: CryptoProvider } = {}): Cohort {
  const round = (fuzzSeed % 1_000_000) * 10 + (options.round ?? 0);
  const cohort = aCohort({ participants: 4, threshold: 3, length: LENGTH, ...options, round });
  cohort.members[0].levels.forEach((_, i, all) => {
    all[i] = levels(i);
  });
  return cohort;
}

const wordsOf = (cohort: Cohort, member: number): Uint32Array => cohort.members[member].masked!.words;

/** All zeros, and large values in a pattern. */
const quiet = (): number => 0;
const loud = (i: number): number => (i % 2 === 0 ? 2 ** 30 : -(2 ** 29));

/** Masks that leave the upper half of every word as it is. */
const halfMasking: CryptoProvider = {
  ...nodeProvider,
  addMask: (target, seed, sign, firstWord) => {
    const stream = new Uint32Array(target.length);
    nodeProvider.addMask(stream, seed, 1, firstWord);
    for (let i = 0; i < target.length; i++) target[i] += sign * (stream[i] & 0xffff);
  },
};

/** Masks that use the first 256 words of a stream again and again: a counter of too few bits. */
const repeatingMasks: CryptoProvider = {
  ...nodeProvider,
  addMask: (target, seed, sign) => {
    const stream = new Uint32Array(256);
    nodeProvider.addMask(stream, seed, 1);
    for (let i = 0; i < target.length; i++) target[i] += sign * stream[i & 255];
  },
};

describe('what the coordinator holds', () => {
  it('is statistically unrelated to a single contribution: uniform for very different ones, which nothing tells apart', () => {
    const [a, b] = [quiet, loud].map((levels, round) => {
      const cohort = cohortWith(levels, { round });
      collect(cohort);
      return cohort;
    });
    for (const cohort of [a, b]) expect(looksUniform(wordsOf(cohort, 0))).toBe(true);
    expect(kolmogorovSmirnov(wordsOf(a, 0), wordsOf(b, 0))).toBeLessThan(MOST_KS);
    const levels = Array.from({ length: LENGTH }, (_, i) => loud(i));
    expect(Math.abs(correlation(wordsOf(b, 0), levels))).toBeLessThan(MOST_CORRELATION);
  });

  it('would not be, with masks that leave bits open or repeat: the statistics see it', () => {
    const half = cohortWith(loud, { crypto: halfMasking });
    const silent = cohortWith(quiet, { crypto: halfMasking });
    for (const cohort of [half, silent]) collect(cohort);
    expect(looksUniform(wordsOf(half, 0))).toBe(false);
    expect(kolmogorovSmirnov(wordsOf(half, 0), wordsOf(silent, 0))).toBeGreaterThan(MOST_KS);
    const levels = Array.from({ length: LENGTH }, (_, i) => loud(i));
    expect(Math.abs(correlation(wordsOf(half, 0), levels))).toBeGreaterThan(MOST_CORRELATION);

    const repeated = cohortWith(quiet, { crypto: repeatingMasks });
    collect(repeated);
    expect(looksUniform(wordsOf(repeated, 0))).toBe(false);
  });

  it('is unrelated from round to round: the difference of two uploads of one update is uniform, and with reused seeds is not', () => {
    const [first, second] = [0, 1].map((round) => {
      const cohort = cohortWith(loud, { round });
      collect(cohort);
      return wordsOf(cohort, 0);
    });
    expect(looksUniform(first.map((word, i) => word - second[i]))).toBe(true);

    // A member that masked two rounds with the same seeds: their difference is that of its updates, in the open.
    const seeds: SignedMask[] = [{ seed: seededRandom('reused')(32), sign: 1 }];
    const levels = Int32Array.from({ length: LENGTH }, (_, i) => loud(i));
    const [one, two] = [levels, levels.map((level) => level + 3)].map(
      (x) => mask(nodeProvider, noised(x), seeds).words,
    );
    expect(looksUniform(one)).toBe(true); // neither shows it alone
    expect(two.every((word, i) => word - one[i] === 3 || word - one[i] + 2 ** 32 === 3)).toBe(true);
    expect(looksUniform(two.map((word, i) => word - one[i]))).toBe(false);
  });
});

/** A round in which member 0 shared keys and uploaded too late: the coordinator has its words, but the others unmask without it. */
function lateUpload(levels: (i: number) => number): {
  readonly words: Uint32Array;
  readonly collected: Collected;
  readonly masks: readonly SignedMask[];
  readonly cohort: Cohort;
} {
  const cohort = cohortWith(levels);
  const everyone = collect(cohort); // member 0's words arrive, too
  const words = wordsOf(cohort, 0);
  const survivors = [1, 2, 3];
  const late = cohortWith(levels);
  const collected = collect(late, { survivors });
  const { masks } = ready(recover(late, collected, answer(late, prove(late, collected), survivors)));
  expect(everyone.shareMessages).toEqual(collected.shareMessages); // the same keys: one round, seen twice
  return { words, collected, masks, cohort: late };
}

describe('a participant who dropped', () => {
  it('stays hidden though its mask key was recovered and its words came late: its self mask is uniform over them', () => {
    // Recovered of it: the mask key, so every pairwise mask. Its words minus all of these are its update plus its self mask.
    const { words, collected, masks, cohort } = lateUpload(loud);
    const ofDropped = masks.slice(0, 3); // about dealer 0: its pairwise masks with 1, 2 and 3, as they are in the sum
    expect(collected.view.survivors).toEqual([1, 2, 3]);
    const single = emptyMaskedSum(LENGTH);
    sumMaskedInto(single, words);
    // In its own words they have the opposite sign.
    const opposite = ofDropped.map(({ seed, sign }): SignedMask => ({ seed, sign: sign === 1 ? -1 : 1 }));
    const rest = unmask(nodeProvider, single, opposite).levels;
    expect(looksUniform(new Uint32Array(rest.buffer))).toBe(true);
    const levels = Array.from({ length: LENGTH }, (_, i) => loud(i));
    expect(Math.abs(correlation(rest, levels))).toBeLessThan(MOST_CORRELATION);

    // These are indeed all its masks but one: with its self mask, which nobody recovered, its update would lie open.
    const self = cohort.members[0].state;
    if (self.phase !== 'ready') throw new Error('it has not uploaded in this telling');
    const open = unmask(nodeProvider, single, [
      ...opposite,
      { seed: selfMaskKey(self.selfSeed.reveal(), cohort.terms.sid, 0), sign: 1 },
    ]).levels;
    expect(open).toEqual(Int32Array.from(levels));
    expect(looksUniform(new Uint32Array(open.buffer))).toBe(false);
  });

  it('is not in the sum, and the sum is that of the others', () => {
    const cohort = cohortWith(loud);
    const collected = collect(cohort, { survivors: [1, 2, 3] });
    const plan = recover(cohort, collected, answer(cohort, prove(cohort, collected), [1, 2, 3]));
    expect(unmaskedSum(cohort, collected, plan)).toEqual(plainSum(cohort, [1, 2, 3]));
  });
});

describe('t - 1 shares', () => {
  const xs = [1, 2, 3, 4, 5];
  const threshold = 4;
  const random = seededRandom(`shares/${fuzzSeed}`);
  const shares = split(random(32), { threshold, xs }, random).slice(0, threshold - 1);

  it('fit every candidate secret: for each there is one polynomial of degree t - 1 through them', () => {
    const element = (bytes: Uint8Array): bigint => BigInt(`0x${toHex(bytes)}`);
    for (const candidate of [
      new Uint8Array(32),
      new Uint8Array(32).fill(255),
      ...Array.from({ length: 20 }, () => random(32)),
    ]) {
      // The value at x = 4 that makes the secret this one: secret = sum of coefficient times share, solved for the last share.
      const { coefficients } = interpolationAtZero([1, 2, 3, 4]);
      const known = interpolate(
        { xs: [1, 2, 3], coefficients: coefficients.slice(0, 3) },
        shares.map(({ bytes }) => element(bytes)),
      );
      const last =
        ((((element(candidate) - known) * inverse(coefficients[3])) % FIELD_PRIME) + FIELD_PRIME) % FIELD_PRIME;
      const bytes = Uint8Array.from(Buffer.from(last.toString(16).padStart(66, '0'), 'hex'));
      expect(combine([...shares, { x: 4, bytes }], threshold)).toEqual(candidate);
    }
  });

  it('are spread alike for two very different secrets, and shares without random coefficients are not', () => {
    const lowWords = (secret: Uint8Array, source: (length: number) => Uint8Array, at: number): Uint32Array =>
      Uint32Array.from({ length: 4000 }, () => {
        const { bytes } = split(secret, { threshold: 3, xs: [1, 2, 3] }, source)[at];
        return Buffer.from(bytes).readUInt32BE(29);
      });
    const [zeros, others] = [new Uint8Array(32), new Uint8Array(32).fill(0x55)];
    for (const at of [0, 1]) {
      expect(kolmogorovSmirnov(lowWords(zeros, random, at), lowWords(others, random, at))).toBeLessThan(MOST_KS);
    }
    // Coefficients of few bits: the share still shows the secret.
    const lazy = (length: number): Uint8Array => {
      const bytes = new Uint8Array(length);
      bytes.set(random(2), length - 2);
      return bytes;
    };
    expect(kolmogorovSmirnov(lowWords(zeros, lazy, 0), lowWords(others, lazy, 0))).toBeGreaterThan(MOST_KS);
  });
});

describe('a survivor', () => {
  it('is not determined by the sum: other updates of the same sum give everything else that the coordinator holds, too', () => {
    // For any update of member 0 there is one of member 1, and a mask between them, with the same words and the same sum.
    const cohort = cohortWith(loud);
    const collected = collect(cohort);
    const { masks } = ready(recover(cohort, collected, answer(cohort, prove(cohort, collected), [0, 1, 2, 3])));
    // What is left of each upload without its recovered self mask. The coordinator knows these four vectors and nothing finer.
    const known = cohort.members.map(({ masked }, i) => {
      const single = emptyMaskedSum(LENGTH);
      sumMaskedInto(single, masked!.words);
      return unmask(nodeProvider, single, [masks[i]]).levels;
    });
    for (const levels of known) expect(looksUniform(new Uint32Array(levels.buffer))).toBe(true);
    const candidate = seededRandom(`candidate/${fuzzSeed}`);
    const shift = new Int32Array(candidate(4 * LENGTH).buffer);
    const [mine, theirs] = [cohort.members[0].levels, cohort.members[1].levels];
    const otherMine = mine.map((level, i) => level + shift[i]);
    const otherTheirs = theirs.map((level, i) => level - shift[i]);
    // The masks that would explain the same vectors: uniform, as the true ones are.
    const trueMask = known[0].map((level, i) => level - mine[i]);
    const otherMask = known[0].map((level, i) => level - otherMine[i]);
    for (const each of [trueMask, otherMask]) expect(looksUniform(new Uint32Array(each.buffer))).toBe(true);
    expect(otherMine.map((level, i) => level + otherTheirs[i])).toEqual(mine.map((level, i) => level + theirs[i]));

    // With only two honest members and the self masks known, the mask between them is all there is; without one it lies open.
    const unmasked = cohortWith(loud, { crypto: { ...nodeProvider, addMask: () => undefined } });
    collect(unmasked);
    expect(new Int32Array(wordsOf(unmasked, 0).buffer)).toEqual(unmasked.members[0].levels);
    expect(looksUniform(wordsOf(unmasked, 0))).toBe(false);
  });
});

/** The inverse in the field, by Fermat. */
function inverse(a: bigint): bigint {
  let [result, base] = [1n, a % FIELD_PRIME];
  for (let e = FIELD_PRIME - 2n; e > 0n; e >>= 1n) {
    if (e & 1n) result = (result * base) % FIELD_PRIME;
    base = (base * base) % FIELD_PRIME;
  }
  return result;
}
