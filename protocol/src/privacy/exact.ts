/**
 * Random decisions without any rounding: rationals as bigints, exp(-t) as an interval that is narrowed until it decides.
 *
 * Slow on purpose and used where a float could not decide. `noise.ts` builds its fast sampler on `isBelowExp`; the plain loop of
 * Canonne, Kamath and Steinke, from which the fast sampler's law is checked, stands in `canonne.ts`.
 */

import type { RandomSource } from '../random.js';

/** A positive rational or zero. The denominator is positive; the fraction need not be reduced. */
export interface Rational {
  readonly numerator: bigint;
  readonly denominator: bigint;
}

/** The exact value of a finite f64 >= 0: each is a whole number times a power of two. */
export function exactRational(value: number): Rational {
  let exponent = 0;
  let mantissa = value;
  for (; !Number.isInteger(mantissa); exponent++) mantissa *= 2; // exact: a power of two, and the value is below 2^53
  return { numerator: BigInt(mantissa), denominator: 1n << BigInt(exponent) };
}

/** Number of binary digits of a whole number >= 0; 0 for 0. */
export function bitLength(value: bigint): number {
  return value === 0n ? 0 : value.toString(2).length;
}

/** The largest whole number whose square is at most `value`. Newton's iteration from above. */
export function floorSqrt(value: bigint): bigint {
  if (value < 2n) return value;
  let root = 1n << BigInt((bitLength(value) + 1) >> 1);
  for (;;) {
    const next = (root + value / root) >> 1n;
    if (next >= root) return root;
    root = next;
  }
}

/** A uniform whole number of `bitCount` bits, a multiple of 8. */
export function uniformBits(bitCount: number, random: RandomSource): bigint {
  let value = 0n;
  for (const byte of random(bitCount >> 3)) value = (value << 8n) | BigInt(byte);
  return value;
}

/** A uniform whole number in [0, bound), by rejection. */
export function uniformBelow(bound: bigint, random: RandomSource): bigint {
  const bits = bitLength(bound - 1n);
  const drawn = (bits + 7) & ~7;
  for (;;) {
    const value = uniformBits(drawn, random) >> BigInt(drawn - bits);
    if (value < bound) return value;
  }
}

/**
 * Whole numbers around exp(-t) 2^bits, for rational t >= 0.
 *
 * t is halved r times until it is below 2^-4, exp is summed as its alternating series and squared r times. All numbers are scaled
 * by 2^p; each operation rounds down or up by at most one unit, and low and high carry these to the end.
 *
 * Guarantee  low <= exp(-t) 2^bits <= high, always; high - low <= 2 in ordinary cases (p has room for the growth of the error).
 */
export function expInterval(t: Rational, bits: number): { low: bigint; high: bigint } {
  if (t.numerator === 0n) return { low: 1n << BigInt(bits), high: 1n << BigInt(bits) };
  const halvings = Math.max(0, bitLength(t.numerator / t.denominator) + 4);
  const p = BigInt(bits + halvings + 16);
  const one = 1n << p;
  // y = t / 2^halvings, 0 <= y < 2^-4, rounded down to a multiple of 2^-p.
  const y = (t.numerator << p) / (t.denominator << BigInt(halvings));

  // exp(-y) for the rounded y: terms rounded down, so each is short by less than its index + 1 units (an error below one unit is
  // multiplied by y / k < 1 and joined by one more rounding, hence in fact by less than 2). The series ends when a term is 0;
  // what is left out of an alternating series is below that term, which is below 2 units.
  let sum = one;
  let term = one;
  let terms = 0n;
  for (let k = 1n; term > 0n; k++) {
    term = (term * y) / (k << p);
    sum += k % 2n === 1n ? -term : term;
    terms++;
  }
  const error = 2n * terms + 2n;
  // The true t / 2^halvings is up to one unit above y, which makes exp up to one unit smaller.
  let low = sum - error - 1n;
  let high = sum + error;
  if (low < 0n) low = 0n;
  if (high > one) high = one;
  for (let i = 0; i < halvings; i++) {
    low = (low * low) >> p;
    high = ((high * high) >> p) + 1n;
    if (high > one) high = one;
  }
  const drop = p - BigInt(bits);
  return { low: low >> drop, high: (high >> drop) + 1n };
}

/**
 * Whether a uniform U in [0, 1) is below `factor * exp(-t)`, where U begins with the given bits and goes on with fresh ones.
 *
 * U is extended only as far as it takes: with b bits known, it lies in [u, u + 1) 2^-b, and exp(-t) in an interval that is made as
 * narrow. Apart from t = 0, where exp is 1, the bound is irrational, so that the loop ends; each turn ends it with a probability
 * of all but about 2^-32.
 *
 * Guarantee  the decision is exact: true with probability min(1, factor exp(-t)) over U's unknown bits, given the known ones.
 */
export function isBelowExp(
  known: bigint,
  knownBits: number,
  factor: Rational,
  t: Rational,
  random: RandomSource,
): boolean {
  let u = known;
  let bits = knownBits;
  for (;;) {
    const precision = bits + bitLength(factor.numerator) + 32;
    const { low, high } = expInterval(t, precision);
    // U < (u + 1) / 2^b <= factor * low / 2^precision, without divisions.
    const scaledDenominator = factor.denominator << BigInt(precision);
    if ((u + 1n) * scaledDenominator <= (factor.numerator * low) << BigInt(bits)) return true;
    if (u * scaledDenominator >= (factor.numerator * high) << BigInt(bits)) return false;
    u = (u << 32n) | uniformBits(32, random);
    bits += 32;
  }
}
