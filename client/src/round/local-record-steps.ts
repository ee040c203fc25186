/**
 * Several DP-SGD steps at home, each with all of the noise that protects a record (unit `record-local`); the whole difference is one
 * update, whose sum with others' is masked like any.
 *
 * Source     Abadi et al. 2016, arXiv:1607.00133, algorithm 1, with integer noise
 * Legend     P = trained parameters, d = P + metrics
 */

import {
  addWholeNoise,
  discreteGaussianSampler,
  metricCount,
  PrivateSteps,
  privateStepsTerms,
  quantize,
  stepStddevInSteps,
  usingOnce,
  type LocalRecordSteps,
  type PrivateStep,
  type ReleasedUpdate,
} from '@fedlora/protocol';
import { toVector, withVector } from '../engine/adapter-init.js';
import type { Engine } from '../engine/engine.js';
import { AdamW, Sgd, type Optimizer } from '../engine/optimizer.js';
import type { LearnParts } from './learn.js';
import { measure, type Measured } from './measure.js';
import { drawRecords, recordSum } from './record-sum.js';
import type { RoundExample } from './round-example.js';
import { Scratch } from './scratch.js';
import type { VerifiedRound } from './verify-offer.js';

/**
 * Descends from the adapter in the engine by noised steps, and releases the difference with its metrics. [d] f64
 *
 * Guarantee  each step draws its records anew and is made private by itself: its sum changes by at most D2 in steps with one record,
 *            and its noise is `noiseMultiplier` times D2 wide, whoever else takes part. Nothing else that depends on rows leaves a
 *            step, not even to the next one: the optimizer and the adapter of later steps see noised sums only.
 *            Held-out records are measured with the adapter that the round started from, each in a call of its own, and their
 *            numbers ride in the steps that drew them.
 *            Rows never decide whether it succeeds, as in `recordSum`.
 * @throws FedloraError round/too-many-records: a chance below 2^-60 over all steps
 */
export async function localRecordSteps(
  engine: Engine,
  examples: readonly RoundExample[],
  { manifest, trained }: VerifiedRound,
  training: LocalRecordSteps,
  { random, tokensPerBatch }: LearnParts,
  signal: AbortSignal,
  roundScratch: Scratch,
): Promise<ReleasedUpdate> {
  const { noiseMultiplier } = manifest.privacy;
  const start = engine.adapter();
  const first = toVector(start, trained); // [P]
  const steps = new PrivateSteps(first, metricCount(manifest.metrics), privateStepsTerms(manifest, training));
  const sampler = discreteGaussianSampler(stepStddevInSteps(manifest, trained));
  const optimizer = optimizerOf(training, first.length);
  /** A record's numbers are the same in every step: they are of the round's first adapter, and of the record alone. */
  const known = new Map<number, Measured>();

  const heldOutOf = async (sample: readonly number[]): Promise<readonly Measured[] | undefined> => {
    if (manifest.metrics.evaluation === undefined) return undefined;
    const heldOut = sample.filter((index) => examples[index].isHeldOut);
    const unknown = heldOut.filter((index) => !known.has(index));
    if (unknown.length > 0) engine.setAdapter(start);
    const alone = { maximumExamples: 1, maximumTokens: tokensPerBatch };
    for (const index of unknown) {
      const [measured] = await measure(engine, examples, [index], alone, signal, roundScratch);
      known.set(index, measured);
    }
    return heldOut.map((index) => known.get(index)!); // Safe: set above.
  };

  const privateStep = async (scratch: Scratch): Promise<PrivateStep> => {
    const sample = drawRecords(examples.length, training, random);
    const heldOut = await heldOutOf(sample);
    engine.setAdapter(withVector(start, engine.modules, engine.lora.r, trained, steps.parameters()));
    const task = { engine, examples, sample, heldOut, manifest, trained, tokensPerBatch };
    const clipped = await recordSum(task, signal, scratch); //                                                    [d] f64
    const quantized = usingOnce(clipped.values, () => quantize(clipped, training.stepsPerUnit)); //               [d] i32 steps
    return usingOnce(quantized.levels, () => addWholeNoise(quantized, noiseMultiplier, sampler, random)); //      [d] i32 steps
  };

  try {
    for (let step = 0; step < training.steps; step += 1) {
      const scratch = new Scratch();
      try {
        const noised = await privateStep(scratch);
        usingOnce(noised.levels, () =>
          steps.take(noised, (parameters, gradient) => optimizer.step(parameters, gradient, training.learningRate)),
        );
      } finally {
        scratch.wipe();
      }
    }
    return steps.release();
  } finally {
    steps.wipe();
  }
}

/** Without momentum and weight decay, so that plain steps add up to a sum whose noise is known. */
function optimizerOf({ optimizer }: LocalRecordSteps, length: number): Optimizer {
  switch (optimizer) {
    case 'sgd':
      return new Sgd(length, { momentum: 0 });
    case 'adamw':
      return new AdamW(length);
    default:
      return optimizer satisfies never;
  }
}
