/**
 * How many bytes training a model takes, from sizes alone: what `plan.ts` decides in what form, this predicts in bytes.
 *
 * Everything that is held by name is counted exactly. What graphs hold while they run is counted by rows of activations at their
 * fullest moment, and is held against measurements: `npm run bench:engine -- --case memory-plan` prints planned and measured peaks,
 * which agree within 15 %.
 *
 * Legend     as in `spec.ts`; S = examples of a slice, R = S * T its rows, N = S * L its label positions
 */

import { adaptedModules, FedloraError } from '@fedlora/shared';
import { trainedParameterCount, type LoraConfig, type TrainedFactor } from '../engine.js';
import type { OptimizerName } from '../train.js';
import type { BaseModelShape, ModelConfig } from '../weights/base-model.js';
import { expectedTensors } from '../weights/model-config.js';
import { NF4_BLOCK } from '../weights/nf4.js';
import type { Quantization } from './base-weights.js';
import { headPartCount, keptBlockBytes, keptBlocks, makePlan, type Plan } from './plan.js';
import { graphSpec, linearNames, shapeOf } from './spec.js';

/** What is trained, on what. */
export interface MemoryUse {
  /** Examples in one call of the engine. */
  readonly examples: number;
  /** Tokens of the longest example. */
  readonly length: number;
  /** Answer tokens of an example; as many as tokens if not given. */
  readonly labels?: number;
  readonly trained: TrainedFactor;
  /** Whether examples' gradients are kept apart, as clipping needs. */
  readonly perExample: boolean;
  /** Whose state is counted; none in a round, where the engine only gives gradients. */
  readonly optim?: OptimizerName;
  /** Whether the checkpoint has embedding and head in 16 bits; others are f32 whatever the plan. */
  readonly hasHalfTables: boolean;
}

/** What holds memory, in the order in which it is shown. */
export const memoryKinds = [
  'process',
  'codes',
  'absmax',
  'weights',
  'merged',
  'tables',
  'norms',
  'adapter',
  'optimizer',
  'checkpoints',
  'kept',
  'gradients',
  'activations',
  'dequantized',
  'logits',
] as const;

export type MemoryKind = (typeof memoryKinds)[number];

export interface MemoryPlan {
  readonly bytes: Readonly<Record<MemoryKind, number>>;
  /** Blocks whose activations are kept. */
  readonly keptBlocks: number;
  /** What the base takes while it rests. */
  readonly baseBytes: number;
  /** At the fullest moment, the process included. */
  readonly totalBytes: number;
}

const MIB = 2 ** 20;
const F32 = 4;
const F64 = 8;

/** Node.js with this program and onnxruntime, before it has read a model: 120 to 135 MiB measured. */
const PROCESS_BYTES = 128 * MIB;

/** Weights in f32 that a graph holds at once, of the largest size: what is being dequantized, its copy, and one that waits. */
const DEQUANTIZED_IN_BACKWARD = 3;
const DEQUANTIZED_IN_TAIL = 2;
const DEQUANTIZED_IN_FORWARD = 1;

/** Logits of one part of the vocabulary, less the largest, and their exponentials. */
const LOGITS_COPIES = 3;

/** Memory that onnxruntime's arena takes for what a graph needs: it grows by doubling and leaves gaps. 1.0 to 1.4 measured. */
const ARENA_RATIO = 1.2;

/** Values of a block of the 8-bit optimizer's state, which share a scale. */
const OPTIMIZER_BLOCK = 256;

/** Tokens of a long row of instruction data. */
const USUAL_LENGTH = 512;

const FEWEST_LOGITS = 4 * MIB;

/** What one graph holds while it runs, beside its inputs. */
interface GraphBytes {
  readonly activations: number;
  readonly dequantized: number;
  readonly logits: number;
}

/**
 * Bytes at the fullest moment of a step, by what holds them.
 *
 * Guarantee  monotone: more rows, kept blocks or logits at a time never take less. Pure: asks neither machine nor clock.
 * Edge cases longer examples than the plan has rows -> slices of one example | no kept blocks fit -> 0 kept
 */
