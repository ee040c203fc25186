/**
 * Learning in a round: what is computed from rows, and the bound on what any one protected unit can change in it.
 *
 * Legend     P = trained parameters, d = P + 2 metrics
 */

import { clippedRecordSum, unitBound, withMetrics, type ClippedUpdate, type RandomSource } from '@fedlora/protocol';
import { FedloraError } from '@fedlora/shared';
import { toBatches } from '../data/batches.js';
import { poissonSample } from '../data/poisson.js';
import type { Example } from '../data/tokenize.js';
import { trainedParameterCount, type Engine } from '../engine/engine.js';
import { localSteps } from './local-steps.js';
import type { VerifiedRound } from './verify-offer.js';

export interface LearnParts {
  readonly random: RandomSource;
  readonly tokensPerBatch: number;
}

/** Most examples in one call of the engine: their gradients stand side by side in memory. */
const EXAMPLES_PER_BATCH = 64;

/** Records of a round times records that the engine sums in f32: over this, rounding may pass its budget (ARITHMETIC_SLACK, 2). */
const F32_SUMMATION_BUDGET = 2 ** 13;

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
    maximumExamples: Math.max(1, Math.min(EXAMPLES_PER_BATCH, Math.floor(F32_SUMMATION_BUDGET / maximumRecords))),
    maximumTokens: tokensPerBatch,
    maximumLength: engine.maximumLength,
  });
  for (const batch of batches) {
    signal.throwIfAborted();
    const gradients = await engine.gradients(batch, { trained, l2Bound: manifest.privacy.l2Bound });
    addInto(sum, gradients.clippedSum);
    for (const loss of gradients.losses) losses.push(loss);
  }
  return clippedRecordSum(withMetrics(sum, losses, manifest.metrics), sample.length, unitBound(manifest));
}

/** target += values, in f64. */
function addInto(target: Float64Array, values: Float32Array): void {
  for (let i = 0; i < target.length; i += 1) target[i] += values[i];
}
