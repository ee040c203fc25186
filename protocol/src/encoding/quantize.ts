/**
 * Real values to integer steps and back, and the room they need in the ring.
 *
 * Rounding is deterministic and comes before the noise: the noise is an integer mechanism on the rounded sum, so what rounding
 * adds to the sensitivity is counted once, here, and everything after the noise is post-processing.
 *
 * Source     SPEC §16.4, §16.5; DESIGN §5; the effect of rounding on sensitivity as in jax_privacy `_adjusted_clip_norm` and Kairouz et al. 2021,
 *            arXiv:2102.06387 §4, here without their randomized rounding
 * Legend     s = `stepsPerUnit`, a power of two; C = L2 sensitivity of one unit; d = length of the vector;
 *            M = most units in a sum; D2 = L2 sensitivity in steps
 */

import { ProtocolError } from '../errors.js';
import type {
  ClippedUpdate,
  NoisedUpdate,
  NoisySum,
  PrivateStep,
  QuantizedUpdate,
  ReleasedUpdate,
} from '../update/stages.js';

/** Levels and sums are read as signed words of the ring Z_2^32: their magnitude stays below this. */
const RING_HALF = 2 ** 31;

/** The ring is kept free of wraps up to this many standard deviations of the total noise: 1.3e-15 per value. */
const NOISE_STDDEVS = 8;

/** Adding and subtracting this rounds |x| < 2^51 to the nearest integer, ties to even (the rounding of IEEE 754 itself). */
const ROUND_TO_INTEGER = 1.5 * 2 ** 52;

/**
 * L2 sensitivity in integer steps of a vector that was multiplied by `stepsPerUnit` and rounded.
 *
 * For any two reals |round(a + b) - round(a)| <= |b| + 1: each of the two roundings moves by at most 1/2. So the change has an L2
 * norm of at most | |b| + (1, ..., 1) |_2 <= |b|_2 + sqrt(d), by the triangle inequality, with |b|_2 <= s C.
 *
 * Units      l2Sensitivity in units of the update; result in steps
 * Edge cases l2Sensitivity = 0 -> sqrt(d): two sums that differ in nothing round alike, the bound is not tight there
 */
export function sensitivityInSteps(l2Sensitivity: number, stepsPerUnit: number, d: number): number {
  return stepsPerUnit * l2Sensitivity + Math.sqrt(d);
}

/**
 * Multiplies by `stepsPerUnit` and rounds to the nearest integer, ties to even.
 *
 * Shapes     values [P] f64 -> levels [P] i32
 * Units      stepsPerUnit in steps per unit of the update, a power of two, so that the product is exact
 * Guarantee  |levels - s * values| <= 1/2 each; the sensitivity is `sensitivityInSteps`. The exact integer norm of the result is
 *            checked against contributors * s * C + sqrt(d) / 2, which for one contributor is below D2.
 * Edge cases |level| >= 2^31 -> update/over-bound | NaN or infinity -> update/not-finite | empty -> empty
 * Secrets    the levels of an update that is refused are wiped; the caller wipes the clipped values.
 * @throws ProtocolError update/over-bound: not clipped, or a scale that `checkNoWrap` would refuse; a bug of ours
 * @throws ProtocolError privacy/invalid-parameter: stepsPerUnit is not a power of two
 */
export function quantize(clipped: ClippedUpdate, stepsPerUnit: number): QuantizedUpdate {
  if (!isPowerOfTwo(stepsPerUnit)) {
    throw new ProtocolError('privacy/invalid-parameter', 'stepsPerUnit must be a power of two.');
  }
  const { values, l2Sensitivity, contributors } = clipped;
  const d = values.length;
  const levels = toLevels(values, stepsPerUnit);
  // |round(v)|_2 <= |v|_2 + sqrt(d) / 2. The margin covers the rounding of this f64 comparison, not of the levels.
  const longest = contributors * stepsPerUnit * l2Sensitivity + Math.sqrt(d) / 2;
  if (Math.sqrt(Number(squaredNorm(levels))) > longest * (1 + 2 ** -48)) {
    levels.fill(0);
    throw new ProtocolError('update/over-bound', 'A rounded update is longer than its bound.');
  }
  const l2SensitivityInSteps = sensitivityInSteps(l2Sensitivity, stepsPerUnit, d);
  // Safe: this is the step that makes a quantized update.
  return { levels, l2SensitivityInSteps } as QuantizedUpdate;
}

