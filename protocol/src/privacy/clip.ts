/**
 * Bounds what one protected unit can change: the L2 clip.
 *
 * Neighbouring data differ in the presence of one unit (add or remove one): a whole update for unit `client`, one record's
 * vector for unit `record`. The sensitivity that a `ClippedUpdate` carries is for that relation.
 *
 * Source     SPEC §16.2; McMahan et al. 2018, arXiv:1710.06963 (flat clipping); Abadi et al. 2016, arXiv:1607.00133 (per example)
 * Legend     P = number of aggregated values, n = number of units summed, C = `l2Bound`, u = 2^-53
 */

import { ProtocolError } from '../errors.js';
import type { ClippedUpdate, RawUpdate } from '../update/stages.js';

/**
 * What f32 arithmetic in the engine may add to the sensitivity of a sum of clipped per-example vectors, relative to C.
 *
 * The per-example vectors are clipped inside the engine's graph, in f32, and only their sum reaches us. Adding or removing one
 * record then changes the sum by its own vector (at most C in real arithmetic) and by three effects of rounding. The budget is
 * four times 2^-11 = 2^-9; each line is what the engine has to keep, and its self-test measures:
 *
 *   1. The record's own vector. Its f32 norm, summed in blocks of length b, is off by at most (b + P/b) 2^-24 / 2 relative, and
 *      the scaled vector by another 2^-23. With b = 2^10 and a tensor of P = 2^21: 3072 * 2^-25 < 2^-13.           <= 2^-11
 *   2. The order of summation. Let g vectors be summed in f32 before they are widened to f64. The j-th addition rounds a vector
 *      of norm <= j C, so a group is off by <= g^2 / 2 * 2^-24 C, and the n/g groups of both neighbouring sums together by
 *      <= n g 2^-24 C. Kept while n g <= 2^13, for example n = 1024 records in groups of g = 8.                       <= 2^-11
 *   3. The company a record keeps. If kernels choose another tiling or padding for another batch, every other record's vector
 *      moves by some eta C; n of them by n eta C. Zero when the group's shape is fixed; else kept while n eta <= 2^-11,
 *      for example n = 256 and eta = 2^-19, 32 times the f32 unit roundoff.                                           <= 2^-11
 *      eta is a fact about an adapter, which a hostile coordinator chooses: f32 roundings grow with the change alpha/r B A that
 *      it makes to a layer, until they decide about a clipped gradient. On the self-test's model (33 records, removed one at a
 *      time) the others moved by 5e-7 C with adapters of +-0.05 to +-30, all of it line 2, and by 6 C at +-100. So the client
 *      lets records share a call only while alpha/r |B| |A| <= 1024 in every layer (`MAXIMUM_CHANGE_IN_COMPANY`, an
 *      eightieth of what +-30 is there); over it each record is computed alone, which makes its vector a function of that record, and line 3 zero.
 *      Adapters with values over 4 are refused. What is left: that measure is of one layer, and eta was measured on small
 *      models; a base model that amplifies small differences itself, which its owner allowed by digest, is not covered.
 *      The numbers released beside the gradient (`metrics.ts`) move in company, too: the count of norms within the bound by at
 *      most what the norm moves, for its ramp has a slope of 1 at most; losses by an eighth of theirs and less. The self-test
 *      holds norms and losses to the same eta, so that a vector moves by at most sqrt(1 + 1 + 1/64) eta C.
 *   4. Reserve, for what the products of 1 to 3 add (under 2^-20), and for 0.42 of line 3 more by the numbers.         <= 2^-11
 *
 * One part in 512 of sensitivity costs 0.2 % of noise. The sum's own norm is checked against n C (1 + slack) below: a necessary
 * condition only, since a sum does not show its parts.
 */
export const ARITHMETIC_SLACK = 2 ** -9;

/**
 * Relative margin over every rounding of the clip in f64. The compensated sum of squares is off by 2u + O(P u^2), its terms by
 * 3u, the square root, the quotient and the two products by u each: under 10u = 2^-49.7 for P < 2^40.
 */
const ROUNDING_MARGIN = 2 ** -48;

/** Below this a bound is so near the subnormal numbers that the relative error bounds above do not hold. */
const LEAST_BOUND = 2 ** -500;

/**
 * Scales an update so that its L2 norm is at most `l2Bound`; leaves shorter updates unchanged.
 *
 * Shapes     values [P] f32 or f64 -> values [P] f64
 * Units      l2Bound in units of the update
 * Source     McMahan et al. 2018, algorithm 1, FlatClip
 * Guarantee  For finite input the exact norm of the result is <= l2Bound: the factor is rounded down by ROUNDING_MARGIN.
 *            The result is a copy. Its sensitivity for adding or removing the whole update is l2Bound.
 * Edge cases all zeros -> unchanged | empty -> empty | any NaN or infinity -> update/not-finite | l2Bound = 0 -> zeros |
 *            norm over the range of f64 -> clipped like any other | norm within 2^-48 of the bound -> scaled by 1 - 2^-48 |
 *            l2Bound negative, NaN, infinite or in (0, 2^-500) -> privacy/invalid-parameter
 * Secrets    The norm of a single update is private: it is not returned.
 * @throws ProtocolError update/not-finite: our own training diverged
 */
