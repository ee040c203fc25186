/**
 * The discrete Gaussian as its authors wrote it: exact, on whole numbers only, and a thousand times too slow for a round.
 * It is the definition that `noise.ts` is tested against.
 *
 * Source     Canonne, Kamath, Steinke 2020, "The Discrete Gaussian for Differential Privacy", arXiv:2004.00010, algorithms 1 to 3
 */

import { ProtocolError } from '../errors.js';
import type { RandomSource } from '../random.js';
import { floorSqrt, type Rational, uniformBelow } from './exact.js';

/**
 * One sample of N_Z(0, sigma^2), the law P[x] proportional to exp(-x^2 / (2 sigma^2)) on the whole numbers.
 *
 * Source     CKS20 algorithm 3: a discrete Laplace of scale floor(sigma) + 1, accepted with exp(-(|y| - sigma^2/t)^2 / (2 sigma^2))
 * Guarantee  exact for rational sigma^2 > 0
 * Cost       some ten microseconds a sample
 */
export function canonneDiscreteGaussian(
  sigmaSquaredNumerator: bigint,
  sigmaSquaredDenominator: bigint,
  random: RandomSource,
): bigint {
  const [n, d] = [sigmaSquaredNumerator, sigmaSquaredDenominator];
  if (n <= 0n || d <= 0n) throw new ProtocolError('privacy/invalid-parameter', 'sigma^2 must be positive.');
  const t = floorSqrt(n / d) + 1n;
  for (;;) {
    const y = discreteLaplace(t, random);
    const size = y < 0n ? -y : y;
    // (|y| - n/(d t))^2 / (2 n/d) = (|y| d t - n)^2 / (2 n d t^2)
    const distance = size * d * t - n;
    if (bernoulliExp({ numerator: distance * distance, denominator: 2n * n * d * t * t }, random)) return y;
  }
}

/** CKS20 algorithm 2 for the integer scale t: P[y] proportional to exp(-|y| / t). */
function discreteLaplace(t: bigint, random: RandomSource): bigint {
  for (;;) {
    const u = uniformBelow(t, random);
    if (!bernoulliExp({ numerator: u, denominator: t }, random)) continue;
    let v = 0n;
    while (bernoulliExp({ numerator: 1n, denominator: 1n }, random)) v++;
    const size = u + t * v;
    const negative = uniformBelow(2n, random) === 1n;
    if (negative && size === 0n) continue;
    return negative ? -size : size;
  }
}

/** CKS20 algorithm 1: true with probability exp(-gamma). */
function bernoulliExp(gamma: Rational, random: RandomSource): boolean {
  const { numerator, denominator } = gamma;
  for (let whole = numerator / denominator; whole > 0n; whole--) {
    if (!bernoulliExpBelowOne(1n, 1n, random)) return false;
  }
  return bernoulliExpBelowOne(numerator % denominator, denominator, random);
}

/** The case gamma <= 1: counts how long Bernoulli(gamma / k) keeps succeeding; true when the first failure is at an odd k. */
function bernoulliExpBelowOne(numerator: bigint, denominator: bigint, random: RandomSource): boolean {
  let k = 1n;
  while (uniformBelow(denominator * k, random) < numerator) k++;
  return k % 2n === 1n;
}
