/**
 * Training alone: QLoRA of A and B together on local rows, without rounds and without noise. The loop can be read whole.
 *
 * Source     Dettmers et al. 2023, arXiv:2305.14314; initial values as PEFT: A uniform in +-1/sqrt(in), B zero
 */

import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { ADAPTER_CONFIG_FILE, ADAPTER_WEIGHTS_FILE, adapterConfigJson, encodeAdapter } from '@fedlora/shared';
import type { RandomSource } from '@fedlora/protocol';
import { toBatches } from '../data/batches.js';
import type { Example } from '../data/tokenize.js';
import { AdamW } from '../engine/adamw.js';
import type { AdapterValues, Engine } from '../engine/engine.js';
import { ShuffledPasses } from '../round/shuffled-passes.js';
import { writeAtomically } from '../storage/atomic-file.js';

export interface TrainingOptions {
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

/** Trains the adapter in the engine; the result stays in the engine. */
export async function trainLocally(
  engine: Engine,
  examples: readonly Example[],
  options: TrainingOptions,
): Promise<void> {
  engine.setAdapter(initialAdapter(engine, options.random));
  const values = flatten(engine.adapter()); // [P]: of each module A, then B
  const optimizer = new AdamW(values.length, { learningRate: options.learningRate });
  const order = new ShuffledPasses(examples.length, options.random);
  const limits = { maximumExamples: 128, maximumTokens: options.tokensPerBatch, maximumLength: engine.maximumLength };

  for (let step = 0; step < options.steps; step += 1) {
    const indices = order.next(options.batchSize);
    const gradient = new Float64Array(values.length); // [P]
    let lossSum = 0;
    for (const batch of toBatches(examples, indices, limits)) {
      const { clippedSum, losses } = await engine.gradients(batch, { trained: 'both', l2Bound: null });
      for (let i = 0; i < gradient.length; i += 1) gradient[i] += clippedSum[i] / indices.length;
      for (const loss of losses) lossSum += loss;
    }
    limitNorm(gradient, options.maximumGradientNorm);
    optimizer.step(values, gradient, learningRateAt(step, options));
    engine.setAdapter(unflatten(values, engine));
    options.onStep(step + 1, lossSum / indices.length);
  }
}

/** A linear rise, then a linear fall. */
function learningRateAt(step: number, { steps, learningRate, warmupRatio }: TrainingOptions): number {
  const warmup = Math.ceil(steps * warmupRatio);
  if (step < warmup) return (learningRate * (step + 1)) / warmup;
  return (learningRate * (steps - step)) / (steps - warmup);
}

/** Writes what PEFT reads. */
export async function writeAdapter(directory: string, engine: Engine, baseDirectory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  const { lora, modules } = engine;
  const config = { base_model_name_or_path: resolve(baseDirectory), revision: null, ...lora };
  await writeAtomically(join(directory, ADAPTER_CONFIG_FILE), adapterConfigJson(config));
  await writeAtomically(join(directory, ADAPTER_WEIGHTS_FILE), encodeAdapter(modules, lora.r, engine.adapter()));
}

function initialAdapter({ modules, lora }: Engine, random: RandomSource): AdapterValues {
  return {
    modules: modules.map(({ inFeatures, outFeatures }) => {
      const words = new Uint32Array(random(4 * lora.r * inFeatures).slice().buffer);
      const bound = 1 / Math.sqrt(inFeatures);
      return {
        A: Float32Array.from(words, (word) => bound * (word / 2 ** 31 - 1)),
        B: new Float32Array(lora.r * outFeatures),
      };
    }),
  };
}

function limitNorm(gradient: Float64Array, maximumNorm: number): void {
  let squares = 0;
  for (const value of gradient) squares += value * value;
  const factor = maximumNorm / Math.sqrt(squares);
  if (factor < 1) for (let i = 0; i < gradient.length; i += 1) gradient[i] *= factor;
}

function flatten(adapter: AdapterValues): Float32Array {
  const parts = adapter.modules.flatMap(({ A, B }) => [A, B]);
  const values = new Float32Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    values.set(part, at);
    at += part.length;
  }
  return values;
}

function unflatten(values: Float32Array, { modules, lora }: Engine): AdapterValues {
  let at = 0;
  const take = (length: number): Float32Array => values.subarray(at, (at += length));
  return {
    modules: modules.map(({ inFeatures, outFeatures }) => ({
      A: take(lora.r * inFeatures),
      B: take(lora.r * outFeatures),
    })),
  };
}
