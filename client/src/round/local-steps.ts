/**
 * Several local steps of AdamW on the trained factors; the whole difference is one update (units `client` and `none`).
 *
 * Legend     P = trained parameters, d = P + metrics
 */

import {
  clipToL2Norm,
  difference,
  measuredUnit,
  toRawUpdate,
  unitBound,
  withMetrics,
  type ClippedUpdate,
  type LocalSteps,
} from '@fedlora/protocol';
import { hasCode } from '@fedlora/shared';
import { toVector } from '../engine/adapter-init.js';
import type { Engine } from '../engine/engine.js';
import { train } from '../engine/train.js';
import type { LearnParts } from './learn.js';
import { measure, Measured } from './measure.js';
import { norm } from './norm.js';
import type { RoundExample } from './round-example.js';
import type { Scratch } from './scratch.js';
import { shuffledBatches } from './shuffled-batches.js';
import { ShuffledPasses } from './shuffled-passes.js';
import type { VerifiedRound } from './verify-offer.js';

/**
 * Measures the adapter in the engine on held-out rows, trains from it on the others, and returns the clipped difference with its
 * metrics. [d] f64
 *
 * Guarantee  the result's norm is at most `unitBound`: the difference is clipped to l2Bound, the metrics are bounded by their
 *            weight, and the whole is clipped once more, which changes nothing unless one of these was wrong.
 *            Rows never decide whether it succeeds: training that diverges, or has no row left, gives the zero update and the
 *            largest loss.
 */
export async function localSteps(
  engine: Engine,
  examples: readonly RoundExample[],
  { manifest, trained }: VerifiedRound,
  training: LocalSteps,
  { random, tokensPerBatch }: LearnParts,
  signal: AbortSignal,
  scratch: Scratch,
): Promise<ClippedUpdate> {
  const { steps, batchSize, learningRate, maximumGradientNorm } = training;
  const { metrics, privacy } = manifest;
  const heldOut =
    metrics.evaluation === undefined
      ? undefined
      : meansOf(
          await measureSome(engine, examples, steps * batchSize, { random, tokensPerBatch }, signal, scratch),
          scratch,
        );

  const trainedOn = examples.filter((example) => !example.isHeldOut);
  const before = toVector(engine.adapter(), trained); // [P]
  let lossSum = 0;
  let hasDiverged = trainedOn.length === 0;
  try {
    if (!hasDiverged)
      await train(
        engine,
        shuffledBatches(trainedOn, { batchSize, tokensPerBatch, maximumLength: engine.maximumLength, random }),
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
  const clipped = clipToL2Norm(raw, privacy.l2Bound); // [P]
  scratch.keep(clipped.values);
  const numbers = {
    losses: scratch.keep([hasDiverged ? metrics.lossBound : lossSum / steps]),
    ...(metrics.clipping === undefined ? {} : { norms: scratch.keep([hasDiverged ? Infinity : norm(raw.values)]) }),
    ...(heldOut === undefined ? {} : { heldOut }),
  };
  const whole = scratch.keep(withMetrics(clipped.values, numbers, metrics, measuredUnit(manifest))); // [d]
  return clipToL2Norm(toRawUpdate(whole), unitBound(manifest));
}

/** Examples in one call of the engine: what is protected here is all of them together, so company does not matter. */
const EXAMPLES_PER_CALL = 64;

/** Measures held-out rows, at most as many as are trained on in a round, drawn anew in each. */
async function measureSome(
  engine: Engine,
  examples: readonly RoundExample[],
  most: number,
  { random, tokensPerBatch }: LearnParts,
  signal: AbortSignal,
  scratch: Scratch,
): Promise<readonly Measured[]> {
  const heldOut = examples.flatMap(({ isHeldOut }, index) => (isHeldOut ? [index] : []));
  const drawn = new ShuffledPasses(heldOut.length, random).next(most).map((at) => heldOut[at]);
  return measure(
    engine,
    examples,
    drawn,
    { maximumExamples: EXAMPLES_PER_CALL, maximumTokens: tokensPerBatch },
    signal,
    scratch,
  );
}

/** One unit's numbers: the means, or none where nothing is held out. A row without a finite loss makes the mean the largest. */
function meansOf(measured: readonly Measured[], scratch: Scratch): readonly Measured[] {
  if (measured.length === 0) return [];
  const mean = (read: (one: Measured) => number): number =>
    measured.reduce((sum, one) => sum + read(one), 0) / measured.length;
  return [
    scratch.keep(
      new Measured(
        mean((one) => one.loss),
        mean((one) => one.exact),
      ),
    ),
  ];
}
