/**
 * How many bytes training a model takes, from sizes alone: what `engine-plan.ts` decides in what form, this predicts in bytes.
 *
 * Everything that is held by name is counted exactly. What graphs hold while they run is counted by rows of activations at their
 * fullest moment, and is held against measurements: `npm run bench:engine -- --case memory-plan` prints planned and measured peaks,
 * which agree within 15 %.
 *
 * Legend     as in the client's `engine/onnx/spec.ts`; S = examples of a slice, R = S * T its rows, N = S * L its label positions
 */

import { trainedLength, type TrainedFactor } from '@fedlora/protocol';
import { adaptedModules, type LinearName } from '../run/modules.js';
import {
  headPartCount,
  keptBlockBytes,
  keptBlocks,
  linearSizes,
  type EnginePlan,
  type ModelSizes,
} from './engine-plan.js';

export type OptimizerName = 'adamw' | 'adamw_8bit' | 'sgd';

/** Of an adapter, what takes memory. */
export interface AdapterSizes {
  readonly r: number;
  readonly adapted: readonly LinearName[];
}

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

/** What people read. */
export const memoryTitles: Readonly<Record<MemoryKind, string>> = {
  process: 'the client with onnxruntime',
  codes: 'linear weights, NF4 codes',
  absmax: 'linear weights, NF4 scales (absmax)',
  weights: 'linear weights, f32',
  merged: 'linear weights with the adapter in them',
  tables: 'embedding and head',
  norms: 'norms and biases',
  adapter: 'adapter',
  optimizer: 'optimizer and its gradient',
  checkpoints: 'checkpoints, one for each block',
  kept: 'activations kept for backward',
  gradients: 'gradients of examples and their sums',
  activations: 'activations in work',
  dequantized: 'weights made f32 in passing',
  logits: 'logits',
};

export interface MemoryPlan {
  readonly bytes: Readonly<Record<MemoryKind, number>>;
  /** Blocks whose activations are kept. */
  readonly keptBlocks: number;
  /** What the base takes while it rests. */
  readonly baseBytes: number;
  /** At the fullest moment, the process included. */
  readonly totalBytes: number;
}

/** Values of an NF4 tensor that share a scale. */
export const NF4_BLOCK = 64;

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
 * Edge cases no vocabulary (vocab_size 0) -> embedding, head and logits take nothing | longer examples than the plan has rows -> slices of one example | no kept blocks fit -> 0 kept
 */
export function plannedMemory(
  config: ModelSizes & { readonly normValues: number },
  { r, adapted: names }: AdapterSizes,
  plan: EnginePlan,
  use: MemoryUse,
): MemoryPlan {
  const { hidden_size: D, vocab_size: V, num_hidden_layers: blocks } = config;
  const sizes = linearSizes(config);
  const linear = blocks * sum(sizes);
  const modules = adaptedModules(config, names);
  const adapted = sum(modules.map(({ inFeatures, outFeatures }) => inFeatures * outFeatures));
  const P = trainedLength(modules, r, use.trained);
  // R, and the product B R that forward has in the place of B.
  const middle = use.trained === 'R' ? P + trainedLength(modules, r, 'B') : 0;

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
    norms: F32 * config.normValues,
    // The engine's; training keeps what it started from as well.
    adapter: (use.optim === undefined ? 1 : 2) * F32 * (trainedLength(modules, r, 'both') + middle),
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
  config: ModelSizes,
  plan: EnginePlan,
  { rows: R, labels: N, length: T }: { readonly rows: number; readonly labels: number; readonly length: number },
  tables: EnginePlan['tables'],
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

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
