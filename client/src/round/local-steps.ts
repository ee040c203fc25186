/**
 * Several local steps of AdamW on the trained factors; the whole difference is one update (units `client` and `none`).
 *
 * Legend     P = trained parameters, d = P + 2 metrics
 */

import {
  clipToL2Norm,
  difference,
  toRawUpdate,
  unitBound,
  withMetrics,
  type ClippedUpdate,
  type LocalSteps,
} from '@fedlora/protocol';
import { hasCode } from '@fedlora/shared';
import type { Example } from '../data/tokenize.js';
import { toVector } from '../engine/adapter-init.js';
import type { Engine } from '../engine/engine.js';
import { train } from '../engine/train.js';
import type { LearnParts } from './learn.js';
import type { Scratch } from './scratch.js';
import { shuffledBatches } from './shuffled-batches.js';
import type { VerifiedRound } from './verify-offer.js';

/**
 * Trains from the adapter in the engine and returns the clipped difference with its metrics. [d] f64
 *
 * Guarantee  the result's norm is at most `unitBound`: the difference is clipped to l2Bound, the metrics are bounded by their
 *            weight, and the whole is clipped once more, which changes nothing unless one of these was wrong.
 *            Rows never decide whether it succeeds: training that diverges gives the zero update and the largest loss.
 */
export async function localSteps(
  engine: Engine,
  examples: readonly Example[],
  { manifest, trained }: VerifiedRound,
  training: LocalSteps,
  { random, tokensPerBatch }: LearnParts,
  signal: AbortSignal,
  scratch: Scratch,
): Promise<ClippedUpdate> {
  const { steps, batchSize, learningRate, maximumGradientNorm } = training;
  const before = toVector(engine.adapter(), trained); // [P]
  let lossSum = 0;
  let hasDiverged = false;
  try {
    await train(
      engine,
      shuffledBatches(examples, { batchSize, tokensPerBatch, maximumLength: engine.maximumLength, random }),
      {
        trained,
        learning_rate: learningRate,
        lr_scheduler_type: 'constant',
        max_steps: steps,
        max_grad_norm: maximumGradientNorm,
      },
      signal,
      ({ loss }) => (lossSum += loss),
    );
  } catch (error) {
    if (!hasCode(error, 'engine/diverged')) throw error;
    hasDiverged = true;
  }

  const after = scratch.keep(toVector(engine.adapter(), trained)); // [P]
  hasDiverged ||= !Number.isFinite(lossSum) || !after.every(Number.isFinite);
  const raw = difference(hasDiverged ? before : after, before); // [P]
  scratch.keep(raw.values);
  const clipped = clipToL2Norm(raw, manifest.privacy.l2Bound); // [P]
  scratch.keep(clipped.values);
  const loss = hasDiverged ? manifest.metrics.lossBound : lossSum / steps;
  const whole = scratch.keep(
    withMetrics(clipped.values, { losses: [loss] }, manifest.metrics, manifest.privacy.l2Bound), // [d]
  );
  return clipToL2Norm(toRawUpdate(whole), unitBound(manifest));
}
