/** What a noised sum told, beside the next adapter. Everything here is read from that sum: it spends no privacy of its own. */

import { suggestedBound, type Manifest, type MetricEstimate } from '@fedlora/protocol';
import type { RoundView } from '@fedlora/shared';

/** `null`: the terms do not ask for it, or the noise leaves nothing to read. */
export type RoundResult = Pick<
  RoundView,
  'meanLoss' | 'epsilon' | 'noiseToSignal' | 'fractionWithin' | 'suggestedL2Bound' | 'heldOutLoss' | 'heldOutAccuracy'
>;

export const NO_RESULT: RoundResult = {
  meanLoss: null,
  epsilon: null,
  noiseToSignal: null,
  fractionWithin: null,
  suggestedL2Bound: null,
  heldOutLoss: null,
  heldOutAccuracy: null,
};

export function roundResult(
  { metrics: { clipping }, privacy }: Manifest,
  { meanLoss, fractionWithin, heldOut }: MetricEstimate,
  { epsilon, noiseToSignal }: Pick<RoundResult, 'epsilon' | 'noiseToSignal'>,
): RoundResult {
  return {
    meanLoss: meanLoss ?? null,
    epsilon,
    noiseToSignal,
    fractionWithin: fractionWithin ?? null,
    suggestedL2Bound:
      clipping === undefined || fractionWithin === undefined
        ? null
        : suggestedBound(privacy.l2Bound, fractionWithin, clipping),
    heldOutLoss: heldOut?.meanLoss ?? null,
    heldOutAccuracy: heldOut?.accuracy ?? null,
  };
}
