/**
 * Training alone: QLoRA of A and B together on local rows, without rounds and without noise. The loop is `engine/train.ts`.
 *
 * Source     Dettmers et al. 2023, arXiv:2305.14314; initial values as PEFT: A uniform in +-1/sqrt(in), B zero
 */

import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { ADAPTER_CONFIG_FILE, ADAPTER_WEIGHTS_FILE, adapterConfigJson, encodeAdapter } from '@fedlora/shared';
import type { RandomSource } from '@fedlora/protocol';
import type { Example } from '../data/tokenize.js';
import { initialAdapter } from '../engine/adapter-init.js';
import type { Engine } from '../engine/engine.js';
import { learningRateAt } from '../engine/optimizer.js';
import { train } from '../engine/train.js';
import { shuffledBatches } from '../round/shuffled-batches.js';
import { writeAtomically } from '../storage/atomic-file.js';

export interface LocalTrainingOptions {
  readonly steps: number;
  readonly batchSize: number;
  readonly learningRate: number;
  /** Share of the steps in which the learning rate rises from zero; afterwards it falls linearly to zero. */
  readonly warmupRatio: number;
  readonly maximumGradientNorm: number;
  readonly tokensPerBatch: number;
  readonly random: RandomSource;
  /** Told after each step: the mean loss of its examples, for the owner's terminal. */
  readonly onStep: (step: number, loss: number) => void;
}

/**
 * Trains a new adapter in the engine; the result stays in the engine.
 *
 * @throws FedloraError engine/diverged: a loss or gradient is not finite | data/empty
 */
export async function trainLocally(
  engine: Engine,
  examples: readonly Example[],
  options: LocalTrainingOptions,
): Promise<void> {
  const { steps, batchSize, tokensPerBatch, random } = options;
  engine.setAdapter(initialAdapter(engine.modules, engine.lora.r, 'kaiming', random));
  await train(
    engine,
    shuffledBatches(examples, { batchSize, tokensPerBatch, maximumLength: engine.maximumLength, random }),
    {
      trained: 'both',
      learning_rate: options.learningRate,
      max_steps: steps,
      lr_scheduler_type: (step) => riseAndFall(step, steps, Math.ceil(steps * options.warmupRatio)),
      max_grad_norm: options.maximumGradientNorm,
    },
    undefined,
    ({ step, loss }) => options.onStep(step, loss),
  );
}

/** A linear rise, whose first step is not lost to a rate of 0 as in transformers, then a linear fall. In shares of the highest rate. */
function riseAndFall(step: number, steps: number, warmupSteps: number): number {
  return step < warmupSteps
    ? (step + 1) / warmupSteps
    : learningRateAt(step, 'linear', { peak: 1, warmupSteps, steps });
}

/** Writes what PEFT reads. */
export async function writeAdapter(directory: string, engine: Engine, baseDirectory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  const { lora, modules } = engine;
  const config = { base_model_name_or_path: resolve(baseDirectory), revision: null, ...lora };
  await writeAtomically(join(directory, ADAPTER_CONFIG_FILE), adapterConfigJson(config));
  await writeAtomically(join(directory, ADAPTER_WEIGHTS_FILE), encodeAdapter(modules, lora.r, engine.adapter()));
}
