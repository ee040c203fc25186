/**
 * The accountant the other way round: how much noise for a promise, how many rounds for a budget.
 *
 * Both search by bisection between a side that keeps the promise and one that does not, and return the side that does.
 */

import { ProtocolError } from '../../errors.js';
import { type AccountedSteps, checkDelta, invalid } from './events.js';
import { epsilonFor } from './rdp.js';

/** Any accountant: epsilon that events cost at a delta. */
export type EpsilonOf = (events: readonly AccountedSteps[], delta: number) => number;

const byRdp: EpsilonOf = (events, delta) => epsilonFor(events, delta).epsilon;

/** Noise is searched for in this range. */
const LEAST_NOISE = 2 ** -7;
const MOST_NOISE = 2 ** 20;

/** The promise to keep. */
export interface PrivacyTarget {
  readonly epsilon: number;
  readonly delta: number;
  readonly samplingRate: number;
  readonly steps: number;
}

/**
 * The least noise multiplier with which all steps together stay within `epsilon` at `delta`.
 *
 * Guarantee  the accountant gives at most `epsilon` for the result; it is at most `precision` (relative) over the least such
 * Edge cases no steps or no sampling -> 0 | epsilon so large that the least noise searched for is enough -> that, 2^-7
 * @throws ProtocolError privacy/not-reachable: even 2^20 is too little
 */
export function noiseMultiplierFor(target: PrivacyTarget, precision = 1e-6, epsilonOf: EpsilonOf = byRdp): number {
  const { epsilon, delta, samplingRate, steps } = target;
  checkDelta(delta);
  if (!(epsilon > 0)) throw invalid('epsilon must be over 0.');
  if (!(precision > 0)) throw invalid('precision must be over 0.');
  const keeps = (noiseMultiplier: number): boolean =>
    epsilonOf([{ noiseMultiplier, samplingRate, steps }], delta) <= epsilon;
  if (keeps(0)) return 0;

  // Doubling from 1 finds the octave, so that the costly small multipliers are tried only when they may be the answer.
  let enough = 1;
  while (!keeps(enough)) {
    enough *= 2;
    if (enough > MOST_NOISE) throw new ProtocolError('privacy/not-reachable');
  }
  let tooLittle = enough / 2;
  while (tooLittle >= LEAST_NOISE && keeps(tooLittle)) {
    enough = tooLittle;
    tooLittle /= 2;
  }
  if (enough === LEAST_NOISE) return LEAST_NOISE;
  while (enough - tooLittle > precision * enough) {
    const middle = (enough + tooLittle) / 2;
    if (keeps(middle)) enough = middle;
    else tooLittle = middle;
  }
  return enough;
}

/** Most steps that are ever counted; more is as good as without end. */
const MOST_STEPS = 2 ** 40;

/** What is left to spend, and on what. */
export interface RemainingBudget {
  readonly epsilon: number;
  readonly delta: number;
  /** What the data have already paid for, in any runs. */
  readonly spent: readonly AccountedSteps[];
  readonly noiseMultiplier: number;
  readonly samplingRate: number;
}

/**
 * How many more steps of one kind fit a budget, after what was spent already.
 *
 * Guarantee  the accountant gives at most `epsilon` for the result, and more than `epsilon` for one step more
 * Edge cases already over the budget, or no noise -> 0 | steps that cost nothing -> Infinity
 */
export function stepsWithinBudget(budget: RemainingBudget, epsilonOf: EpsilonOf = byRdp): number {
  const { epsilon, delta, spent, noiseMultiplier, samplingRate } = budget;
  checkDelta(delta);
  if (!(epsilon >= 0)) throw invalid('epsilon must be at least 0.');
  const fits = (steps: number): boolean =>
    epsilonOf([...spent, { noiseMultiplier, samplingRate, steps }], delta) <= epsilon;
  if (!fits(1)) return 0;
  let most = 1;
  while (fits(most * 2)) {
    most *= 2;
    if (most >= MOST_STEPS) return Infinity;
  }
  let tooMany = most * 2;
  while (tooMany - most > 1) {
    const middle = Math.floor((most + tooMany) / 2);
    if (fits(middle)) most = middle;
    else tooMany = middle;
  }
  return most;
}
