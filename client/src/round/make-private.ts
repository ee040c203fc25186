/**
 * From what was learned to what may be masked: round to integers, then add this participant's share of the round's noise, enough that
 * the honest contributors' shares add up to what the accountant counts.
 */

import {
  addDiscreteGaussian,
  discreteGaussianSampler,
  quantize,
  quantizeReleased,
  usingOnce,
  withoutNoise,
  type ClippedUpdate,
  type DiscreteGaussianSampler,
  type NoisedUpdate,
  type QuantizedUpdate,
  type RandomSource,
  type ReleasedUpdate,
} from '@fedlora/protocol';
import type { VerifiedRound } from './verify-offer.js';

/** Rounds and noises a clipped update; only rounds one that was released by steps which had all of their noise. [d] f64 -> [d] i32 */
export function makePrivate(
  learned: ClippedUpdate | ReleasedUpdate,
  round: VerifiedRound,
  random: RandomSource,
): NoisedUpdate {
  const { stepsPerUnit } = round.manifest.encoding;
  if (!('l2Sensitivity' in learned)) return quantizeReleased(learned, stepsPerUnit);
  const quantized = quantize(learned, stepsPerUnit); // [d] i32 steps
  return usingOnce(quantized.levels, () => addNoiseShare(quantized, round, random));
}

/** Adds the exact discrete Gaussian; nothing for unit `none`, which the owner's policy allowed by name. [d] i32 */
function addNoiseShare(quantized: QuantizedUpdate, round: VerifiedRound, random: RandomSource): NoisedUpdate {
  if (round.manifest.privacy.unit === 'none') return withoutNoise(quantized);
  return addDiscreteGaussian(quantized, samplerOf(round.shareStddev), random);
}

/** The sampler of the last width: every round of a run has the same, and its tables take longer to make than the noise. */
let last: DiscreteGaussianSampler | undefined;

function samplerOf(stddevInSteps: number): DiscreteGaussianSampler {
  if (last?.stddevInSteps !== stddevInSteps) last = discreteGaussianSampler(stddevInSteps);
  return last;
}
