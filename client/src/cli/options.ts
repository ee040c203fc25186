/** Options that several commands share. */

import type { EnginePlan, MemoryUse, OptimizerName } from '@fedlora/shared';
import { InvalidArgumentError, Option } from 'commander';
import { givenFormatNames, rowFormats } from '../data/row-formats.js';
import type { TrainedFactor } from '../engine/engine.js';
import { deviceNames, engineNames } from '../engine/open-engine.js';
import type { ModelConfig } from '../engine/weights/base-model.js';

export function homeOption(): Option {
  return new Option('--home <dir>', 'folder of this client (default: FEDLORA_HOME, else ~/.fedlora)');
}

export function jsonOption(): Option {
  return new Option('--json', 'print JSON');
}

export function cacheOption(): Option {
  return new Option('--no-cache', 'keep no quantized weights in the cache folder of this client');
}

/** How the weights of a base model are held. */
export function quantizationOption(): Option {
  return new Option('--quantization <kind>', 'how base weights are held').choices(['none', 'nf4']).default('nf4');
}

export function threadsOption(): Option {
  return new Option('--threads <n>', 'processor threads; 0 lets the engine choose').argParser(wholeNumber).default(0);
}

export function engineOption(): Option {
  return new Option('--engine <name>', 'what computes').choices(engineNames).default('onnx');
}

export function deviceOption(): Option {
  return new Option(
    '--device <name>',
    'where: auto, cpu, webgpu or cuda; with --engine tfjs auto, node-gpu, node, wasm or cpu. auto takes the fastest',
  )
    .choices(deviceNames)
    .default('auto');
}

/** How a question is written. */
export function questionFormatOption(description: string): Option {
  return new Option('--format <name>', description).choices(Object.keys(rowFormats)).default('alpaca');
}

/** How rows are written. */
export function rowFormatOption(): Option {
  return new Option('--format <name>', 'how rows are written; auto looks at the first one')
    .choices(givenFormatNames)
    .default('auto');
}

/** Collects an option that may be given several times. */
export function several(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value];
}

export function wholeNumber(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text.trim()) || !Number.isSafeInteger(value))
    throw new InvalidArgumentError('It must be a whole number.');
  return value;
}

/** Weights of adapters in a merge, with commas between them. */
export function weightList(text: string): number[] {
  const values = text.split(',').map((part) => (part.trim() === '' ? Number.NaN : Number(part)));
  if (!values.every((value) => Number.isFinite(value) && value !== 0))
    throw new InvalidArgumentError('It must be numbers other than 0 with commas between them, as 0.5,0.3,0.2.');
  return values;
}

/** Unix milliseconds of an ISO 8601 date, or date and time; without a zone, in this machine's. */
export function instant(text: string): number {
  const value = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(value)) throw new InvalidArgumentError('It must be a date and time such as 2026-12-24T18:00Z.');
  return value;
}

export function positiveNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(Number.isFinite(value) && value > 0))
    throw new InvalidArgumentError('It must be a number over zero.');
  return value;
}

export function numberAtLeastZero(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(Number.isFinite(value) && value >= 0))
    throw new InvalidArgumentError('It must be a number, zero or more.');
  return value;
}

export function shareBelowOne(text: string): number {
  const value = numberAtLeastZero(text);
  if (value >= 1) throw new InvalidArgumentError('It must be a share: at least 0 and below 1.');
  return value;
}

export function publicKey(text: string): string {
  const key = text.trim().toLowerCase();
  if (!/^[0-9a-f]{64}$/.test(key)) throw new InvalidArgumentError('A key has 64 hex digits.');
  return key;
}

/** What decides how much memory training takes. */
export interface ModelSizeOptions {
  readonly rank: number;
  readonly targetModules: string;
  readonly trainFactor: TrainedFactor;
  readonly optim: OptimizerName;
  readonly batchSize: number;
  readonly maxLength: number;
  readonly quantization: 'none' | 'nf4';
  readonly gradientCheckpointing?: boolean;
  /** MiB */
  readonly maxMemory?: number;
}

/** The options of `ModelSizeOptions`, alike wherever they are given. */
export function modelSizeOptions(): readonly Option[] {
  const whole = (flags: string, description: string, value?: number): Option => {
    const option = new Option(flags, description).argParser(wholeNumber);
    return value === undefined ? option : option.default(value);
  };
  return [
    whole('--r, --rank <r>', 'LoRA r', 8),
    new Option('--target-modules <names>', 'module suffixes, separated by commas, or all-linear').default('all-linear'),
    new Option('--train-factor <f>', 'which factors learn; R is r x r, between A and B that stay orthonormal')
      .choices(['both', 'A', 'B', 'R'])
      .default('both'),
    new Option('--optim <name>', 'optimizer; adamw_8bit holds a quarter of the state')
      .choices(['adamw', 'adamw_8bit', 'sgd'])
      .default('adamw'),
    whole('--batch-size <n>', 'rows of a batch', 16),
    whole('--max-length <n>', 'longest example in tokens; longer ones lose the end of their input', 512),
    quantizationOption(),
    new Option('--gradient-checkpointing', 'keep no activations: less memory, a quarter more time'),
    whole('--max-memory <MiB>', 'memory to plan with, in the place of what is free'),
  ];
}

/** What of the plan, and of what it must fit into, the options fix. */
export function planOptions({ gradientCheckpointing, maxMemory }: ModelSizeOptions): {
  readonly fixed: Partial<EnginePlan>;
  readonly availableBytes?: number;
} {
  return {
    fixed: gradientCheckpointing === true ? { structure: 'blocks', keptBytes: 0 } : {},
    ...(maxMemory === undefined ? {} : { availableBytes: maxMemory * 2 ** 20 }),
  };
}

/** What training with these options asks of memory. */
export function trainingUse(
  { batchSize, maxLength, trainFactor, optim }: ModelSizeOptions,
  { max_position_embeddings }: Pick<ModelConfig, 'max_position_embeddings'>,
): Omit<MemoryUse, 'hasHalfTables'> {
  const length = Math.min(maxLength, max_position_embeddings);
  return { examples: batchSize, length, trained: trainFactor, perExample: false, optim };
}
