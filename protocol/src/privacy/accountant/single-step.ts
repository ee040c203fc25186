/**
 * Exact delta of one step, in closed form: what the accountants are compared with, and tight when there is only one step.
 *
 * Source     Balle and Wang 2018, arXiv:1805.06530, theorem 8 (Gaussian); subsampling by the identity in the code
 * Legend     Phi = distribution function of N(0, 1)
 */

import { checkSteps, invalid } from './events.js';
import { normalBelow, scaledNormalAbove } from './special.js';

/**
 * The least delta at which one Gaussian step is (epsilon, delta)-private: Phi(1/(2z) - epsilon z) - e^epsilon Phi(-1/(2z) - epsilon z).
 *
 * Edge cases z = 0 -> 1 | z = Infinity -> 0
 */
export function gaussianDelta(noiseMultiplier: number, epsilon: number): number {
  checkSteps([{ noiseMultiplier, samplingRate: 1, steps: 1 }]);
  if (!(epsilon >= 0)) throw invalid('epsilon must be at least 0.');
  if (noiseMultiplier === 0) return 1;
  if (noiseMultiplier === Infinity || epsilon === Infinity) return 0;
  const half = 1 / (2 * noiseMultiplier);
  const shift = epsilon * noiseMultiplier;
  // epsilon = ((half + shift)^2 - (half - shift)^2) / 2, so e^epsilon Phi(-half - shift) needs no huge and no tiny factor.
  const near = half - shift;
  return Math.max(0, normalBelow(near) - Math.exp((-near * near) / 2) * scaledNormalAbove(half + shift));
}

/**
 * The same for one Poisson-subsampled step, adding or removing one unit ("remove" is never the smaller).
 *
 * With P = (1-q) Q + q P1: sup_S P(S) - e^eps Q(S) = sup_S q P1(S) - (e^eps - 1 + q) Q(S) = q delta_{P1,Q}(log(1 + (e^eps - 1)/q)).
 *
 * Edge cases q = 0 -> 0 | q = 1 -> `gaussianDelta`
 */
export function subsampledGaussianDelta(samplingRate: number, noiseMultiplier: number, epsilon: number): number {
  checkSteps([{ noiseMultiplier, samplingRate, steps: 1 }]);
  if (samplingRate === 0) return 0;
  return samplingRate * gaussianDelta(noiseMultiplier, Math.log1p(Math.expm1(epsilon) / samplingRate));
}
