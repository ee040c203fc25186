/**
 * The mathematics of training as an interface: token batches in, clipped gradient sums out.
 *
 * An engine knows nothing of networks, rounds, files of rows or privacy budgets. The recorded PEFT fixtures of
 * `test/conformance/engine` define what is correct.
 *
 * Legend     B = examples in a batch, T = tokens after padding, P = parameters of the trained factor(s) in layout order.
 */

import type { TrainedFactor } from '@fedlora/protocol';
import type { AdapterTensors as AdapterValues } from '@fedlora/shared';

/** Which factors a step trains: `A` [r, in], `B` [out, r], `both`, or `R` [r, r] of an adapter that has it. */
export type { TrainedFactor } from '@fedlora/protocol';

/** LoRA hyper-parameters under PEFT's names. */
export interface LoraConfig {
  readonly r: number;
  readonly lora_alpha: number;
  readonly use_rslora: boolean;
  /** Module suffixes such as `q_proj`; `all-linear` is expanded before it gets here. */
  readonly target_modules: readonly string[];
  /** Share of the inputs of A that gradients ignore, below 1; 0 if absent, as in every round. */
  readonly lora_dropout?: number;
}

/** One adapted linear layer, in layout order: by block, then q, k, v, o, gate, up, down. */
export interface LoraModule {
  /** PEFT name without suffix, such as `base_model.model.model.layers.0.self_attn.q_proj`. */
  readonly name: string;
  readonly inFeatures: number;
  readonly outFeatures: number;
}

/**
 * The values of an adapter: for each module of the layout A [r, in] and B [out, r], row-major f32. All modules have R [r, r] as well,
 * or none has: then a layer's change is s B R A, of which R alone can be trained.
 */
export type { AdapterTensors as AdapterValues } from '@fedlora/shared';

/** Examples of one padded shape. `answerMask` is 1 where the token itself is part of the answer (predicted from its left). */
export interface Batch {
  readonly examples: number;
  readonly length: number;
  /** [B, T] token ids, padded on the right. */
  readonly ids: Int32Array;
  /** [B, T] 1 on answer tokens (the closing end-of-text included), 0 on prompt and padding. */
  readonly answerMask: Uint8Array;
}

/** What one call of `gradients` gives: never the gradient of one example. The arrays are the caller's, who overwrites them. */
export interface GradientSum {
  /** [P] f32: sum over examples of g * min(1, l2Bound / |g|), g the gradient of the example's mean answer loss. */
  readonly clippedSum: Float32Array;
  /** [B] mean cross-entropy over the answer tokens of each example, nats. Private to its owner. */
  readonly losses: Float32Array;
  /** [B] L2 norm of each example's gradient before clipping; absent when not clipping. Private to its owner. */
  readonly norms?: Float32Array;
}

/** How one example was answered. */
export interface Evaluation {
  /** [B] mean cross-entropy over the answer tokens, nats. */
  readonly losses: Float32Array;
  /** [B] 1 where greedy decoding reproduces the whole answer with its end (every answer token is the argmax given its prefix). */
  readonly exact: Uint8Array;
}

export interface GradientOptions {
  readonly trained: TrainedFactor;
  /** Clip each example's gradient to this L2 norm; `null` sums unclipped gradients. */
  readonly l2Bound: number | null;
  /** With lora_dropout, decides what is dropped: another for each call. */
  readonly dropoutSeed?: number;
}

/** A text that grows token by token; what was computed for its earlier tokens is kept. */
export interface Continuation {
  /** Tokens so far. */
  readonly length: number;
  /** Appends tokens, at least one, and returns the logits [V] of the token that follows them. */
  append(ids: readonly number[]): Promise<Float32Array>;
}

/** A base model with an adapter, ready to compute. Not safe for concurrent calls. */
export interface Engine {
  readonly name: 'onnx' | 'tfjs';
  readonly device: string;
  readonly lora: LoraConfig;
  readonly modules: readonly LoraModule[];
  readonly vocabularySize: number;
  readonly maximumLength: number;
  /** Replaces the adapter; the values are copied. */
  setAdapter(values: AdapterValues): void;
  /** A copy of the adapter in use. */
  adapter(): AdapterValues;
  gradients(batch: Batch, options: GradientOptions): Promise<GradientSum>;
  evaluate(batch: Batch): Promise<Evaluation>;
  /** Next-token logits [B, V] at the last position of each row; `lengths` [B] are the rows' true lengths. */
  logits(batch: Batch, lengths: Int32Array): Promise<Float32Array>;
  /**
   * Begins a text. It ends with the adapter it began with: after `setAdapter`, begin another. Absent where an engine keeps
   * nothing of earlier tokens.
   */
  readonly continuation?: (() => Continuation) | undefined;
  close(): Promise<void>;
}

/** Number of values of the trained factor(s) over all modules. */
export function trainedParameterCount(modules: readonly LoraModule[], r: number, trained: TrainedFactor): number {
  let count = 0;
  for (const module of modules) {
    if (trained === 'A' || trained === 'both') count += r * module.inFeatures;
    if (trained === 'B' || trained === 'both') count += r * module.outFeatures;
    if (trained === 'R') count += r * r;
  }
  return count;
}