export function clipToL2Norm(update: RawUpdate, l2Bound: number): ClippedUpdate {
  checkBound(l2Bound);
  const source = update.values;
  const values = new Float64Array(source.length);
  const { largest, relativeNorm } = measure(source);

  // An overflow of the product to infinity compares as it should.
  if (largest * relativeNorm * (1 + ROUNDING_MARGIN) <= l2Bound) {
    values.set(source);
  } else {
    // Divided by `largest` first, so that neither a huge nor a subnormal update overflows the factor.
    const factor = (l2Bound / relativeNorm) * (1 - ROUNDING_MARGIN);
    for (let i = 0; i < values.length; i++) values[i] = (source[i] / largest) * factor;
  }
  // Safe: this is the step that makes a clipped update.
  return { values, l2Sensitivity: l2Bound, contributors: 1 } as ClippedUpdate;
}

/**
 * Takes a sum of per-example vectors that the engine's graph has clipped to `l2Bound` each, and states its sensitivity.
 *
 * Shapes     values [P] f32 or f64 -> values [P] f64
 * Units      l2Bound in units of the update; contributors in records
 * Source     Abadi et al. 2016, algorithm 1
 * Guarantee  If the engine clips each vector in real arithmetic and keeps the budget of ARITHMETIC_SLACK, adding or removing one
 *            record changes the result by at most `l2Sensitivity = l2Bound (1 + ARITHMETIC_SLACK)`. What can be checked here is:
 *            all values are finite and the norm is at most contributors * l2Bound * (1 + ARITHMETIC_SLACK).
 * Edge cases contributors = 0 -> only zeros are accepted | any NaN or infinity -> update/not-finite |
 *            sum over the bound -> update/over-bound | contributors not a whole number >= 0 -> privacy/invalid-parameter
 * Secrets    contributors (how many records Poisson sampling drew) is private; it is in no error message.
 * @throws ProtocolError update/not-finite: our own training diverged
 * @throws ProtocolError update/over-bound: the engine did not clip; a bug of ours
 */
export function clippedRecordSum(
  values: Float32Array | Float64Array,
  contributors: number,
  l2Bound: number,
): ClippedUpdate {
  checkBound(l2Bound);
  if (!Number.isSafeInteger(contributors) || contributors < 0) {
    throw new ProtocolError('privacy/invalid-parameter', 'contributors must be a whole number of at least 0.');
  }
  const { largest, relativeNorm } = measure(values);
  const l2Sensitivity = l2Bound * (1 + ARITHMETIC_SLACK);
  if (largest * relativeNorm > contributors * l2Sensitivity) {
    throw new ProtocolError('update/over-bound', 'A sum of clipped vectors is longer than its parts can be.');
  }
  // Safe: this is the step that makes a clipped update of the record unit.
  return { values: Float64Array.from(values), l2Sensitivity, contributors } as ClippedUpdate;
}

function checkBound(l2Bound: number): void {
  if (l2Bound === 0 || (l2Bound >= LEAST_BOUND && Number.isFinite(l2Bound))) return;
  throw new ProtocolError('privacy/invalid-parameter', `l2Bound must be 0 or a finite number of at least 2^-500.`);
}

/**
 * The norm of `values` as the product `largest * relativeNorm`, which itself may be over the range of f64.
 *
 * Guarantee  relativeNorm is within 4u of exact, independent of P: a compensated (Neumaier) sum of squares in index order, each
 *            value divided by the largest first. (0, 1) for zeros.
 * @throws ProtocolError update/not-finite
 */
function measure(values: Float32Array | Float64Array): { largest: number; relativeNorm: number } {
  let largest = 0;
  for (let i = 0; i < values.length; i++) {
    const size = Math.abs(values[i]);
    if (!(size < Infinity)) throw new ProtocolError('update/not-finite');
    if (size > largest) largest = size;
  }
  if (largest === 0) return { largest: 0, relativeNorm: 1 };
  let sum = 0;
  let lost = 0;
  for (let i = 0; i < values.length; i++) {
    const ratio = values[i] / largest;
    const square = ratio * ratio;
    const next = sum + square;
    lost += sum >= square ? sum - next + square : square - next + sum;
    sum = next;
  }
  return { largest, relativeNorm: Math.sqrt(sum + lost) };
}
