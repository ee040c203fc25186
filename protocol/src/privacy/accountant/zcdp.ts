/**
 * Zero-concentrated differential privacy: the accountant for full participation, where one number says all.
 *
 * Source     Bun and Steinke 2016, arXiv:1605.02065 (definition, composition);
 *            Canonne, Kamath, Steinke 2020, arXiv:2004.00010, proposition 12 and corollary 13 (conversion)
 * Legend     rho: RDP of order alpha is at most rho alpha, for every alpha
 */

import { type AccountedSteps, checkDelta, checkSteps, costly, invalid } from './events.js';

/** rho of one (discrete) Gaussian step: 1 / (2 z^2). */
export function gaussianZcdp(noiseMultiplier: number): number {
  return 1 / (2 * noiseMultiplier * noiseMultiplier);
}

/**
 * Total rho of steps with full participation.
 * @throws ProtocolError privacy/invalid-parameter: an event is subsampled; zCDP has no amplification, use `epsilonFor`
 */
export function composeZcdp(events: readonly AccountedSteps[]): number {
  checkSteps(events);
  let rho = 0;
  for (const { noiseMultiplier, samplingRate, steps } of costly(events)) {
    if (samplingRate !== 1) throw invalid('zCDP accounts for full participation only.');
    rho += steps * gaussianZcdp(noiseMultiplier);
  }
  return rho;
}

/**
 * Epsilon of rho-zCDP at `delta`: the conversion of RDP at the best real order.
 *
 * Guarantee  an upper bound for whichever order the search ends at; within a relative 1e-10 of the best one
 * Edge cases rho = 0 -> 0 | rho = Infinity or delta = 0 -> Infinity
 */
export function zcdpToEpsilon(rho: number, delta: number): number {
  checkDelta(delta);
  if (!(rho >= 0)) throw invalid('rho must be at least 0.');
  if (rho === 0) return 0;
  if (rho === Infinity || delta === 0) return Infinity;
  // By s = log(alpha - 1): log(1 - 1/alpha) = s - log(alpha).
  const epsilonAt = (s: number): number => {
    const alpha = 1 + Math.exp(s);
    return rho * alpha + (s - Math.log(alpha)) - Math.log(delta * alpha) / Math.exp(s);
  };
  // The least of a grid brackets the minimum; golden section finishes.
  const spacing = 0.25;
  let start = -20;
  for (let s = -20; s <= 60; s += spacing) if (epsilonAt(s) < epsilonAt(start)) start = s;
  const ratio = (Math.sqrt(5) - 1) / 2;
  let [low, high] = [start - spacing, start + spacing];
  for (let i = 0; i < 60; i++) {
    const left = high - ratio * (high - low);
    const right = low + ratio * (high - low);
    if (epsilonAt(left) <= epsilonAt(right)) high = right;
    else low = left;
  }
  return Math.max(0, epsilonAt((low + high) / 2)) * (1 + 1e-12);
}
