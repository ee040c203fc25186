/**
 * The numbers besides the update that leave an organisation: the sum of losses and the number of records, and only inside the
 * masked vector, under the same noise.
 *
 * Each protected unit (a record, or a whole update) contributes two more coordinates: `weight * min(loss, lossBound) / lossBound`
 * and `weight`. Both are at most `weight`, so a unit's whole vector has norm at most `sqrt(l2Bound^2 + 2 weight^2)`: that is the
 * sensitivity that the noise is calibrated to, and with weight = l2Bound / 10 it costs one per cent of noise.
 */

import { ProtocolError } from '../errors.js';

/** How many coordinates the metrics take: the loss, then the count. */
export const METRIC_COUNT = 2;

export interface MetricTerms {
  /** Length of one unit's metric coordinates, in units of the update. */
  readonly weight: number;
  /** Losses above this are counted as this; nats per answer token. */
  readonly lossBound: number;
}

/**
 * The L2 bound of one unit's whole vector, update and metrics together, in units of the update.
 *
 * Guarantee  an update of norm <= l2Bound with the metrics appended by `withMetrics` has norm <= the result.
 */
export function boundWithMetrics(l2Bound: number, terms: MetricTerms): number {
  return Math.sqrt(l2Bound * l2Bound + METRIC_COUNT * terms.weight * terms.weight);
}

/**
 * The update sum with its metrics appended.
 *
 * Shapes     sum [P], losses [units] -> [P + 2] f64
 * Edge cases a loss that is not finite -> update/not-finite | no units -> both metrics 0 | negative loss -> counted as 0
 * @throws ProtocolError update/not-finite: local training diverged
 */
export function withMetrics(
  sum: Float32Array | Float64Array,
  losses: Iterable<number>,
  terms: MetricTerms,
): Float64Array {
  const values = new Float64Array(sum.length + METRIC_COUNT);
  values.set(sum);
  let lossSum = 0;
  let count = 0;
  for (const loss of losses) {
    if (!Number.isFinite(loss)) throw new ProtocolError('update/not-finite', 'A training loss is not a finite number.');
    lossSum += Math.min(Math.max(loss, 0), terms.lossBound) / terms.lossBound;
    count += 1;
  }
  values[sum.length] = terms.weight * lossSum;
  values[sum.length + 1] = terms.weight * count;
  return values;
}

/** What the coordinator reads from a noisy sum: estimates, with the standard deviation the noise gives them. */
export interface MetricEstimate {
  /** Mean clipped loss, nats per answer token; `undefined` when the noisy count is too small to divide by. */
  readonly meanLoss: number | undefined;
  /** Estimated number of records (or updates) summed. */
  readonly count: number;
}

/**
 * Reads the metrics back from the dequantized noisy sum (not yet divided).
 *
 * Shapes     sum [P + 2] in units of the update
 * Note       post-processing of the noised sum: spends no privacy.
 */
export function readMetrics(sum: Float64Array, terms: MetricTerms): MetricEstimate {
  const lossCoordinate = sum[sum.length - 2];
  const count = sum[sum.length - 1] / terms.weight;
  if (!(count >= 1)) return { meanLoss: undefined, count };
  const mean = ((lossCoordinate / terms.weight) * terms.lossBound) / count;
  return { meanLoss: Math.min(Math.max(mean, 0), terms.lossBound), count };
}
