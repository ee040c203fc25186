import { describe, expect, it } from 'vitest';
import { epsilonLowerBound, guessingChance, recordPromise } from './one-run-audit.js';

/** One unit in the last digit that the paper prints: one of its two values is rounded, the other cut off. */
const AS_PRINTED = 1e-3;

describe('the lower bound of epsilon from one run', () => {
  it('is what the paper prints for its examples', () => {
    // Appendix D; and section 7.
    const appendix = epsilonLowerBound({ canaries: 1000, guesses: 100, right: 75 }, 1e-4);
    expect(Math.abs(appendix - 0.673)).toBeLessThan(AS_PRINTED);
    const section7 = epsilonLowerBound({ canaries: 100_000, guesses: 1510, right: 1439 }, 1e-5);
    expect(Math.abs(section7 - 2.675)).toBeLessThan(AS_PRINTED);
  });

  it('is ln(p / (1 - p)), p = 0.05^(1/r), where every guess is right and delta is 0', () => {
    for (const guesses of [5, 40, 100, 1000]) {
      const p = 0.05 ** (1 / guesses);
      const bound = epsilonLowerBound({ canaries: 1000, guesses, right: guesses }, 0);
      expect(bound).toBeCloseTo(Math.log(p / (1 - p)), 5);
    }
  });

  it('keeps its digits where nearly every guess of very many is right', () => {
    const bound = epsilonLowerBound({ canaries: 100_000, guesses: 100_000, right: 100_000 }, 0);
    const p = 0.05 ** (1 / 100_000);
    expect(bound).toBeCloseTo(Math.log(p / (1 - p)), 4);
  });

  it.each([
    ['no guess at all', 0, 0],
    ['four right of four, which chance gives once in sixteen', 4, 4],
    ['half of them right', 100, 50],
    ['nearly all wrong', 100, 3],
  ])('is 0 for %s', (_, guesses, right) => {
    expect(epsilonLowerBound({ canaries: 100, guesses, right }, 1e-5)).toBe(0);
  });

  it('is 0 where delta alone explains the guesses, and never above the bound without delta', () => {
    const found = { canaries: 100, guesses: 100, right: 90 };
    const bounds = [0, 1e-6, 1e-4, 1e-3, 1e-2, 0.5].map((delta) => epsilonLowerBound(found, delta));
    expect(bounds).toEqual(bounds.toSorted((a, b) => b - a));
    expect(bounds[0]).toBeGreaterThan(1);
    expect(bounds.at(-1)).toBe(0);
  });

  it('counts delta for every canary, guessed or not', () => {
    const [few, many] = [200, 20_000].map((canaries) => guessingChance({ canaries, guesses: 100, right: 80 }, 1, 1e-5));
    const alone = guessingChance({ canaries: 200, guesses: 100, right: 80 }, 1, 0);
    expect((many - alone) / (few - alone)).toBeCloseTo(100, 6);
  });

  it('says too much in no more than one of twenty runs of a mechanism whose epsilon is known', () => {
    // Randomised response at epsilon: each guess is right with q = e^epsilon / (1 + e^epsilon), independently. The chance of a bound
    // above epsilon is that of so many right guesses: exact, no sampling.
    const [epsilon, guesses] = [1.3, 60];
    const q = 1 / (1 + Math.exp(-epsilon));
    const least = Array.from({ length: guesses + 1 }, (_, right) => right).find(
      (right) => epsilonLowerBound({ canaries: guesses, guesses, right }, 0) > epsilon,
    )!;
    let tail = 0;
    let chance = q ** guesses;
    for (let right = guesses; right >= least; right -= 1) {
      tail += chance;
      chance *= ((1 - q) / q) * (right / (guesses - right + 1));
    }
    expect(tail).toBeLessThanOrEqual(0.05);
    expect(tail).toBeGreaterThan(0.01); // Not empty: the bound is not wide of the mark either.
  });

  it.each([
    ['more right than guessed', { canaries: 10, guesses: 5, right: 6 }],
    ['more guesses than canaries', { canaries: 10, guesses: 11, right: 6 }],
    ['half a guess', { canaries: 10, guesses: 5.5, right: 5 }],
    ['more canaries than are counted', { canaries: 100_001, guesses: 5, right: 5 }],
  ])('refuses %s', (_, found) => {
    expect(() => epsilonLowerBound(found, 1e-5)).toThrow(/is impossible/);
  });
});

describe('what a promise says of one record', () => {
  it('is the promise itself where a record is what it protects', () => {
    expect(recordPromise('record', 2, 1e-5)).toEqual({ epsilon: 2, delta: 1e-5 });
    expect(recordPromise('record-local', 3, 1e-6)).toEqual({ epsilon: 3, delta: 1e-6 });
  });

  it('is that of two changes where it protects an organisation', () => {
    const { epsilon, delta } = recordPromise('client', 1, 1e-5)!;
    expect(epsilon).toBe(2);
    expect(delta).toBeCloseTo((1 + Math.E) * 1e-5, 12);
  });

  it('is nothing where nothing is promised', () => {
    expect(recordPromise('none', null, null)).toBeUndefined();
    expect(recordPromise('client', 20, 1e-5)).toBeUndefined(); // Of two changes delta is above 1.
  });
});