export function memoryPlan(config: ModelConfig, lora: LoraConfig, plan: Plan, use: MemoryUse): MemoryPlan {
  const { hidden_size: D, vocab_size: V, num_hidden_layers: blocks } = config;
  const spec = graphSpec(config, lora, plan.weights);
  const sizes = linearNames.map((name) => shapeOf(spec, name)[0] * shapeOf(spec, name)[1]);
  const linear = blocks * sum(sizes);
  const modules = adaptedModules(config, spec.adapted);
  const adapted = sum(modules.map(({ inFeatures, outFeatures }) => inFeatures * outFeatures));
  const P = trainedParameterCount(modules, lora.r, use.trained);
  // R, and the product B R that forward has in the place of B.
  const middle = use.trained === 'R' ? P + trainedParameterCount(modules, lora.r, 'B') : 0;

  const examples = Math.max(1, Math.min(use.examples, Math.floor(plan.rows / use.length)));
  const slice = { examples: Array.from({ length: examples }, (_, i) => i), length: use.length };
  const R = examples * use.length;
  const N = examples * (use.labels ?? use.length);
  const isNf4 = plan.weights === 'nf4';
  const isWhole = plan.structure === 'whole';
  const areHalves = !isWhole && plan.tables === 'stored' && use.hasHalfTables;
  const tableForm = areHalves ? 'stored' : 'f32';
  const kept = isWhole ? 0 : Math.min(blocks - 1, keptBlocks(config, slice, plan.keptBytes));

  const graphs = graphBytes(config, plan, { rows: R, labels: N, length: use.length }, tableForm, Math.max(...sizes));
  const running = isWhole
    ? graphs.whole
    : together(plan.readyGraphs === 'last', [
        ...(kept < blocks - 1 ? [graphs.forward, graphs.recomputing] : []),
        ...(kept > 0 ? [graphs.forward, graphs.backward] : []),
        graphs.tail,
      ]);
  const arena = (bytes: number): number => Math.round(ARENA_RATIO * bytes);
  const bytes = {
    process: PROCESS_BYTES,
    codes: isNf4 ? blocks * sum(sizes.map((size) => Math.ceil(size / 2))) : 0,
    absmax: isNf4 ? blocks * sum(sizes.map((size) => F32 * Math.ceil(size / NF4_BLOCK))) : 0,
    weights: isNf4 ? 0 : F32 * linear,
    merged: plan.weights === 'merged' ? F32 * adapted : 0,
    tables: (config.tie_word_embeddings ? 1 : 2) * (areHalves ? 2 : F32) * V * D,
    norms: F32 * normValues(config),
    // The engine's; training keeps what it started from as well.
    adapter: (use.optim === undefined ? 1 : 2) * F32 * (trainedParameterCount(modules, lora.r, 'both') + middle),
    optimizer: optimizerBytes(use.optim, P),
    checkpoints: isWhole ? 0 : F32 * blocks * R * D,
    kept: kept * keptBlockBytes(config, examples, use.length),
    // Each example's, their sum in f32, and over all slices in f64 and once more in f32.
    gradients: F32 * P * ((use.perExample ? examples : 1) + 1) + (F64 + F32) * P,
    activations: arena(running.activations),
    dequantized: arena(isNf4 ? running.dequantized : 0),
    logits: arena(running.logits),
  };
  const { codes, absmax, weights, merged, tables, norms } = bytes;
  return {
    bytes,
    keptBlocks: kept,
    baseBytes: codes + absmax + weights + merged + tables + norms,
    totalBytes: sum(Object.values(bytes)),
  };
}

/** What each kind of graph holds, at its fullest moment. */
function graphBytes(
  config: ModelConfig,
  plan: Plan,
  { rows: R, labels: N, length: T }: { readonly rows: number; readonly labels: number; readonly length: number },
  tables: Plan['tables'],
  largestWeight: number,
): Readonly<Record<'whole' | 'forward' | 'backward' | 'recomputing' | 'tail', GraphBytes>> {
  const { hidden_size: D, intermediate_size: F, num_hidden_layers: blocks, vocab_size: V } = config;
  const { num_attention_heads: H, num_key_value_heads: K, head_dim: dh } = config;
  const weight = F32 * largestWeight;
  // Values of one row: residual, norms; q, mixed, k, v; gate, up, their product; probabilities.
  const forwardRow = 3 * D + 2 * (H + K) * dh + 3 * F + H * T;
  // Gradients of the feed-forward layer's five, of scores and probabilities, and of rows.
  const backwardRow = 4 * D + 2 * H * dh + 5 * F + 2 * H * T;
  const tailRow = 6 * D + 3 * H * dh + 8 * F + 3 * H * T;
  const everyRow = 3 * D + 3 * K * dh;
  const part = Math.ceil(V / headPartCount(config, { ...plan, tables }, N));
  const logits = F32 * (LOGITS_COPIES * N * part + (tables === 'stored' ? part * D : 0));
  const graph = (values: number, dequantized: number): GraphBytes => ({
    activations: F32 * values,
    dequantized: dequantized * weight,
    logits: 0,
  });
  return {
    forward: graph(R * forwardRow, DEQUANTIZED_IN_FORWARD),
    backward: graph(R * backwardRow, DEQUANTIZED_IN_BACKWARD),
    recomputing: graph(R * (forwardRow + backwardRow), DEQUANTIZED_IN_BACKWARD),
    tail: { ...graph(R * everyRow + N * tailRow, DEQUANTIZED_IN_TAIL), logits },
    whole: {
      ...graph((blocks - 1) * R * (forwardRow + D + H * dh + 2 * F) + R * everyRow + N * tailRow, DEQUANTIZED_IN_TAIL),
      logits,
    },
  };
}

/** Of several graphs' memory: that of the one that takes most, or of all. */
function together(isOneAtATime: boolean, graphs: readonly GraphBytes[]): GraphBytes {
  const total = ({ activations, dequantized, logits }: GraphBytes): number => activations + dequantized + logits;
  if (isOneAtATime) return graphs.reduce((most, graph) => (total(graph) > total(most) ? graph : most));
  return graphs.reduce((all, graph) => ({
    activations: all.activations + graph.activations,
    dequantized: all.dequantized + graph.dequantized,
    logits: all.logits + graph.logits,
  }));
}

