/**
 * The local steps of a round of unit `record-local`: descent along sums that each have all of their noise.
 *
 * This file holds the only way from private steps to what is masked, and nothing enters it but their levels and public values (the
 * adapter that the round starts from, the terms). So whatever leaves it is post-processing of the steps, and costs no privacy beyond
 * theirs; and whoever trains on the parameters of a step has them from the steps before it, which is what composition allows.
 *
 * Source     SPEC §16.6, §17.5; Abadi et al. 2016, arXiv:1607.00133, algorithm 1; post-processing and adaptive composition: Dwork and Roth
 *            2014, proposition 2.1 and theorem 3.16
 * Legend     P = trained parameters, d = P + metrics
 */

import { dequantize } from '../encoding/quantize.js';
import { ProtocolError } from '../errors.js';
import { clipToL2Norm } from '../privacy/clip.js';
import { difference, toRawUpdate } from './raw.js';
import type { PrivateStep, ReleasedUpdate } from './stages.js';

/** The public terms of a round's private steps. */
export interface PrivateStepsTerms {
  /** Integer steps per unit in a local step's levels. */
  readonly stepsPerUnit: number;
  /** Public expected number of records that a step trains on: what its sum is divided by. */
  readonly expectedRecords: number;
  /** Longest difference, and longest metrics, of a round: U. */
  readonly updateBound: number;
  /** What the metrics, summed over the steps, are multiplied by so that they are of the size of the difference. */
  readonly metricScale: number;
}

/** Moves parameters [P] against a noised mean gradient [P], in place. */
export type Descent = (parameters: Float32Array, gradient: Float64Array) => void;

export class PrivateSteps {
  readonly #start: Float32Array;
  readonly #parameters: Float32Array;
  readonly #metrics: Float64Array;
  readonly #terms: PrivateStepsTerms;

  /** @param metricCount values of a step's vector that are not parameters: they stand last */
  constructor(start: Float32Array, metricCount: number, terms: PrivateStepsTerms) {
    this.#terms = terms;
    this.#start = start.slice();
    this.#parameters = start.slice();
    this.#metrics = new Float64Array(metricCount);
  }

  /** A copy of where the steps have come to. [P] f32 */
  parameters(): Float32Array {
    return this.#parameters.slice();
  }

  /**
   * Descends along a step's noised sum over the public expected count, and adds its noised metrics to those of the steps before.
   *
   * Shapes     step.levels [d] i32
   * @throws ProtocolError update/wrong-length
   */
  take(step: PrivateStep, descend: Descent): void {
    const { stepsPerUnit, expectedRecords } = this.#terms;
    const P = this.#parameters.length;
    if (step.levels.length !== P + this.#metrics.length) throw new ProtocolError('update/wrong-length');
    const sum = dequantize(step, stepsPerUnit); // [d]
    for (let i = 0; i < this.#metrics.length; i++) this.#metrics[i] += sum[P + i];
    descend(
      this.#parameters,
      sum.subarray(0, P).map((value) => value / expectedRecords),
    );
    sum.fill(0);
  }

  /**
   * The difference that the steps made and their metrics, each of norm U at most.
   *
   * Shapes     -> values [d] f64
   * Guarantee  the norm is at most `l2Norm` = sqrt(2) U. Metrics that were scaled down keep their ratios, which is what is read
   *            from them.
   * Edge cases steps that ran out of f32 -> the zero difference, and the metrics as they are
   */
  release(): ReleasedUpdate {
    const { updateBound, metricScale } = this.#terms;
    const isFinite = this.#parameters.every(Number.isFinite);
    const moved = clipToL2Norm(difference(isFinite ? this.#parameters : this.#start, this.#start), updateBound);
    const scaled = toRawUpdate(this.#metrics.map((value) => value * metricScale));
    const metrics = clipToL2Norm(scaled, updateBound);
    const values = new Float64Array(moved.values.length + metrics.values.length); // [d]
    values.set(moved.values);
    values.set(metrics.values, moved.values.length);
    for (const used of [moved, scaled, metrics]) used.values.fill(0);
    // Safe: everything above was made from private steps and public values.
    return { values, l2Norm: releasedNorm(updateBound) } as ReleasedUpdate;
  }

  /** Forgets where the steps came to: they protect records, but an organisation shows only its part of a sum. */
  wipe(): void {
    for (const values of [this.#parameters, this.#metrics]) values.fill(0);
  }
}

/** Longest vector that a round's private steps are released as: difference and metrics, each of norm U at most. */
export function releasedNorm(updateBound: number): number {
  return Math.SQRT2 * updateBound;
}
