/**
 * Intervals and tests from sums alone: how sure a rate or a mean is, and whether two of them differ.
 *
 * Source     Wilson 1927 (interval of a proportion); Newcombe 1998, method 10 (interval of a difference of proportions); Agresti 2013,
 *            section 3.2.3 (pooled z test); Welch 1947 (difference of means); Holm 1979 (several tests at once)
 * Legend     n = how many, sum of their values, squares = sum of their squares; a proportion is a mean of values 0 and 1
 *
 * Guarantee  intervals are of 95 % each; p values are two-sided. Both take single outcomes for independent of one another, which those
 *            of one conversation, or of one person, are not: they then look surer than they are.
 */

import jStat from 'jstat';
import type { OutcomeKind } from '@fedlora/shared';

/** Outcomes of one metric, added up. */
export interface Sums {
  readonly count: number;
  readonly sum: number;
  readonly squares: number;
}

export interface Estimate {
  readonly estimate: number;
  readonly low: number;
  readonly high: number;
}

export interface Difference extends Estimate {
  /** How likely a difference of this size or a larger one is if there is none. */
  readonly p: number;
}

const CONFIDENCE = 0.95;
const TAIL = (1 + CONFIDENCE) / 2;
const Z = jStat.normal.inv(TAIL, 0, 1);

/** Of fewer nobody can tell anything. */
const LEAST_COUNT = 30;
/** Expected outcomes of each kind on each side, below which the normal approximation fails. */
const LEAST_EXPECTED = 5;

export const NO_OUTCOMES: Sums = { count: 0, sum: 0, squares: 0 };

export function added(one: Sums, other: Sums): Sums {
  return { count: one.count + other.count, sum: one.sum + other.sum, squares: one.squares + other.squares };
}

/** The mean with its interval; `null`: there are no outcomes, or one score only. */
export function estimateOf(kind: OutcomeKind, sums: Sums): Estimate | null {
  const { count, sum } = sums;
  if (count === 0) return null;
  const estimate = sum / count;
  if (kind === 'proportion') return { estimate, ...wilson(sum, count) };
  if (count < 2) return null;
  const half = jStat.studentt.inv(TAIL, count - 1) * Math.sqrt(variance(sums) / count);
  return { estimate, low: estimate - half, high: estimate + half };
}

/** left - right; `null`: there are too few outcomes to tell. */
export function differenceOf(kind: OutcomeKind, left: Sums, right: Sums): Difference | null {
  if (Math.min(left.count, right.count) < LEAST_COUNT) return null;
  return kind === 'proportion' ? proportionDifference(left, right) : meanDifference(left, right);
}

/** p values of tests that were made at once, raised so that any of them is below a level by chance no oftener than one alone would be. */
export function holm(values: readonly number[]): number[] {
  const order = values.map((p, i) => ({ p, i })).sort((a, b) => a.p - b.p);
  const adjusted = new Array<number>(values.length);
  let largest = 0;
  order.forEach(({ p, i }, rank) => {
    largest = Math.max(largest, Math.min(1, (values.length - rank) * p));
    adjusted[i] = largest;
  });
  return adjusted;
}

function wilson(successes: number, n: number): { readonly low: number; readonly high: number } {
  const rate = successes / n;
  const square = Z * Z;
  const centre = rate + square / (2 * n);
  const half = Z * Math.sqrt((rate * (1 - rate)) / n + square / (4 * n * n));
  const scale = 1 + square / n;
  return { low: Math.max(0, (centre - half) / scale), high: Math.min(1, (centre + half) / scale) };
}

function proportionDifference(left: Sums, right: Sums): Difference | null {
  const pooled = (left.sum + right.sum) / (left.count + right.count);
  const rarer = Math.min(pooled, 1 - pooled) * Math.min(left.count, right.count);
  const isAll = pooled === 0 || pooled === 1;
  if (!isAll && rarer < LEAST_EXPECTED) return null;
  const [one, other] = [left.sum / left.count, right.sum / right.count];
  const [ofOne, ofOther] = [wilson(left.sum, left.count), wilson(right.sum, right.count)];
  const estimate = one - other;
  const stderr = Math.sqrt(pooled * (1 - pooled) * (1 / left.count + 1 / right.count));
  return {
    estimate,
    low: estimate - Math.hypot(one - ofOne.low, ofOther.high - other),
    high: estimate + Math.hypot(ofOne.high - one, other - ofOther.low),
    p: isAll ? 1 : Math.min(1, 2 * jStat.normal.cdf(-Math.abs(estimate / stderr), 0, 1)),
  };
}

function meanDifference(left: Sums, right: Sums): Difference {
  const [ofLeft, ofRight] = [variance(left) / left.count, variance(right) / right.count];
  const estimate = left.sum / left.count - right.sum / right.count;
  const square = ofLeft + ofRight;
  if (square === 0) return { estimate, low: estimate, high: estimate, p: estimate === 0 ? 1 : 0 };
  const degrees = square ** 2 / (ofLeft ** 2 / (left.count - 1) + ofRight ** 2 / (right.count - 1));
  const stderr = Math.sqrt(square);
  const half = jStat.studentt.inv(TAIL, degrees) * stderr;
  return {
    estimate,
    low: estimate - half,
    high: estimate + half,
    p: Math.min(1, 2 * jStat.studentt.cdf(-Math.abs(estimate / stderr), degrees)),
  };
}

/** Of single outcomes; rounding of the sums never makes it negative. */
function variance({ count, sum, squares }: Sums): number {
  return Math.max(0, (squares - (sum * sum) / count) / (count - 1));
}
