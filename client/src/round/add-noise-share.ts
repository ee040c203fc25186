/** This participant's share of the round's noise: enough that the honest contributors' shares add up to what the accountant counts. */

import { addDiscreteGaussian, withoutNoise, type NoisedUpdate, type QuantizedUpdate, type RandomSource } from '@fedlora/protocol';
import type { VerifiedRound } from './verify-offer.js';

/** Adds the exact discrete Gaussian; nothing for unit `none`, which the owner's policy allowed by name. [d] i32 */
export function addNoiseShare(quantized: QuantizedUpdate, round: VerifiedRound, random: RandomSource): NoisedUpdate {
  if (round.manifest.privacy.unit === 'none') return withoutNoise(quantized);
  return addDiscreteGaussian(quantized, round.shareStddev, random);
}
