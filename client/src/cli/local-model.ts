/** A base model on this machine with an adapter from a PEFT folder, for training, evaluation and generation outside of rounds. */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  ADAPTER_CONFIG_FILE,
  ADAPTER_WEIGHTS_FILE,
  decodeAdapter,
  expandTargetModules,
  FedloraError,
  parseAdapterConfig,
} from '@fedlora/shared';
import type { GivenFormat } from '../data/row-formats.js';
import { loadTokenizer, type Example, type TrainingTokenizer } from '../data/tokenize.js';
import type { Engine, LoraConfig } from '../engine/engine.js';
import { evaluateAll } from '../engine/evaluate-all.js';
import { computedRopeTypes } from '../engine/onnx/rope.js';
import { openEngine, type OpenEngineOptions } from '../engine/open-engine.js';
import type { BaseModel } from '../engine/weights/base-model.js';
import { openBaseModel } from '../engine/weights/hugging-face.js';
import { readLocalRows } from './local-rows.js';

/** Outside of rounds nothing needs `independentExamples`. */
export interface EngineOptions extends Omit<OpenEngineOptions, 'base' | 'lora' | 'threads' | 'independentExamples'> {
  /** 0: the engine chooses. */
  readonly threads: number;
}

export interface LocalModel {
  readonly base: BaseModel;
  readonly tokenizer: TrainingTokenizer;
  readonly engine: Engine;
}

const DEFAULT_LENGTH = 1024;

/** Opens the base model with the adapter of a PEFT folder, or without one. The caller closes the engine. */
export async function openLocalModel(
  baseDirectory: string,
  adapterDirectory: string | undefined,
  options: EngineOptions,
): Promise<LocalModel> {
  const base = await openBaseModel(baseDirectory, { ropeTypes: computedRopeTypes });
  const tokenizer = await loadTokenizer(baseDirectory);
  if (adapterDirectory === undefined) {
    // An adapter whose B is zero changes nothing: the base model as it is.
    const engine = await openLocalEngine(
      base,
      { r: 1, lora_alpha: 1, use_rslora: false, target_modules: ['q_proj'] },
      options,
    );
    engine.setAdapter({
      modules: engine.modules.map((module) => ({
        A: new Float32Array(module.inFeatures),
        B: new Float32Array(module.outFeatures),
      })),
    });
    return { base, tokenizer, engine };
  }
  const read = async (name: string): Promise<Buffer> =>
    readFile(join(adapterDirectory, name)).catch((cause: unknown) => {
      throw new FedloraError('adapter/invalid-config', 'The file cannot be read.', {
        where: join(adapterDirectory, name),
        cause,
      });
    });
  const config = parseAdapterConfig((await read(ADAPTER_CONFIG_FILE)).toString('utf8'));
  const engine = await openLocalEngine(
    base,
    { ...config, target_modules: knownModules(config.target_modules) },
    options,
  );
  try {
    engine.setAdapter(decodeAdapter(await read(ADAPTER_WEIGHTS_FILE), engine.modules, config.r));
  } catch (error) {
    await engine.close();
    throw error;
  }
  return { base, tokenizer, engine };
}

export function openLocalEngine(base: BaseModel, lora: LoraConfig, options: EngineOptions): Promise<Engine> {
  const { threads, ...others } = options;
  // Last, since the options of a command line may have names of their own for these.
  return openEngine({ ...others, ...(threads === 0 ? {} : { threads }), base, lora });
}

/** Module suffixes with `all-linear` expanded. @throws FedloraError adapter/unsupported */
export function knownModules(names: readonly string[]): readonly string[] {
  const expanded = expandTargetModules(names);
  if ('unknown' in expanded) {
    throw new FedloraError('adapter/unsupported', `There is no linear layer called ${expanded.unknown.join(', ')}.`);
  }
  return expanded.names;
}

/** How a file of rows was answered. */
export interface FileEvaluation {
  readonly file: string;
  readonly rows: number;
  /** Share of rows whose whole answer is right under greedy decoding. */
  readonly accuracy: number;
  /** Mean over rows of the mean cross-entropy over the answer's tokens, nats. */
  readonly loss: number;
  /** Rows that are bad or do not fit: in none of the numbers above. */
  readonly leftOut: number;
}

/** Evaluates every row of a file that fits. */
export async function evaluateFile(
  model: LocalModel,
  file: string,
  maximumLength?: number,
  format: GivenFormat = 'auto',
): Promise<FileEvaluation> {
  const { examples, leftOut } = await readLocalRows([file], model.tokenizer, {
    format,
    maximumLength: maximumLength ?? lengthLimit(model.engine),
  });
  return { file, ...(await evaluateExamples(model.engine, examples)), leftOut: leftOut.length };
}

export async function evaluateExamples(
  engine: Engine,
  examples: readonly Example[],
): Promise<Omit<FileEvaluation, 'file' | 'leftOut'>> {
  let exact = 0;
  let lossSum = 0;
  for await (const { evaluation } of evaluateAll(engine, examples)) {
    for (const one of evaluation.exact) exact += one;
    for (const loss of evaluation.losses) lossSum += loss;
  }
  return { rows: examples.length, accuracy: exact / examples.length, loss: lossSum / examples.length };
}

export function lengthLimit(engine: Pick<Engine, 'maximumLength'>): number {
  return Math.min(engine.maximumLength, DEFAULT_LENGTH);
}
