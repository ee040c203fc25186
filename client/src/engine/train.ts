/**
 * Training alone: mini-batches of local rows, no rounds, no privacy. The loop can be read whole.
 *
 * Source     transformers `Trainer`, whose names the options have.
 * Divergence The loss of a step is the mean over examples of each example's mean over its answer tokens; Trainer's is the mean
 *            over all answer tokens of the step, which weighs long answers more.
 */

import { FedloraError } from '@fedlora/shared';
import { toVector, withVector } from './adapter-init.js';
import { trainedParameterCount, type Batch, type Engine, type TrainedFactor } from './engine.js';
import { AdamW, learningRateAt, limitNorm, Sgd, type Optimizer, type Schedule } from './optimizer.js';

/** Where batches come from. The source decides on order, size and padding. */
export interface BatchSource {
  readonly batchesPerEpoch: number;
  /** The next batch, or the parts of one that is too large for one call of the engine. */
  nextBatch(): Batch | readonly Batch[];
}

export interface TrainingOptions {
  readonly trained: TrainedFactor;
  readonly learning_rate: number;
  /** Passes over the source; `max_steps` overrides it. */
  readonly num_train_epochs?: number;
  readonly max_steps?: number;
  /** Batches whose gradients make one step. */
  readonly gradient_accumulation_steps?: number;
  /** A function, as in torch's LambdaLR, gives the share of `learning_rate` that step 0, 1, ... has; warm-up is then its own affair. */
  readonly lr_scheduler_type?: Schedule | ((step: number, steps: number) => number);
  readonly warmup_steps?: number;
  readonly weight_decay?: number;
  /** Longest gradient that a step follows; 0 for no limit. */
  readonly max_grad_norm?: number;
  readonly optim?: 'adamw' | 'sgd';
}

export interface TrainingProgress {
  /** Steps done, of `steps`. */
  readonly step: number;
  readonly steps: number;
  /** Mean loss of the step's examples, nats. */
  readonly loss: number;
  /** Of the mean gradient, before it was limited. */
  readonly gradientNorm: number;
  readonly learningRate: number;
}

/**
 * Trains the engine's adapter, which is left as the last finished step made it.
 *
 * @throws FedloraError engine/diverged: a loss or gradient is not finite; the adapter is that of the step before
 * @throws the signal's reason, between calls of the engine; the adapter is that of the step before
 */
export async function train(
  engine: Engine,
  source: BatchSource,
  options: TrainingOptions,
  signal?: AbortSignal,
  onProgress?: (progress: TrainingProgress) => void,
): Promise<void> {
  const { trained, max_grad_norm: maximumNorm = 1 } = options;
  const accumulation = options.gradient_accumulation_steps ?? 1;
  const steps =
    options.max_steps ?? Math.ceil(((options.num_train_epochs ?? 1) * source.batchesPerEpoch) / accumulation);
  const start = engine.adapter();
  const parameters = toVector(start, trained); // [P]
  const optimizer = makeOptimizer(parameters.length, options);

  for (let step = 0; step < steps; step++) {
    const { gradient, loss } = await meanGradient(engine, source, trained, accumulation, signal);
    const gradientNorm = limitNorm(gradient, maximumNorm === 0 ? Infinity : maximumNorm);
    if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) {
      // Without the numbers: in a round they are the owner's secret, and errors are logged.
      const what = Number.isFinite(loss) ? 'gradient' : 'loss';
      throw new FedloraError('engine/diverged', `In step ${step + 1} the ${what} is not a finite number.`);
    }
    const learningRate = learningRateOf(step, steps, options);
    optimizer.step(parameters, gradient, learningRate);
    engine.setAdapter(withVector(start, engine.modules, engine.lora.r, trained, parameters));
    onProgress?.({ step: step + 1, steps, loss, gradientNorm, learningRate });
  }
}

/** The mean over the examples of the next batches. */
async function meanGradient(
  engine: Engine,
  source: BatchSource,
  trained: TrainedFactor,
  batches: number,
  signal: AbortSignal | undefined,
): Promise<{ readonly gradient: Float64Array; readonly loss: number }> {
  const gradient = new Float64Array(trainedParameterCount(engine.modules, engine.lora.r, trained)); // [P]
  let loss = 0;
  let examples = 0;
  for (let i = 0; i < batches; i++) {
    for (const batch of [source.nextBatch()].flat()) {
      signal?.throwIfAborted();
      const { clippedSum, losses } = await engine.gradients(batch, { trained, l2Bound: null });
      for (let p = 0; p < gradient.length; p++) gradient[p] += clippedSum[p];
      for (const one of losses) loss += one;
      examples += batch.examples;
    }
  }
  for (let p = 0; p < gradient.length; p++) gradient[p] /= examples;
  return { gradient, loss: loss / examples };
}

function learningRateOf(step: number, steps: number, options: TrainingOptions): number {
  const { learning_rate: peak, lr_scheduler_type: schedule = 'linear', warmup_steps: warmupSteps = 0 } = options;
  if (typeof schedule === 'function') return peak * schedule(step, steps);
  return learningRateAt(step, schedule, { peak, warmupSteps, steps });
}

function makeOptimizer(length: number, options: TrainingOptions): Optimizer {
  const weightDecay = options.weight_decay ?? 0;
  return options.optim === 'sgd' ? new Sgd(length, { weightDecay }) : new AdamW(length, { weightDecay });
}