/**
 * Rounds what private steps came to. It needs no noise: a function of sums that have all of theirs spends nothing more.
 *
 * Shapes     values [P] f64 -> levels [P] i32
 * Units      stepsPerUnit in steps per unit of the update, a power of two
 * Guarantee  |levels - s * values| <= 1/2 each
 * Edge cases as `quantize`
 * @throws ProtocolError update/over-bound | update/not-finite | privacy/invalid-parameter: stepsPerUnit is not a power of two
 */
export function quantizeReleased({ values }: ReleasedUpdate, stepsPerUnit: number): NoisedUpdate {
  if (!isPowerOfTwo(stepsPerUnit)) {
    throw new ProtocolError('privacy/invalid-parameter', 'stepsPerUnit must be a power of two.');
  }
  // Safe: a released update is made from private steps only, and so has its noise.
  return { levels: toLevels(values, stepsPerUnit) } as NoisedUpdate;
}

/** round(s * values), ties to even; nothing is left of values that do not fit. */
function toLevels(values: Float64Array, stepsPerUnit: number): Int32Array {
  const levels = new Int32Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const scaled = values[i] * stepsPerUnit;
    if (!(Math.abs(scaled) < RING_HALF - 0.5)) {
      levels.fill(0);
      throw new ProtocolError(Number.isFinite(values[i]) ? 'update/over-bound' : 'update/not-finite');
    }
    levels[i] = scaled + ROUND_TO_INTEGER - ROUND_TO_INTEGER;
  }
  return levels;
}

/**
 * A noisy sum, of a round or of a local step, in units of the update, divided by a public constant.
 *
 * Shapes     levels [P] i32 -> [P] f64
 * Units      stepsPerUnit in steps per unit; divisor has no unit: the expected count of the manifest, never a realised count
 * Guarantee  one rounding to f64 per value; exact when the divisor is a power of two
 * Cost       the result, outside of the JavaScript heap, and nothing else that grows with P
 */
export function dequantize(noisySum: NoisySum | PrivateStep, stepsPerUnit: number, divisor = 1): Float64Array {
  if (!isPowerOfTwo(stepsPerUnit) || !(divisor > 0 && divisor < Infinity)) {
    throw new ProtocolError('privacy/invalid-parameter', 'stepsPerUnit must be a power of two, the divisor positive.');
  }
  const { levels } = noisySum;
  // Not Float64Array.from, which lists all values as JavaScript's own first.
  const values = new Float64Array(levels.length); // [P] = [P] / scalar / scalar
  for (let i = 0; i < values.length; i++) values[i] = levels[i] / stepsPerUnit / divisor;
  return values;
}

/** What decides whether a sum fits the ring. */
export interface NoWrapTerms {
  /** M: the most units that a sum can hold, over all participants. */
  readonly maximumUnits: number;
  /** C: the most that one unit adds, in units of the update. A bound on the L2 norm bounds each value. */
  readonly l2SensitivityPerUnit: number;
  readonly stepsPerUnit: number;
  /** Standard deviation of the noise in the sum when every participant is present. */
  readonly totalStddevInSteps: number;
}

/**
 * Refuses terms under which a value of the sum could pass the half of the ring: `M (s C + 1) + 8 sigma <= 2^31`.
 *
 * Each unit adds at most s C to a value, each participant's rounding at most 1/2; we allow 1 per unit. A wrap would not weaken
 * privacy, as reduction mod 2^32 is post-processing; it would ruin the sum.
 *
 * Guarantee  no wrap, but for the noise passing 8 standard deviations
 * @param field the term of the manifest that a refusal names
 * @throws ProtocolError manifest/invalid: also when a term is out of range or stepsPerUnit is not a power of two
 */
