/**
 * Training alone: mini-batches of local rows, no rounds, no privacy. The loop can be read whole.
 *
 * Source     transformers `Trainer`, whose names the options have.
 * Divergence The loss of a step is the mean over examples of each example's mean over its answer tokens; Trainer's is the mean
 *            over all answer tokens of the step, which weighs long answers more.
 */

import { FedloraError, hasCode, type OptimizerName } from '@fedlora/shared';
import { toVector, withVector } from './adapter-init.js';
import { trainedParameterCount, type Batch, type Engine, type TrainedFactor } from './engine.js';
import { AdamW8bit } from './adamw-8bit.js';
import { AdamW, learningRateAt, limitNorm, Sgd, type Optimizer, type Schedule } from './optimizer.js';

/** A batch that may know which examples of its source it holds. */
export interface SourceBatch extends Batch {
  readonly indices?: readonly number[];
}

/** Where batches come from. The source decides on order, size and padding. */
export interface BatchSource {
  readonly batchesPerEpoch: number;
  /** The next batch, or the parts of one that is too large for one call of the engine. */
  nextBatch(): SourceBatch | readonly SourceBatch[];
  /** What an error may call an example, such as its file and line. Absent in rounds: which row it was is the owner's secret. */
  exampleName?(index: number): string;
}

/** How well the adapter does on rows that it is not trained on, from time to time. */
export interface EvaluationOptions {
  /** Mean loss, nats. */
  readonly evaluate: () => Promise<number>;
  /** Steps between evaluations; one more follows the last step. */
  readonly eval_steps: number;
  /** Ends training after this many evaluations in a row that are no better than the best; 0 for never. */
  readonly early_stopping_patience: number;
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
  readonly optim?: OptimizerName;
  /** With lora_dropout, decides what is dropped; a whole number. */
  readonly dropoutSeed?: number;
  /** The adapter of the best evaluation is the one that is kept. */
  readonly evaluation?: EvaluationOptions;
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
  /** Tokens of the step's examples, prompts included and padding not. */
  readonly tokens: number;
  /** Where this step was followed by an evaluation: its loss. */
  readonly evaluationLoss?: number;
}

export interface TrainingResult {
  readonly steps: number;
  readonly hasStoppedEarly: boolean;
  /** The evaluation whose adapter was kept; absent without evaluations. */
  readonly best?: { readonly step: number; readonly loss: number };
}

/**
 * Trains the engine's adapter, which is left as the last finished step made it, or with evaluations as the best of them found it.
 *
 * @throws FedloraError engine/diverged: a loss or gradient is not finite; the adapter is that of the step before, or the one
 *         that was evaluated
 * @throws the signal's reason, between calls of the engine; the adapter is that of the step before
 */
export async function train(
  engine: Engine,
  source: BatchSource,
  options: TrainingOptions,
  signal?: AbortSignal,
  onProgress?: (progress: TrainingProgress) => void,
): Promise<TrainingResult> {
  const { trained, max_grad_norm: maximumNorm = 1, evaluation } = options;
  const accumulation = options.gradient_accumulation_steps ?? 1;
  const steps =
    options.max_steps ?? Math.ceil(((options.num_train_epochs ?? 1) * source.batchesPerEpoch) / accumulation);
  const start = engine.adapter();
  const parameters = toVector(start, trained); // [P]
  const optimizer = makeOptimizer(parameters.length, options);
  let best: { step: number; loss: number; parameters: Float32Array } | undefined;
  let done = 0;
  let worse = 0;
  const dropoutSeeds = countFrom(options.dropoutSeed ?? 0);

  while (done < steps) {
    const { gradient, loss, tokens } = await meanGradient(
      engine,
      source,
      options,
      done + 1,
      accumulation,
      dropoutSeeds,
      signal,
    );
    const gradientNorm = limitNorm(gradient, maximumNorm === 0 ? Infinity : maximumNorm);
    if (!Number.isFinite(gradientNorm)) {
      throw new FedloraError('engine/diverged', `In step ${done + 1} the gradient is not a finite number.`);
    }
    const learningRate = learningRateOf(done, steps, options);
    optimizer.step(parameters, gradient, learningRate);
    engine.setAdapter(withVector(start, engine.modules, engine.lora.r, trained, parameters));
    done++;
    const progress = { step: done, steps, loss, gradientNorm, learningRate, tokens };
    if (evaluation === undefined || (done % evaluation.eval_steps !== 0 && done !== steps)) {
      onProgress?.(progress);
      continue;
    }
    const evaluationLoss = await evaluation.evaluate();
    if (!Number.isFinite(evaluationLoss)) {
      throw new FedloraError('engine/diverged', `After step ${done} the evaluation's loss is not a finite number.`);
    }
    onProgress?.({ ...progress, evaluationLoss });
    if (evaluationLoss < (best?.loss ?? Infinity)) {
      best = { step: done, loss: evaluationLoss, parameters: parameters.slice() };
      worse = 0;
    } else if (++worse === evaluation.early_stopping_patience) break;
  }
  if (best === undefined) return { steps: done, hasStoppedEarly: done < steps };
  engine.setAdapter(withVector(start, engine.modules, engine.lora.r, trained, best.parameters));
  return { steps: done, hasStoppedEarly: done < steps, best: { step: best.step, loss: best.loss } };
}

