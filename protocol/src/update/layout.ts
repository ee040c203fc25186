/**
 * The order in which an adapter's tensors stand in the one flat vector that is clipped, noised, masked and summed.
 *
 * Order      by module as the manifest lists them; within a module A [r, in] then B [out, r], each row-major; only the factors
 *            that this round trains; then the metrics (`metrics.ts`).
 * Legend     P = trained parameters, d = P + metrics = length of the aggregated vector.
 */

import { metricCount, type MetricTerms } from './metrics.js';

/** Which LoRA factor a round trains. `alternate` swaps it from round to round. */
export type TrainedFactor = 'A' | 'B';

/** One adapted linear layer. `name` is PEFT's, such as `base_model.model.model.layers.0.self_attn.q_proj`. */
export interface AdaptedModule {
  readonly name: string;
  readonly inFeatures: number;
  readonly outFeatures: number;
}

/** Number of values of the trained factor: P. */
export function trainedLength(modules: readonly AdaptedModule[], r: number, trained: TrainedFactor): number {
  let length = 0;
  for (const module of modules) length += r * (trained === 'A' ? module.inFeatures : module.outFeatures);
  return length;
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
