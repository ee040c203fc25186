/** This participant's share of the round's noise: enough that the honest contributors' shares add up to what the accountant counts. */

import {
  addDiscreteGaussian,
  discreteGaussianSampler,
  withoutNoise,
  type DiscreteGaussianSampler,
  type NoisedUpdate,
  type QuantizedUpdate,
  type RandomSource,
} from '@fedlora/protocol';
import type { VerifiedRound } from './verify-offer.js';

/** Adds the exact discrete Gaussian; nothing for unit `none`, which the owner's policy allowed by name. [d] i32 */
export function addNoiseShare(quantized: QuantizedUpdate, round: VerifiedRound, random: RandomSource): NoisedUpdate {
  if (round.manifest.privacy.unit === 'none') return withoutNoise(quantized);
  return addDiscreteGaussian(quantized, samplerOf(round.shareStddev), random);
}

/** The sampler of the last width: every round of a run has the same, and its tables take longer to make than the noise. */
let last: DiscreteGaussianSampler | undefined;

function samplerOf(stddevInSteps: number): DiscreteGaussianSampler {
  if (last?.stddevInSteps !== stddevInSteps) last = discreteGaussianSampler(stddevInSteps);
  return last;
}
