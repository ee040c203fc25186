/**
 * Training alone: QLoRA on local rows, without rounds and without noise. The loop is `engine/train.ts`.
 *
 * Source     Dettmers et al. 2023, arXiv:2305.14314; options as PEFT and transformers name them
 */

import { mkdir, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import {
  ADAPTER_CONFIG_FILE,
  ADAPTER_WEIGHTS_FILE,
  adapterConfigJson,
  encodeAdapter,
  FedloraError,
  linearLayers,
  linearShape,
  type OptimizerName,
} from '@fedlora/shared';
import type { RandomSource } from '@fedlora/protocol';
import type { Example } from '../data/tokenize.js';
import { initialAdapter, type AdapterInit } from '../engine/adapter-init.js';
import type { Engine, LoraConfig, TrainedFactor } from '../engine/engine.js';
import { learningRateAt, type Schedule } from '../engine/optimizer.js';
import { train, type TrainingProgress, type TrainingResult } from '../engine/train.js';
import { shuffledBatches } from '../round/shuffled-batches.js';
import type { ModelConfig } from '../engine/weights/base-model.js';
import { writeAtomically } from '../storage/atomic-file.js';
import { evaluateExamples } from './local-model.js';

export interface LocalTrainingOptions {
  readonly trained: TrainedFactor;
  readonly init: AdapterInit;
  readonly steps: number;
  readonly batchSize: number;
  /** Batches whose gradients make one step. */
  readonly accumulation: number;
  readonly learningRate: number;
  /** What the learning rate does after its rise. */
  readonly schedule: Schedule;
  /** Share of the steps in which the learning rate rises from zero. */
  readonly warmupRatio: number;
  readonly weightDecay: number;
  /** 0 for no limit. */
  readonly maximumGradientNorm: number;
  readonly optim: OptimizerName;
  /** With lora_dropout, decides what is dropped. */
  readonly dropoutSeed?: number;
  /** Measures now and then, keeps the best adapter and stops when it gets no better; `patience` 0 never stops. */
  readonly evaluation?: {
    readonly examples: readonly Example[];
    readonly everySteps: number;
    readonly patience: number;
  };
  readonly tokensPerBatch: number;
  readonly random: RandomSource;
  /** What an error may call an example. */
  readonly exampleName?: (index: number) => string;
  /** Told after each step, for the owner's terminal. */
  readonly onStep: (progress: TrainingProgress) => void;
}

/**
 * Trains a new adapter in the engine; the result stays in the engine.
 *
 * @throws FedloraError engine/diverged: a loss or gradient is not finite; says in which step and row | data/empty
 */
export async function trainLocally(
  engine: Engine,
  examples: readonly Example[],
  options: LocalTrainingOptions,
): Promise<TrainingResult> {
  const { steps, batchSize, tokensPerBatch, random, exampleName, evaluation, schedule } = options;
  const warmupSteps = Math.ceil(steps * options.warmupRatio);
  engine.setAdapter(initialAdapter(engine.modules, engine.lora.r, options.init, random));
  return train(
    engine,
    shuffledBatches(examples, {
      batchSize,
      tokensPerBatch,
      maximumLength: engine.maximumLength,
      random,
      ...(exampleName === undefined ? {} : { exampleName }),
    }),
    {
      trained: options.trained,
      learning_rate: options.learningRate,
      max_steps: steps,
      gradient_accumulation_steps: options.accumulation,
      lr_scheduler_type: (step) => riseAndFall(step, steps, warmupSteps, schedule),
      weight_decay: options.weightDecay,
      max_grad_norm: options.maximumGradientNorm,
      optim: options.optim,
      ...(options.dropoutSeed === undefined ? {} : { dropoutSeed: options.dropoutSeed }),
      ...(evaluation === undefined
        ? {}
        : {
            evaluation: {
              evaluate: async () => (await evaluateExamples(engine, evaluation.examples)).loss,
              eval_steps: evaluation.everySteps,
              early_stopping_patience: evaluation.patience,
            },
          }),
    },
    undefined,
    options.onStep,
  );
}

/** A linear rise, whose first step is not lost to a rate of 0 as in transformers, then the schedule. In shares of the highest rate. */
function riseAndFall(step: number, steps: number, warmupSteps: number, schedule: Schedule): number {
  return step < warmupSteps
    ? (step + 1) / warmupSteps
    : learningRateAt(step, schedule, { peak: 1, warmupSteps, steps });
}

/** Refuses an r that frozen factors cannot have. @throws FedloraError config/invalid: a layer has fewer inputs or outputs */
export function checkFrozenRank(config: ModelConfig, { r, target_modules }: LoraConfig): void {
  const names = linearLayers.map(([name]) => name).filter((name) => target_modules.includes(name));
  for (const name of names) {
    const least = Math.min(...linearShape(config, name));
    if (r > least)
      throw new FedloraError('config/invalid', `--rank must be at most ${least}, the smaller side of ${name}.`);
  }
}

/** Asks before training what would only be found out after it. @throws FedloraError config/invalid: not a folder */
export async function checkOutputFolder(directory: string): Promise<void> {
  const found = await stat(directory).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw new FedloraError('config/invalid', 'The output folder cannot be used.', { where: directory, cause: error });
  });
  if (found?.isDirectory() === false)
    throw new FedloraError('config/invalid', 'The output must be a folder, and this is a file.', { where: directory });
}

/** Writes what PEFT reads. */
export async function writeAdapter(directory: string, engine: Engine, baseDirectory: string): Promise<void> {
  const { lora, modules } = engine;
  const config = { base_model_name_or_path: resolve(baseDirectory), revision: null, ...lora };
  const weights = encodeAdapter(modules, lora.r, engine.adapter());
  await mkdir(directory, { recursive: true });
  await writeAtomically(join(directory, ADAPTER_CONFIG_FILE), adapterConfigJson(config));
  await writeAtomically(join(directory, ADAPTER_WEIGHTS_FILE), weights);
}
