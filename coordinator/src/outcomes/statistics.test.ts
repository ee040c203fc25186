import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { differenceOf, estimateOf, holm, NO_OUTCOMES, type Sums } from './statistics.js';

type Three = readonly [count: number, sum: number, squares: number];
type Two = readonly [successes: number, n: number];

/** Made by scipy and statsmodels; the script is beside it. */
const expected = JSON.parse(
  readFileSync(resolve(import.meta.dirname, '../../../test/fixtures/outcomes/expected.json'), 'utf8'),
) as {
  readonly wilson: readonly { readonly n: number; readonly x: number; readonly interval: Two }[];
  readonly two: readonly {
    readonly left: Two;
    readonly right: Two;
    readonly p: number;
    readonly low: number;
    readonly high: number;
  }[];
  readonly welch: readonly {
    readonly left: Three;
    readonly right: Three;
    readonly p: number;
    readonly low: number;
    readonly high: number;
    readonly mean: Two;
  }[];
  readonly holm: { readonly p: readonly number[]; readonly adjusted: readonly number[] };
};

/** Digits after the point: jStat finds quantiles to 1e-8. */
const DIGITS = 7;

const proportion = ([sum, count]: Two): Sums => ({ count, sum, squares: sum });
const score = ([count, sum, squares]: Three): Sums => ({ count, sum, squares });

describe('estimateOf', () => {
  it.each(expected.wilson)('gives Wilson’s interval of $x out of $n', ({ x, n, interval: [low, high] }) => {
    const found = estimateOf('proportion', proportion([x, n]));
    expect(found?.estimate).toBe(x / n);
    expect(found?.low).toBeCloseTo(low, DIGITS);
    expect(found?.high).toBeCloseTo(high, DIGITS);
  });

  it.each(expected.welch)('gives Student’s interval of the mean of $left', ({ left, mean: [low, high] }) => {
    const found = estimateOf('score', score(left));
    expect(found?.low).toBeCloseTo(low, DIGITS);
    expect(found?.high).toBeCloseTo(high, DIGITS);
  });

  it('says nothing of no outcomes, or of a single score', () => {
    expect(estimateOf('proportion', NO_OUTCOMES)).toBeNull();
    expect(estimateOf('score', { count: 1, sum: 3, squares: 9 })).toBeNull();
    expect(estimateOf('proportion', proportion([1, 1]))).toMatchObject({ estimate: 1, high: 1 });
  });

  it('takes scores that are all the same for no doubt, whatever their sums are rounded to', () => {
    const sums = { count: 3, sum: 0.3, squares: 0.03 - 1e-17 };
    expect(estimateOf('score', sums)?.high).toBeCloseTo(0.1, 7);
  });
});

describe('differenceOf', () => {
  it.each(expected.two.slice(0, 3))('tests and bounds $left against $right', ({ left, right, p, low, high }) => {
    const found = differenceOf('proportion', proportion(left), proportion(right));
    expect(found?.p).toBeCloseTo(p, DIGITS);
    expect(found?.low).toBeCloseTo(low, DIGITS);
    expect(found?.high).toBeCloseTo(high, DIGITS);
  });

  it.each(expected.welch)('tests and bounds the means of $left and $right', ({ left, right, p, low, high }) => {
    const found = differenceOf('score', score(left), score(right));
    expect(found?.p).toBeCloseTo(p, DIGITS);
    expect(found?.low).toBeCloseTo(low, DIGITS);
    expect(found?.high).toBeCloseTo(high, DIGITS);
  });

  it('tells nothing where outcomes are too few, or too few of one kind for the approximation', () => {
    expect(differenceOf('proportion', proportion([20, 29]), proportion([500, 1000]))).toBeNull();
    expect(differenceOf('proportion', proportion([50, 50]), proportion([45, 50]))).toBeNull();
    expect(differenceOf('score', { count: 29, sum: 29, squares: 40 }, { count: 99, sum: 99, squares: 140 })).toBeNull();
  });

  it('sees no difference where every outcome is the same', () => {
    expect(differenceOf('proportion', proportion([50, 50]), proportion([70, 70]))).toMatchObject({ estimate: 0, p: 1 });
    const same = { count: 40, sum: 80, squares: 160 };
    expect(differenceOf('score', same, same)).toEqual({ estimate: 0, low: 0, high: 0, p: 1 });
    expect(differenceOf('score', same, { count: 40, sum: 40, squares: 40 })).toMatchObject({ estimate: 1, p: 0 });
  });
});

describe('holm', () => {
  it('raises the values of tests that were made together', () => {
    const { p, adjusted } = expected.holm;
    holm(p).forEach((value, i) => expect(value).toBeCloseTo(adjusted[i], 12));
    expect(holm([])).toEqual([]);
    expect(holm([0.3])).toEqual([0.3]);
  });
});
