/** What a noised sum told, beside the next adapter. Everything here is read from that sum: it spends no privacy of its own. */

import { suggestedBound, type Manifest, type MetricEstimate } from '@fedlora/protocol';

/** `null`: the terms do not ask for it, or the noise leaves nothing to read. */
export interface RoundResult {
  /** Mean training loss, nats per answer token. */
  readonly meanLoss: number | null;
  /** Epsilon of the run after the round. */
  readonly epsilon: number | null;
  /** Expected norm of the noise in the sum over the norm of the sum, both of trained values. */
  readonly noiseToSignal: number | null;
  /** Estimated fraction of gradients, or updates, that the clip left as they were. */
  readonly fractionWithin: number | null;
  /** The clip that this round suggests for the next run. */
  readonly suggestedL2Bound: number | null;
  /** Of the version that the round started from, on held-out rows: mean loss in nats per answer token. */
  readonly heldOutLoss: number | null;
  /** The same: fraction of answers that are exactly right. */
  readonly heldOutAccuracy: number | null;
}

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
