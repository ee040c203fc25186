/**
 * The sum of a sample of records, each clipped by the engine before it was added, and the bound on what one of them can change in it.
 *
 * Legend     P = trained parameters, d = P + metrics
 */

import {
  ARITHMETIC_SLACK,
  clippedRecordSum,
  measuredUnit,
  unitBound,
  usingOnce,
  withMetrics,
  type ClippedUpdate,
  type LocalRecordSteps,
  type Manifest,
  type RandomSource,
  type RecordStep,
} from '@fedlora/protocol';
import { FedloraError, hasCode, plainLora } from '@fedlora/shared';
import { toBatches, type IndexedBatch } from '../data/batches.js';
import { poissonSample } from '../data/poisson.js';
import { trainedParameterCount, type Engine, type GradientSum, type TrainedFactor } from '../engine/engine.js';
import { SUMMED_IN_F32 } from '../engine/onnx/clip.js';
import type { Measured } from './measure.js';
import { norm } from './norm.js';
import type { RoundExample } from './round-example.js';
import type { Scratch } from './scratch.js';

/** Most examples in one call of the engine, which cuts them to what its memory takes; between calls a round can be left. */
const EXAMPLES_PER_CALL = 64;

/** Line 2 of ARITHMETIC_SLACK's budget, 2^-11 of the bound C, in units of one f32 rounding, 2^-24 C. */
const F32_ROUNDINGS = 2 ** 13;

/** Records up to which line 3 of ARITHMETIC_SLACK's budget holds with the eta <= 2^-19 that the engine's self-test demands. */
const RECORDS_IN_COMPANY = 2 ** 8;

/**
 * Roundings to f32, in units of 2^-24 C for each record, by which two neighbouring sums of records may differ.
 *
 * The engine adds clipped vectors in f32 in groups of at most g = SUMMED_IN_F32, the groups in f64, and rounds the sum of a call to
 * f32 once; here calls are added in f64, whose roundings do not count.
 *   In a group         partial sum j has a norm <= j C and is rounded once, for j = 2 to g: g (g + 1) / 2 - 1 for its g records.
 *   Result of a call   k records have a sum of norm <= k C, rounded once: 1 for each record, whatever k is. The sum of a single
 *                      group is in f32 already. If the engine cuts k <= g records into two groups, this rounding costs
 *                      g1 + g2 but the groups have g1 g2 + 1 fewer: (g1 - 1) (g2 - 1) >= 0 fewer in all.
 *   Both count twice, since each of the two sums may err. For g = 8: 2 (35 / 8 + 1) = 10.75, so that 762 records fit the budget.
 */
function f32Roundings(examplesPerCall: number): number {
  const g = Math.min(examplesPerCall, SUMMED_IN_F32);
  return g + 1 - 2 / g + (examplesPerCall > SUMMED_IN_F32 ? 2 : 0);
}

/**
 * Examples in one call of the engine, so that a round of `maximumRecords` keeps its budget of roundings.
 *
 * Edge cases over 762 records -> 8 and fewer, which is slow | over 4096 -> 1: f64 adds all
 */
export function examplesPerCall(maximumRecords: number): number {
  let count = EXAMPLES_PER_CALL;
  while (maximumRecords * f32Roundings(count) > F32_ROUNDINGS) count -= 1; // one example has no roundings
  return count;
}

/**
 * Largest change of a layer, in the measure of `largestChange`, with which records may share a call of the engine; over it, each
 * record has a call of its own.
 *
 * How far a record's gradient moves in other company (eta in line 3 of ARITHMETIC_SLACK's budget) grows with the adapter, which the
 * coordinator chooses: on the self-test's model an adapter of +-30 (a change of 86,000)
 * moved nothing, one of +-100 moved the sum by 6 C; the demo's trained adapter has a change of 55. A record alone
 * is a call that no other record can change, whatever the adapter is. The choice depends on the adapter only, which everyone knows.
 */
export const MAXIMUM_CHANGE_IN_COMPANY = 1024;

/** The largest upper bound on the norm of a layer's change, |alpha/r B A| <= alpha/r |B| |A| (Frobenius); NaN stays NaN. */
export function largestChange(engine: Pick<Engine, 'adapter' | 'lora'>): number {
  const { r, lora_alpha: alpha, use_rslora: isRootScaled } = engine.lora;
  const scale = alpha / (isRootScaled ? Math.sqrt(r) : r);
  let largest = 0;
  for (const { A, B } of plainLora(engine.adapter(), r).modules) largest = Math.max(largest, scale * norm(A) * norm(B));
  return largest;
}

/**
 * Whether a round needs each example's arithmetic to be the same in any company (line 3 of ARITHMETIC_SLACK's budget).
 *
 * With several threads within an operation, kernels may share out the work by the batch's shape, so that an example's gradient
 * moves by eta C with its neighbours. The self-test bounds eta by 2^-19, enough for 256 records. Beyond, the engine is to run
 * operations on one thread each, where eta was measured to be 0. Small models, whose weights are merged, always do.
 */
export function needsIndependentExamples({ privacy, training }: Pick<Manifest, 'privacy' | 'training'>): boolean {
  return privacy.unit !== 'none' && training.kind !== 'local-steps' && training.maximumRecords > RECORDS_IN_COMPANY;
}