/** The mean over the examples of the next batches. @throws FedloraError engine/diverged: a loss is not finite */
async function meanGradient(
  engine: Engine,
  source: BatchSource,
  { trained }: TrainingOptions,
  step: number,
  batches: number,
  dropoutSeeds: () => number,
  signal: AbortSignal | undefined,
): Promise<{ readonly gradient: Float64Array; readonly loss: number; readonly tokens: number }> {
  const gradient = new Float64Array(trainedParameterCount(engine.modules, engine.lora.r, trained)); // [P]
  let loss = 0;
  let examples = 0;
  let tokens = 0;
  for (let i = 0; i < batches; i++) {
    for (const batch of [source.nextBatch()].flat()) {
      signal?.throwIfAborted();
      const options = { trained, l2Bound: null, dropoutSeed: dropoutSeeds() };
      const { clippedSum, losses } = await engine.gradients(batch, options).catch(async (error: unknown) => {
        if (!hasCode(error, 'engine/diverged')) throw error;
        // The engine knows no rows: the forward pass shows which it was, if it was one.
        refuseDiverged((await engine.evaluate(batch)).losses, source, batch, step);
        throw new FedloraError('engine/diverged', `In step ${step} the gradient is not a finite number.`, {
          cause: error,
        });
      });
      refuseDiverged(losses, source, batch, step);
      for (let p = 0; p < gradient.length; p++) gradient[p] += clippedSum[p];
      for (const one of losses) loss += one;
      examples += batch.examples;
      tokens += tokenCount(batch);
    }
  }
  for (let p = 0; p < gradient.length; p++) gradient[p] /= examples;
  return { gradient, loss: loss / examples, tokens };
}

/** Without the number: in a round it is the owner's secret, and errors are logged. @throws FedloraError engine/diverged */
function refuseDiverged(losses: Float32Array, source: BatchSource, batch: SourceBatch, step: number): void {
  const diverged = losses.findIndex((one) => !Number.isFinite(one));
  if (diverged < 0) return;
  throw new FedloraError('engine/diverged', `In step ${step} the loss is not a finite number.`, {
    where: exampleName(source, batch, diverged),
  });
}

/** The whole numbers from `first` on, one for each call. */
function countFrom(first: number): () => number {
  let next = first;
  return () => next++;
}

function exampleName(source: BatchSource, batch: SourceBatch, example: number): string | undefined {
  const index = batch.indices?.[example];
  return index === undefined ? undefined : source.exampleName?.(index);
}

/** Tokens up to the end of each example's answer: what padding follows. */
function tokenCount({ examples, length, answerMask }: Batch): number {
  let count = 0;
  for (let example = 0; example < examples; example++) {
    count += answerMask.subarray(example * length, (example + 1) * length).lastIndexOf(1) + 1;
  }
  return count;
}

function learningRateOf(step: number, steps: number, options: TrainingOptions): number {
  const { learning_rate: peak, lr_scheduler_type: schedule = 'linear', warmup_steps: warmupSteps = 0 } = options;
  if (typeof schedule === 'function') return peak * schedule(step, steps);
  return learningRateAt(step, schedule, { peak, warmupSteps, steps });
}

function makeOptimizer(length: number, { optim = 'adamw', weight_decay: weightDecay = 0 }: TrainingOptions): Optimizer {
  switch (optim) {
    case 'adamw':
      return new AdamW(length, { weightDecay });
    case 'adamw_8bit':
      return new AdamW8bit(length, { weightDecay });
    case 'sgd':
      return new Sgd(length, { weightDecay });
    default:
      return optim satisfies never;
  }
}
