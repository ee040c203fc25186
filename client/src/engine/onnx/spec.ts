/**
 * What a graph is built for: the base model's shape, the adapter's, and the form in which the weights come.
 *
 * Legend of all files in this folder
 *   B  examples               T  tokens of each, padded          L  label positions of each, padded
 *   R  rows = B * T, or B * L where only label positions count
 *   D  hidden size            F  intermediate size               V  vocabulary
 *   H  query heads            K  key-value heads                 G = H / K      dh  head size
 *   r  LoRA rank              P  trained parameters              s  LoRA scaling = alpha / r (rsLoRA: alpha / sqrt(r))
 * Names     `dX` is the gradient of the losses' sum with respect to X.
 */

import {
  expandTargetModules,
  FedloraError,
  linearLayers,
  linearShape,
  type LinearName,
  type WeightForm,
} from '@fedlora/shared';
import type { LoraConfig, TrainedFactor } from '../engine.js';
import type { ModelConfig } from '../weights/base-model.js';
import { profileOf, type DeviceProfile } from './device.js';
import type { GraphBuilder, Value } from './graph.js';

/** The factors of an adapter. Graphs that train R read B R as `q_proj.B`, and B itself as `q_proj.frozenB`. */
export type Factor = 'A' | 'B' | 'R';

export interface GraphSpec {
  readonly config: ModelConfig;
  readonly rank: number;
  readonly loraScaling: number;
  /** Adapted linear layers of every block. */
  readonly adapted: readonly LinearName[];
  readonly weights: WeightForm;
  /** Of the device that is to run the graphs. */
  readonly profile: DeviceProfile;
}

/** What the gradients of a graph are. */
export interface GradientSpec {
  readonly trained: TrainedFactor;
  /** Keep each example's gradient apart, as clipping needs; otherwise they are summed as they are made. */
  readonly perExample: boolean;
  /** lora_dropout, where there is any: graphs then read a mask for each adapted layer. */
  readonly dropout?: number;
}

/** What the functions of this folder build into, and for what. */
export interface GraphContext {
  readonly graph: GraphBuilder;
  readonly spec: GraphSpec;
  /** Absent in graphs without backward. */
  readonly gradients?: GradientSpec;
}

export function graphSpec(
  config: ModelConfig,
  lora: LoraConfig,
  weights: WeightForm,
  profile: DeviceProfile = profileOf('cpu'),
): GraphSpec {
  const expanded = expandTargetModules(lora.target_modules);
  if ('unknown' in expanded) {
    throw new FedloraError(
      'adapter/unsupported',
      `target_modules names unknown layers: ${expanded.unknown.join(', ')}.`,
    );
  }
  const { lora_dropout: dropout = 0 } = lora;
  if (!(dropout >= 0 && dropout < 1))
    throw new FedloraError('adapter/unsupported', `lora_dropout is ${dropout}; it must be at least 0 and below 1.`);
  const loraScaling = lora.lora_alpha / (lora.use_rslora ? Math.sqrt(lora.r) : lora.r);
  return { config, rank: lora.r, loraScaling, adapted: expanded.names, weights, profile };
}

/** Which factors a training choice comprises, in layout order. */
export function factorsOf(trained: TrainedFactor): readonly Factor[] {
  return trained === 'both' ? ['A', 'B'] : [trained];
}

/** Shape [out, in] of a linear layer. */
export function shapeOf(spec: GraphSpec, name: LinearName): readonly [outFeatures: number, inFeatures: number] {
  return linearShape(spec.config, name);
}

/** All linear layers of a block, in layout order. */
export const linearNames: readonly LinearName[] = linearLayers.map(([name]) => name);

/** Length of the r rows in which the gradient of a factor of a layer is kept: B's is kept transposed. */
export function gradientWidth(spec: GraphSpec, name: LinearName, factor: Factor): number {
  const [outFeatures, inFeatures] = shapeOf(spec, name);
  return { A: inFeatures, B: outFeatures, R: spec.rank }[factor];
}

/**
 * The gradients that a backward pass has made: [B, r, in] for `q_proj.A`, [B, r, out] (so transposed) for `q_proj.B`, [B, r, r] for
 * `q_proj.R`.
 */
export type GradientMap = Map<string, Value>;
