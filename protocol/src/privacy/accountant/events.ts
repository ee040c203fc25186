/**
 * What the accountants are told: how often which mechanism ran.
 *
 * Neighbouring data differ in the presence of one protected unit (add or remove one).
 */

import { ProtocolError } from '../../errors.js';

/** A number of equal steps. Each takes every unit with the same probability, independently (Poisson), and adds Gaussian noise. */
export interface AccountedSteps {
  /** z = sigma / L2 sensitivity of the sum. 0 is no noise. */
  readonly noiseMultiplier: number;
  /** q: probability with which a unit takes part in a step. 1 is full participation. Other sampling must be accounted with q = 1. */
  readonly samplingRate: number;
  readonly steps: number;
}

/** @throws ProtocolError privacy/invalid-parameter: a field out of its range */
export function checkSteps(events: readonly AccountedSteps[]): void {
  for (const { noiseMultiplier, samplingRate, steps } of events) {
    if (!(noiseMultiplier >= 0)) throw invalid('noiseMultiplier must be at least 0.');
    if (!(samplingRate >= 0 && samplingRate <= 1)) throw invalid('samplingRate must be from 0 to 1.');
    if (!(Number.isSafeInteger(steps) && steps >= 0)) throw invalid('steps must be a whole number of at least 0.');
  }
}

/** Events that cost something: at least one step, some sampling, and not infinitely much noise. */
export function costly(events: readonly AccountedSteps[]): AccountedSteps[] {
  return events.filter((event) => event.steps > 0 && event.samplingRate > 0 && event.noiseMultiplier < Infinity);
}

/** @throws ProtocolError privacy/invalid-parameter: unless 0 <= delta < 1 */
export function checkDelta(delta: number): void {
  if (!(delta >= 0 && delta < 1)) throw invalid('delta must be at least 0 and below 1.');
}

export function invalid(message: string): ProtocolError {
  return new ProtocolError('privacy/invalid-parameter', message);
}
