/** The memory plan of a model as it was opened: see shared's `plannedMemory`. */

import {
  FedloraError,
  fitPlan,
  makeEnginePlan,
  plannedMemory,
  type EnginePlan,
  type FittedPlan,
  type MemoryPlan,
  type MemoryUse,
  type Quantization,
} from '@fedlora/shared';
import type { LoraConfig } from '../engine.js';
import type { BaseModelShape, ModelConfig } from '../weights/base-model.js';
import { expectedTensors } from '../weights/model-config.js';
import { graphSpec } from './spec.js';

const MIB = 2 ** 20;

/** Tokens of a long row of instruction data. */
const USUAL_LENGTH = 512;

/** @throws FedloraError adapter/unsupported: target_modules names a layer that no block has */
export function memoryPlan(config: ModelConfig, lora: LoraConfig, plan: EnginePlan, use: MemoryUse): MemoryPlan {
  const { adapted } = graphSpec(config, lora, plan.weights);
  return plannedMemory({ ...config, normValues: normValues(config) }, { r: lora.r, adapted }, plan, use);
}

/** Values of norms and biases: all tensors of one dimension. */
function normValues(config: ModelConfig): number {
  return [...expectedTensors(config).values()].reduce((total, shape) => total + (shape.length === 1 ? shape[0] : 0), 0);
}

/**
 * The plan for a model that fits, or else the one that takes least.
 *
 * @param fixed parts of the plan that are not chosen here
 */
export function fitModel(
  { config, hasHalfTables = false }: BaseModelShape,
  lora: LoraConfig,
  quantization: Quantization,
  options: {
    readonly use?: Omit<MemoryUse, 'hasHalfTables'> | undefined;
    readonly availableBytes: number;
    readonly fixed?: Partial<EnginePlan> | undefined;
  },
): FittedPlan {
  const { fixed = {}, availableBytes } = options;
  const plan = { ...makeEnginePlan(config, lora, quantization), ...fixed };
  const use = { hasHalfTables, ...(options.use ?? usualUse(config, plan)) };
  return fitPlan((candidate) => memoryPlan(config, lora, candidate, use), plan, availableBytes, fixed);
}

/** The refusal of a model that does not fit, in numbers. */
export function outOfMemory({ memory }: FittedPlan, availableBytes: number, where?: string): FedloraError {
  const neededMiB = Math.ceil((memory.totalBytes - memory.bytes.process) / MIB);
  const availableMiB = Math.floor(availableBytes / MIB);
  return new FedloraError(
    'engine/out-of-memory',
    `At least ${neededMiB} MiB are needed beside the program itself, and ${availableMiB} MiB are free.`,
    { details: { neededMiB, availableMiB }, ...(where === undefined ? {} : { where }) },
  );
}

/** Private gradients of as many examples of usual length as are computed at a time. */
function usualUse({ max_position_embeddings }: ModelConfig, { rows }: EnginePlan): Omit<MemoryUse, 'hasHalfTables'> {
  const length = Math.min(max_position_embeddings, USUAL_LENGTH);
  return { examples: Math.max(1, Math.floor(rows / length)), length, trained: 'both', perExample: true };
}
