/**
 * A lower bound of epsilon from one training run: how often somebody who looks at what was released guesses right which canaries
 * were trained on. It cannot show that a promise holds; it can show that one does not.
 *
 * Source     Steinke, Nasr, Jagielski 2023, "Privacy Auditing with One (1) Training Run", arXiv:2305.08846, corollary 5.4 and the
 *            program of appendix D
 * Legend     m canaries, each trained on or not by a fair coin of its own; r of them guessed, the others abstained from; v of the
 *            guesses right. Whoever guesses sees what was released and no coin.
 *
 * What it rests on: adding or removing any one canary changes one unit of what is promised, the coins are independent and fair, and r
 * was chosen without looking at them.
 */

import type { PrivacyUnit } from '../manifest/manifest.js';
import { checkDelta, invalid } from './accountant/events.js';
import { logChoose } from './accountant/special.js';

/** What was guessed. */
export interface OneRunGuesses {
  /** m */
  readonly canaries: number;
  /** r, at most m. */
  readonly guesses: number;
  /** v, at most r. */
  readonly right: number;
}

/** Most canaries of an audit: the bound is summed over them. */
export const MOST_CANARIES = 100_000;

/** An honest run passes an audit at least this often, whatever is guessed. */
export const AUDIT_CONFIDENCE = 0.95;

/** Of the bound; what is not resolved is left out of it. */
const PRECISION = 1e-6;

/**
 * How likely v right guesses or more are, at most, under an (epsilon, delta) promise.
 *
 *   p = beta + 2 m delta alpha            q = 1 / (1 + exp(-epsilon))
 *   beta  = P[Binomial(r, q) >= v]
 *   alpha = max over i = 1 .. v of P[v > Binomial(r, q) >= v - i] / i
 *
 * @throws ProtocolError privacy/invalid-parameter
 */
export function guessingChance(found: OneRunGuesses, epsilon: number, delta: number): number {
  checkGuesses(found);
  checkDelta(delta);
  if (!(epsilon >= 0)) throw invalid('epsilon must be at least 0.');
  const { canaries, guesses, right } = found;
  // Both logarithms keep their digits for large epsilon, where q rounds to 1.
  const logWrong = -epsilon - Math.log1p(Math.exp(-epsilon));
  const logRight = -Math.log1p(Math.exp(-epsilon));
  const chanceOf = (k: number): number =>
    Math.exp(logChoose(guesses, k) + k * logRight + (guesses - k === 0 ? 0 : (guesses - k) * logWrong));
  let beta = 0;
  for (let k = guesses; k >= right; k--) beta += chanceOf(k);
  if (delta === 0) return Math.min(1, beta);
  let alpha = 0;
  let sum = 0;
  for (let i = 1; i <= right; i++) {
    sum += chanceOf(right - i);
    alpha = Math.max(alpha, sum / i);
  }
  return Math.min(1, beta + 2 * canaries * delta * alpha);
}

/**
 * The largest epsilon that these guesses contradict: what was released is not (epsilon, delta)-private for any smaller one.
 *
 * Guarantee  says too much with a probability of at most 1 - confidence, whatever the true epsilon is
 * Edge cases no better than chance, or no guess at all -> 0 | all r right, delta = 0 -> ln(p / (1 - p)) with p = (1 - confidence)^(1/r),
 *            the Clopper-Pearson bound of a rate | delta so large that 2 m delta explains the guesses -> 0
 * @throws ProtocolError privacy/invalid-parameter
 */
export function epsilonLowerBound(found: OneRunGuesses, delta: number, confidence = AUDIT_CONFIDENCE): number {
  if (!(confidence > 0 && confidence < 1)) throw invalid('The confidence must be between 0 and 1.');
  const isContradicted = (epsilon: number): boolean => guessingChance(found, epsilon, delta) < 1 - confidence;
  if (!isContradicted(0)) return 0;
  let [low, high] = [0, 1];
  while (isContradicted(high)) [low, high] = [high, 2 * high];
  while (high - low > PRECISION) {
    const middle = (low + high) / 2;
    if (isContradicted(middle)) low = middle;
    else high = middle;
  }
  return low;
}

/** A promise about one record, as an audit with canaries tests it. */
export interface RecordPromise {
  readonly epsilon: number;
  readonly delta: number;
}

/**
 * What a promise about a unit says of one record.
 *
 * Source     Dwork and Roth 2014, theorem 2.2 and the remark on (epsilon, delta): groups of two
 * Edge cases `none`, or no epsilon -> `undefined`: there is nothing that an audit could contradict | `client` -> with another record the
 *            update is another one: one is removed and one is added, which costs 2 epsilon and (1 + exp(epsilon)) delta
 */
export function recordPromise(
  unit: PrivacyUnit,
  epsilon: number | null,
  delta: number | null,
): RecordPromise | undefined {
  if (unit === 'none' || epsilon === null || delta === null) return undefined;
  if (unit !== 'client') return { epsilon, delta };
  const ofTwo = (1 + Math.exp(epsilon)) * delta;
  return ofTwo < 1 ? { epsilon: 2 * epsilon, delta: ofTwo } : undefined;
}

function checkGuesses({ canaries, guesses, right }: OneRunGuesses): void {
  const isCount = (value: number, most: number): boolean => Number.isInteger(value) && value >= 0 && value <= most;
  if (!isCount(canaries, MOST_CANARIES) || !isCount(guesses, canaries) || !isCount(right, guesses))
    throw invalid(
      `${right} right of ${guesses} guesses about ${canaries} canaries is impossible, or more than ${MOST_CANARIES}.`,
    );
}
