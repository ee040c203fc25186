/**
 * The order in which an adapter's tensors stand in the one flat vector that is clipped, noised, masked and summed.
 *
 * Source     SPEC §12.1
 * Order      by module as the manifest lists them; within a module A [r, in] then B [out, r], or R [r, r], each row-major; only
 *            the factors that this round trains; then the metrics (`metrics.ts`).
 * Legend     P = trained parameters, d = P + metrics = length of the aggregated vector.
 */

import { metricCount, type MetricTerms } from './metrics.js';

/**
 * Which factors of a layer's change s B A, or s B R A, are trained: A [r, in], B [out, r], both of them, or R [r, r] between
 * frozen A and B. `alternate` swaps A and B from round to round.
 */
export type TrainedFactor = 'A' | 'B' | 'both' | 'R';

/** One adapted linear layer. `name` is PEFT's, such as `base_model.model.model.layers.0.self_attn.q_proj`. */
export interface AdaptedModule {
  readonly name: string;
  readonly inFeatures: number;
  readonly outFeatures: number;
}

/** Number of values of the trained factors: P. */
export function trainedLength(modules: readonly AdaptedModule[], r: number, trained: TrainedFactor): number {
  let length = 0;
  for (const module of modules) length += r * trainedWidth(module, r, trained);
  return length;
}

function trainedWidth({ inFeatures, outFeatures }: AdaptedModule, r: number, trained: TrainedFactor): number {
  switch (trained) {
    case 'A':
      return inFeatures;
    case 'B':
      return outFeatures;
    case 'both':
      return inFeatures + outFeatures;
    case 'R':
      return r;
    default:
      return trained satisfies never;
  }
}

/** Length of the vector that one round aggregates: d = P + metrics. */
export function aggregatedLength(
  modules: readonly AdaptedModule[],
  r: number,
  trained: TrainedFactor,
  metrics: MetricTerms,
): number {
  return trainedLength(modules, r, trained) + metricCount(metrics);
}