export function checkNoWrap(terms: NoWrapTerms, field = 'encoding.stepsPerUnit'): void {
  const { maximumUnits, l2SensitivityPerUnit, stepsPerUnit, totalStddevInSteps } = terms;
  const refuse = (why: string): never => {
    throw new ProtocolError('manifest/invalid', `${field}: ${why}`, { field });
  };
  if (!isPowerOfTwo(stepsPerUnit)) refuse(`must be a power of two, is ${stepsPerUnit}.`);
  if (!(maximumUnits >= 1 && l2SensitivityPerUnit >= 0 && totalStddevInSteps >= 0))
    refuse('the other terms are invalid.');
  const largest = largestValue(maximumUnits, l2SensitivityPerUnit, stepsPerUnit, totalStddevInSteps);
  if (!(largest <= RING_HALF)) refuse(`sums could reach ${largest.toPrecision(4)}, over 2^31; use a smaller scale.`);
}

/** The public terms from which the finest scale follows. */
export interface ScaleTerms {
  readonly maximumUnits: number;
  readonly l2SensitivityPerUnit: number;
  /** sigma / D2; 0 without noise. */
  readonly noiseMultiplier: number;
  /** d */
  readonly length: number;
  /** How many participants add noise at most. */
  readonly participants: number;
  readonly minimumContributors: number;
  readonly assumedColluders: number;
}

/**
 * The largest power of two s with `M (s C + 1) + 8 sigmaTotal <= 2^31`: the finest rounding that cannot wrap.
 *
 * The total noise with all n participants has the variance n sigma^2 / (m - c), where sigma = noiseMultiplier * D2 and
 * D2 = s C + sqrt(d) itself depends on s.
 *
 * Units      result in steps per unit of the update, from 2^-64 to 2^64
 * @throws ProtocolError manifest/invalid: not even the coarsest scale fits
 */
export function largestStepsPerUnit(terms: ScaleTerms): number {
  const { maximumUnits, l2SensitivityPerUnit, noiseMultiplier, length, participants } = terms;
  const shares = terms.minimumContributors - terms.assumedColluders;
  if (!(shares >= 1 && participants >= 1 && noiseMultiplier >= 0 && maximumUnits >= 1 && l2SensitivityPerUnit > 0)) {
    throw new ProtocolError('manifest/invalid', 'No scale can be found: the terms it follows from are invalid.');
  }
  for (let exponent = 64; exponent >= -64; exponent--) {
    const stepsPerUnit = 2 ** exponent;
    const sigma = noiseMultiplier * sensitivityInSteps(l2SensitivityPerUnit, stepsPerUnit, length);
    const totalStddevInSteps = sigma * Math.sqrt(participants / shares);
    const largest = largestValue(maximumUnits, l2SensitivityPerUnit, stepsPerUnit, totalStddevInSteps);
    if (largest <= RING_HALF) return stepsPerUnit;
  }
  throw new ProtocolError(
    'manifest/invalid',
    'No scale fits the ring: too many units, or too much noise for their number.',
  );
}

function largestValue(maximumUnits: number, perUnit: number, stepsPerUnit: number, totalStddevInSteps: number): number {
  return maximumUnits * (stepsPerUnit * perUnit + 1) + NOISE_STDDEVS * totalStddevInSteps;
}

function isPowerOfTwo(value: number): boolean {
  return value >= 2 ** -64 && value <= 2 ** 64 && 2 ** Math.round(Math.log2(value)) === value;
}

/** The exact sum of squares. Each level is split as 2^16 h + l, so that a block's partial sums are exact in f64. */
function squaredNorm(levels: Int32Array): bigint {
  const block = 1 << 20; // h^2 <= 2^30, h l < 2^31, l^2 < 2^32: times 2^20 all below 2^53
  let total = 0n;
  for (let start = 0; start < levels.length; start += block) {
    const end = Math.min(start + block, levels.length);
    let high = 0;
    let mixed = 0;
    let low = 0;
    for (let i = start; i < end; i++) {
      const size = Math.abs(levels[i]);
      const h = size >>> 16;
      const l = size & 0xffff;
      high += h * h;
      mixed += h * l;
      low += l * l;
    }
    total += (BigInt(high) << 32n) + (BigInt(mixed) << 17n) + BigInt(low);
  }
  return total;
}
