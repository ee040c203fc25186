/**
 * One DP-SGD step of all organisations together (units `record` and `none`): this one's sum over its sampled records.
 *
 * Legend     d = trained parameters + metrics
 */

import type { ClippedUpdate, RecordStep } from '@fedlora/protocol';
import type { Engine } from '../engine/engine.js';
import type { LearnParts } from './learn.js';
import { measure } from './measure.js';
import { drawRecords, examplesPerCall, recordSum } from './record-sum.js';
import type { RoundExample } from './round-example.js';
import type { Scratch } from './scratch.js';
import type { VerifiedRound } from './verify-offer.js';

/**
 * The sum of the sampled records' clipped gradients; sampled records that are held out are measured instead. [d] f64
 *
 * Guarantee  as `recordSum`. A held-out record has a call of its own: whether its answer is exact turns on the last bit of a logit,
 *            which must not be another record's to change.
 * @throws FedloraError round/too-many-records: a chance below 2^-60
 */
export async function recordStep(
  engine: Engine,
  examples: readonly RoundExample[],
  { manifest, trained }: VerifiedRound,
  training: RecordStep,
  { random, tokensPerBatch }: LearnParts,
  signal: AbortSignal,
  scratch: Scratch,
): Promise<ClippedUpdate> {
  const sample = drawRecords(examples.length, training, random);
  const alone = {
    maximumExamples: manifest.privacy.unit === 'none' ? examplesPerCall(training.maximumRecords) : 1,
    maximumTokens: tokensPerBatch,
  };
  const heldOut =
    manifest.metrics.evaluation === undefined
      ? undefined
      : await measure(
          engine,
          examples,
          sample.filter((index) => examples[index].isHeldOut),
          alone,
          signal,
          scratch,
        );
  return recordSum({ engine, examples, sample, heldOut, manifest, trained, tokensPerBatch }, signal, scratch);
}
