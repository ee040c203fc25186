/**
 * Learning in a round: what is computed from rows, and the bound on what any one protected unit can change in it.
 *
 * Legend     P = trained parameters, d = P + 2 metrics
 */

import {
  clippedRecordSum,
  unitBound,
  withMetrics,
  type ClippedUpdate,
  type Manifest,
  type RandomSource,
} from '@fedlora/protocol';
import { FedloraError } from '@fedlora/shared';
import { toBatches } from '../data/batches.js';
import { poissonSample } from '../data/poisson.js';
import type { Example } from '../data/tokenize.js';
import { trainedParameterCount, type Engine } from '../engine/engine.js';
import { SUMMED_IN_F32 } from '../engine/onnx/clip.js';
import { localSteps } from './local-steps.js';
import type { VerifiedRound } from './verify-offer.js';

export interface LearnParts {
  readonly random: RandomSource;
  readonly tokensPerBatch: number;
}

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
 * Whether a round needs each example's arithmetic to be the same in any company (line 3 of ARITHMETIC_SLACK's budget).
 *
 * With several threads within an operation, kernels may share out the work by the batch's shape, so that an example's gradient
 * moves by eta C with its neighbours. The self-test bounds eta by 2^-19, enough for 256 records. Beyond, the engine is to run
 * operations on one thread each, where eta was measured to be 0. Small models, whose weights are merged, always do.
 */
export function needsIndependentExamples({ privacy, training }: Pick<Manifest, 'privacy' | 'training'>): boolean {
  return privacy.unit === 'record' && training.kind === 'record-step' && training.maximumRecords > RECORDS_IN_COMPANY;
}

/** The clipped update of a round. [d] f64 */
export async function learn(
  engine: Engine,
  examples: readonly Example[],
  round: VerifiedRound,
  parts: LearnParts,
  signal: AbortSignal,
): Promise<ClippedUpdate> {
  const { training } = round.manifest;
  switch (training.kind) {
    case 'record-step':
      return recordStep(engine, examples, round, parts, signal);
    case 'local-steps':
      return localSteps(engine, examples, round, training, parts, signal);
    default:
      return training satisfies never;
  }
}

/**
 * One DP-SGD step: the sum of the sampled records' gradients, each clipped by the engine before it was added.
 *
 * Guarantee  adding or removing one record changes the result by at most `unitBound`: it is sampled once, stands in one batch, its
 *            gradient is clipped to l2Bound and its metrics are bounded by their weight.
 * Secrets    which records were sampled, how many, and their losses are in no log and no message.
 * @throws FedloraError round/too-many-records: a chance below 2^-60, see `checkDatasetSize`
 *         engine/diverged: a loss or gradient is not finite
 */
async function recordStep(
  engine: Engine,
  examples: readonly Example[],
  { manifest, trained }: VerifiedRound,
  { random, tokensPerBatch }: LearnParts,
  signal: AbortSignal,
): Promise<ClippedUpdate> {
  if (manifest.training.kind !== 'record-step') throw new FedloraError('internal/unexpected');
  const { samplingRate, maximumRecords } = manifest.training;
  const sample = poissonSample(examples.length, samplingRate, random);
  if (sample.length > maximumRecords) throw new FedloraError('round/too-many-records');

  const sum = new Float64Array(trainedParameterCount(engine.modules, engine.lora.r, trained)); // [P]
  const losses: number[] = [];
  const batches = toBatches(examples, sample, {
    maximumExamples: examplesPerCall(maximumRecords),
    maximumTokens: tokensPerBatch,
    maximumLength: engine.maximumLength,
  });
  for (const batch of batches) {
    signal.throwIfAborted();
    const gradients = await engine.gradients(batch, { trained, l2Bound: manifest.privacy.l2Bound });
    addInto(sum, gradients.clippedSum);
    for (const loss of gradients.losses) losses.push(loss);
  }
  if (!losses.every(Number.isFinite) || !sum.every(Number.isFinite)) throw new FedloraError('engine/diverged');
  return clippedRecordSum(withMetrics(sum, losses, manifest.metrics), sample.length, unitBound(manifest));
}

/** target += values, in f64. */
function addInto(target: Float64Array, values: Float32Array): void {
  for (let i = 0; i < target.length; i += 1) target[i] += values[i];
}