/**
 * Which records take part in a step: indices, ascending.
 *
 * @throws FedloraError round/too-many-records: a chance below 2^-60, see `checkDatasetSize`
 */
export function drawRecords(
  count: number,
  { samplingRate, maximumRecords }: RecordStep | LocalRecordSteps,
  random: RandomSource,
): readonly number[] {
  const sample = poissonSample(count, samplingRate, random);
  if (sample.length > maximumRecords) throw new FedloraError('round/too-many-records');
  return sample;
}

/** What a sum of records is made from. */
export interface RecordSumTask {
  readonly engine: Engine;
  readonly examples: readonly RoundExample[];
  /** Held-out ones are not trained on; they count in the bound on the sum. */
  readonly sample: readonly number[];
  /** What was measured on the held-out ones. Needed with `metrics.evaluation`. */
  readonly heldOut: Iterable<Measured> | undefined;
  readonly manifest: Manifest;
  readonly trained: TrainedFactor;
  /** Tokens, padding included, in one call of the engine. */
  readonly tokensPerBatch: number;
}

/**
 * The sum of the sampled records' clipped gradients, with its metrics. [d] f64
 *
 * Guarantee  adding or removing one record changes the result by at most `unitBound`: it is sampled once, stands in one batch, its
 *            gradient is clipped to l2Bound and its metrics are bounded by their weight. On which side it is follows from itself.
 *            Rows never decide whether it succeeds: a record whose loss or gradient is not finite counts with a zero gradient
 *            and the largest loss, which is within the same bound.
 * Secrets    which records were sampled, how many, and their losses are in no log and no message; the caller wipes `scratch`.
 */
export async function recordSum(task: RecordSumTask, signal: AbortSignal, scratch: Scratch): Promise<ClippedUpdate> {
  const { engine, examples, sample, heldOut, manifest, trained, tokensPerBatch } = task;
  const { training, privacy, metrics } = manifest;
  if (training.kind === 'local-steps') throw new FedloraError('internal/unexpected');
  const { l2Bound } = privacy;
  const sum = scratch.keep(new Float64Array(trainedParameterCount(engine.modules, engine.lora.r, trained))); // [P]
  const losses = scratch.keep<number[]>([]);
  const norms = scratch.keep<number[]>([]);
  /** Adds a batch. `false`, and nothing added, where the engine did not give clipped gradients and losses. */
  const add = async (batch: IndexedBatch): Promise<boolean> => {
    signal.throwIfAborted();
    const gradients = await gradientsOrNone(engine, batch, { trained, l2Bound });
    if (gradients === undefined) return false;
    usingOnce(gradients.clippedSum, (values) => addInto(sum, values));
    usingOnce(gradients.losses, (values) => losses.push(...values));
    usingOnce(gradients.norms, (values) => norms.push(...values));
    return true;
  };
  const limits = { maximumTokens: tokensPerBatch, maximumLength: engine.maximumLength };
  const inCompany = privacy.unit === 'none' || largestChange(engine) <= MAXIMUM_CHANGE_IN_COMPANY;
  const maximumExamples = inCompany ? examplesPerCall(training.maximumRecords) : 1;
  const trainedOn = sample.filter((index) => !examples[index].isHeldOut);
  for (const batch of toBatches(examples, trainedOn, { ...limits, maximumExamples })) {
    if (await add(batch)) continue;
    for (const alone of toBatches(examples, batch.indices, { ...limits, maximumExamples: 1 })) {
      if (await add(alone)) continue;
      losses.push(metrics.lossBound);
      norms.push(Infinity);
    }
  }
  const numbers = {
    losses,
    ...(metrics.clipping === undefined ? {} : { norms }),
    ...(heldOut === undefined ? {} : { heldOut }),
  };
  const whole = scratch.keep(withMetrics(sum, numbers, metrics, measuredUnit(manifest))); // [d]
  return clippedRecordSum(whole, sample.length, unitBound(manifest));
}

/** What the engine gives for a batch, or `undefined` where that is not finite or longer than clipped gradients can be. */
async function gradientsOrNone(
  engine: Engine,
  batch: IndexedBatch,
  options: { readonly trained: TrainedFactor; readonly l2Bound: number },
): Promise<Required<GradientSum> | undefined> {
  let gradients: GradientSum;
  try {
    gradients = await engine.gradients(batch, options);
  } catch (error) {
    if (hasCode(error, 'engine/diverged')) return undefined;
    throw error;
  }
  const { clippedSum, losses, norms } = gradients;
  if (norms === undefined) throw new FedloraError('internal/unexpected', 'The engine clips without telling norms.');
  const longest = batch.examples * options.l2Bound * (1 + ARITHMETIC_SLACK / 2);
  if (norm(clippedSum) <= longest && losses.every(Number.isFinite)) return { clippedSum, losses, norms };
  for (const values of [clippedSum, losses, norms]) values.fill(0);
  return undefined;
}

/** target += values, in f64. */
function addInto(target: Float64Array, values: Float32Array): void {
  for (let i = 0; i < target.length; i += 1) target[i] += values[i];
}
