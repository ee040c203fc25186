/**
 * Several local steps of AdamW on the trained factor; the whole difference is one update (units `client` and `none`).
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
import { toBatches } from '../data/batches.js';
import type { Example } from '../data/tokenize.js';
import type { AdapterValues, Engine } from '../engine/engine.js';
import { AdamW } from '../engine/adamw.js';
import type { LearnParts } from './learn.js';
import { ShuffledPasses } from './shuffled-passes.js';
import type { VerifiedRound } from './verify-offer.js';

/** Examples side by side in one call of the engine. */
const EXAMPLES_PER_CALL = 64;

/**
 * Trains from the adapter in the engine and returns the clipped difference with its metrics. [d] f64
 *
 * Guarantee  the result's norm is at most `unitBound`: the difference is clipped to l2Bound, the metrics are bounded by their
 *            weight, and the whole is clipped once more, which changes nothing unless one of these was wrong.
 */
export async function localSteps(
  engine: Engine,
  examples: readonly Example[],
  { manifest, trained }: VerifiedRound,
  training: LocalSteps,
  { random, tokensPerBatch }: LearnParts,
  signal: AbortSignal,
): Promise<ClippedUpdate> {
  const before = flatten(engine.adapter(), trained); // [P]
  const values = before.slice(); // [P]
  const optimizer = new AdamW(values.length, { learningRate: training.learningRate });
  const order = new ShuffledPasses(examples.length, random);
  let lossSum = 0;
  let lossCount = 0;

  for (let step = 0; step < training.steps; step += 1) {
    const indices = order.next(training.batchSize);
    const gradient = new Float64Array(values.length); // [P]
    const options = {
      maximumExamples: EXAMPLES_PER_CALL,
      maximumTokens: tokensPerBatch,
      maximumLength: engine.maximumLength,
    };
    for (const batch of toBatches(examples, indices, options)) {
      signal.throwIfAborted();
      const { clippedSum, losses } = await engine.gradients(batch, { trained, l2Bound: null });
      for (let i = 0; i < gradient.length; i += 1) gradient[i] += clippedSum[i] / indices.length;
      for (const loss of losses) lossSum += loss;
      lossCount += losses.length;
    }
    limitNorm(gradient, training.maximumGradientNorm);
    optimizer.step(values, gradient);
    engine.setAdapter(withFactor(engine.adapter(), trained, values));
  }

  const clipped = clipToL2Norm(difference(values, before), manifest.privacy.l2Bound);
  const whole = withMetrics(clipped.values, [lossSum / Math.max(lossCount, 1)], manifest.metrics); // [d]
  return clipToL2Norm(toRawUpdate(whole), unitBound(manifest));
}

/** Scales the gradient down to `maximumNorm` if it is longer. In place. */
function limitNorm(gradient: Float64Array, maximumNorm: number): void {
  let squares = 0;
  for (const value of gradient) squares += value * value;
  const factor = maximumNorm / Math.sqrt(squares);
  if (factor < 1) for (let i = 0; i < gradient.length; i += 1) gradient[i] *= factor;
}

/** The values of one factor in layout order. [P] */
function flatten(adapter: AdapterValues, trained: 'A' | 'B'): Float32Array {
  const parts = adapter.modules.map((module) => module[trained]);
  const values = new Float32Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    values.set(part, at);
    at += part.length;
  }
  return values;
}

/** The adapter with one factor replaced. */
function withFactor(adapter: AdapterValues, trained: 'A' | 'B', values: Float32Array): AdapterValues {
  let at = 0;
  return {
    modules: adapter.modules.map((module) => {
      const part = values.subarray(at, at + module[trained].length);
      at += part.length;
      return { ...module, [trained]: part };
    }),
  };
}