/** What the loop of `train.ts` holds beside the engine: vectors of trained values, and the optimizer's state. */
function optimizerBytes(optim: OptimizerName | undefined, P: number): number {
  if (optim === undefined) return 0;
  const loop = F32 * P + F64 * P; // parameters and mean gradient
  switch (optim) {
    case 'adamw':
      return loop + 2 * F64 * P;
    case 'adamw_8bit':
      return loop + 2 * (P + F32 * Math.ceil(P / OPTIMIZER_BLOCK));
    case 'sgd':
      return loop + F64 * P;
    default:
      return optim satisfies never;
  }
}

/** Values of norms and biases: all tensors of one dimension. */
function normValues(config: ModelConfig): number {
  return sum([...expectedTensors(config).values()].map((shape) => (shape.length === 1 ? shape[0] : 0)));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** A plan with what it takes. */
export interface Fitted {
  readonly plan: Plan;
  readonly memory: MemoryPlan;
  /** Whether it fits into the bytes that are available. */
  readonly fits: boolean;
  /** What the plan that was asked for would take. */
  readonly wantedBytes: number;
}

/**
 * The first plan that fits, of the one given and of others that take less memory and more time: fewer activations kept, then block
 * graphs, fewer rows and logits at a time, and tables in 16 bits. If none fits, the last.
 *
 * Guarantee  what `fixed` names stays as it is; the process itself, being there already, is not asked for.
 */
export function fitPlan(
  memoryOf: (plan: Plan) => MemoryPlan,
  plan: Plan,
  availableBytes: number,
  fixed: Partial<Plan> = {},
): Fitted {
  const wantedBytes = memoryOf(plan).totalBytes;
  const fitted = (candidate: Plan): Fitted => {
    const memory = memoryOf(candidate);
    return { plan: candidate, memory, fits: missingBytes(memory, availableBytes) === 0, wantedBytes };
  };
  let best = fitted(plan);
  for (const lower of lowerings) {
    // A way may have to go on before it helps: activations of one block less call for the graphs that compute them anew.
    for (let at = best; !best.fits;) {
      const change = lower(at.plan, at.memory, missingBytes(at.memory, availableBytes));
      if (change === undefined || Object.keys(change).some((part) => part in fixed)) break;
      at = fitted({ ...at.plan, ...change });
      if (at.memory.totalBytes < best.memory.totalBytes) best = at;
    }
  }
  return best;
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
    readonly fixed?: Partial<Plan> | undefined;
  },
): Fitted {
  const { fixed = {}, availableBytes } = options;
  const plan = { ...makePlan(config, lora, quantization), ...fixed };
  const use = { hasHalfTables, ...(options.use ?? usualUse(config, plan)) };
  return fitPlan((candidate) => memoryPlan(config, lora, candidate, use), plan, availableBytes, fixed);
}

/** The refusal of a model that does not fit, in numbers. */
export function outOfMemory({ memory }: Fitted, availableBytes: number, where?: string): FedloraError {
  const neededMiB = Math.ceil((memory.totalBytes - memory.bytes.process) / MIB);
  const availableMiB = Math.floor(availableBytes / MIB);
  return new FedloraError(
    'engine/out-of-memory',
    `At least ${neededMiB} MiB are needed beside the program itself, and ${availableMiB} MiB are free.`,
    { details: { neededMiB, availableMiB }, ...(where === undefined ? {} : { where }) },
  );
}

/** Private gradients of as many examples of usual length as are computed at a time. */
function usualUse({ max_position_embeddings }: ModelConfig, { rows }: Plan): Omit<MemoryUse, 'hasHalfTables'> {
  const length = Math.min(max_position_embeddings, USUAL_LENGTH);
  return { examples: Math.max(1, Math.floor(rows / length)), length, trained: 'both', perExample: true };
}

/** Bytes that a plan needs beyond those available. */
export function missingBytes({ bytes, totalBytes }: MemoryPlan, availableBytes: number): number {
  return Math.max(0, totalBytes - bytes.process - availableBytes);
}

/** Ways to take less memory, in the order of what they cost: the next plan, or `undefined` if there is none of that way. */
const lowerings: readonly ((plan: Plan, memory: MemoryPlan, missing: number) => Partial<Plan> | undefined)[] = [
  (plan) => (plan.structure === 'whole' ? { structure: 'blocks', keptBytes: 0 } : undefined),
  // From what is kept, which may be less than might be.
  (_, { bytes: { kept } }, missing) => (kept > 0 ? { keptBytes: Math.max(0, kept - missing) } : undefined),
  ({ rows }) => (rows > 1 ? { rows: Math.floor(rows / 2) } : undefined),
  ({ logitsBytes }) => (logitsBytes > FEWEST_LOGITS ? { logitsBytes: Math.floor(logitsBytes / 2) } : undefined),
  ({ tables }) => (tables === 'f32' ? { tables: 'stored' } : undefined),
  ({ readyGraphs }) => (readyGraphs === 'all' ? { readyGraphs: 'last' } : undefined),
];
