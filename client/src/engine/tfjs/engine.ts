/**
 * The `tfjs` engine: the mathematics of training in TensorFlow.js, for sites standardised on TensorFlow and as a second opinion
 * on every gradient of the `onnx` engine.
 *
 * Memory     Forward keeps the input of each block and nothing else; backward computes a block again before it differentiates it
 *            (gradient checkpointing), so that one block's activations and one unpacked weight are the most that is held.
 * Secrets    The gradient of one example exists in this process for as long as it is clipped, and leaves it only as part of a sum.
 * Legend     B = examples in a batch, b = those of one computation (1 when clipping), T = their tokens, D = hidden_size,
 *            L = blocks, P = parameters of the trained factor(s) in layout order, N = answer tokens.
 */

import { adaptedModules, expandTargetModules, FedloraError, linearLayers, type LinearName } from '@fedlora/shared';
import * as tf from '@tensorflow/tfjs';
import {
  trainedParameterCount,
  type AdapterValues,
  type Batch,
  type Engine,
  type Evaluation,
  type GradientOptions,
  type GradientSum,
  type LoraConfig,
  type LoraModule,
  type TrainedFactor,
} from '../engine.js';
import { dropoutOf, keepMask, type Dropout, type DropoutRows } from '../dropout.js';
import { selfTestOnce } from '../onnx/self-test.js';
import {
  checkAdapter,
  checkBatch,
  checkBound,
  checkGradient,
  checkLengths,
  checkTrained,
  hasFactorR,
} from '../input-checks.js';
import { architectureOf, normWeight, type Activation } from '../weights/architecture.js';
import type { BaseModel, ModelConfig } from '../weights/base-model.js';
import { quantizedLinear, type QuantizeOptions } from '../weights/nf4-store.js';
import { answerLosses, answerLossGradient, logitsAt, type HeadWeights } from './answer-loss.js';
import { detectTfjsBackend, deviceName, useBackend, usesGpu, type TfjsBackend, type TfjsDetection } from './backend.js';
import { cutRows, partOf, type BatchPart } from './batch-part.js';
import { checkUnpacking, nf4Weight, plainWeight, roundedToNf4, type FrozenWeight } from './frozen-weight.js';
import {
  blockForward,
  loadBlock,
  positionsByBlock,
  type BlockFactors,
  type BlockWeights,
  type Positions,
  type Upload,
} from './transformer.js';

export interface TfjsEngineOptions {
  readonly base: BaseModel;
  readonly lora: LoraConfig;
  /** How the linear layers of the base model are held: `nf4` in 4 bits, `none` as they are. */
  readonly quantization: 'nf4' | 'none';
  readonly backend: TfjsBackend | 'auto';
  /** How weights are quantized, and where the result is kept; with quantization `nf4`. Nothing is kept by default. */
  readonly nf4?: QuantizeOptions;
  /** Whether this backend must first compute known answers, once in a process. On by default. */
  readonly selfTest?: boolean;
  /** Told which backend is used and why. */
  readonly onDetected?: (detection: TfjsDetection) => void;
}

/** Relative margin by which an example is clipped shorter, for the rounding of the sum to f32. */
const ROUNDING_MARGIN = 2 ** -20;

/**
 * Loads the base model onto a device, with an adapter of zeros.
 *
 * @throws FedloraError engine/device-unavailable - the backend does not work here | engine/self-test-failed - it computes wrongly |
 *         adapter/unsupported - unknown target modules | base-model/*
 */
export async function createTfjsEngine(options: TfjsEngineOptions): Promise<Engine> {
  const { base, lora, quantization } = options;
  const expanded = expandTargetModules(lora.target_modules);
  if ('unknown' in expanded) {
    throw new FedloraError(
      'adapter/unsupported',
      `target_modules names unknown layers: ${expanded.unknown.join(', ')}.`,
    );
  }
  const detection = await detectTfjsBackend(options.backend);
  const { backend } = detection;
  if (options.selfTest ?? true) await testBackend(backend, quantization, architectureOf(base.config).activation);
  useBackend(backend);
  const home = usesGpu() ? 'device' : 'process';
  if (quantization === 'nf4') await checkUnpacking(home);
  const quantized = quantization === 'nf4' ? (await quantizedLinear(base, undefined, options.nf4)).tensors : undefined;
  const weights = await loadWeights(base, backend, async (name, shape) => {
    const weight = quantized?.get(name);
    if (weight !== undefined) return () => nf4Weight(weight, shape, home);
    const values = await base.tensor(name, shape);
    return () => plainWeight(values, shape);
  });
  options.onDetected?.(detection);
  return new TfjsEngine(backend, base.config, lora, expanded.names, weights);
}

/**
 * Computes known answers on a backend, the first time it is asked for in this process.
 *
 * @throws FedloraError engine/self-test-failed
 */
async function testBackend(
  backend: TfjsBackend,
  quantization: TfjsEngineOptions['quantization'],
  activation: Activation,
): Promise<void> {
  const form = quantization === 'nf4' ? 'nf4' : 'dense';
  await selfTestOnce(
    `tfjs ${backend} ${form}`,
    form,
    activation,
    async ({ base, lora, quantization: rounding, weights }) => {
      useBackend(backend);
      if (weights === 'nf4') await checkUnpacking(usesGpu() ? 'device' : 'process');
      return createTfjsEngine({
        base: rounding === 'nf4' && weights === 'dense' ? roundedToNf4(base) : base,
        lora,
        quantization: weights === 'nf4' ? 'nf4' : 'none',
        backend,
        selfTest: false,
      });
    },
  );
}

interface ModelWeights {
  readonly embedding: tf.Tensor2D; // [V, D]
  readonly blocks: readonly BlockWeights[];
  readonly head: HeadWeights;
  dispose(): void;
}

/** Reads a linear layer's weight, and returns what puts it on the current backend. */
type ReadLinear = (name: string, shape: readonly [number, number]) => Promise<() => FrozenWeight>;

/** Reads the base model tensor by tensor, so that memory never holds it whole in f32. Holds all of it, or nothing. */
async function loadWeights(base: BaseModel, backend: TfjsBackend, readLinear: ReadLinear): Promise<ModelWeights> {
  const { config } = base;
  const held: { dispose(): void }[] = [];
  const dispose = (): void => held.forEach((one) => one.dispose());
  const hold = <T extends { dispose(): void }>(make: () => T): T => {
    // Reading takes its time, in which another engine may have made its own backend the current one.
    useBackend(backend);
    const made = make();
    held.push(made);
    return made;
  };
  const upload: Upload = {
    linear: async (name, shape) => hold(await readLinear(name, shape)),
    vector: (values) => hold(() => tf.tensor1d(values)),
  };
  const table = async (name: string): Promise<tf.Tensor2D> => {
    const values = await base.tensor(name, [config.vocab_size, config.hidden_size]);
    return hold(() => tf.tensor2d(values, [config.vocab_size, config.hidden_size]));
  };
  try {
    const blocks: BlockWeights[] = [];
    for (let block = 0; block < config.num_hidden_layers; block++) blocks.push(await loadBlock(base, block, upload));
    const embedding = await table('model.embed_tokens.weight');
    const head = config.tie_word_embeddings ? embedding : await table('lm_head.weight');
    const norm = upload.vector(normWeight(config, await base.tensor('model.norm.weight', [config.hidden_size])));
    const { rms_norm_eps: epsilon, final_logit_softcapping: cap } = config;
    return { embedding, blocks, head: { norm, head, epsilon, cap }, dispose };
  } catch (error) {
    dispose();
    throw error;
  }
}

/** One adapted layer: its values here, and on the device. */
interface AdaptedLayer {
  readonly module: LoraModule;
  readonly block: number;
  readonly name: LinearName;
  A: Float32Array; // [r, in]
  B: Float32Array; // [out, r]
  R: Float32Array | undefined; // [r, r]
  device: LayerTensors;
}

/** The factors of a layer on the device, of which an adapter may or may not have R. */
type LayerTensors = { readonly A: tf.Tensor2D; readonly B: tf.Tensor2D; readonly R?: tf.Tensor2D };

class TfjsEngine implements Engine {
  readonly name = 'tfjs';
  readonly device: string;
  readonly modules: readonly LoraModule[];
  readonly vocabularySize: number;
  readonly maximumLength: number;
  readonly #loraScaling: number;
  readonly #layers: AdaptedLayer[];
  #isClosed = false;

  constructor(
    private readonly backend: TfjsBackend,
    private readonly config: ModelConfig,
    readonly lora: LoraConfig,
    names: readonly LinearName[],
    private readonly weights: ModelWeights,
  ) {
    useBackend(backend);
    this.device = deviceName(backend);
    this.vocabularySize = config.vocab_size;
    this.maximumLength = config.max_position_embeddings;
    this.modules = adaptedModules(config, names);
    this.#loraScaling = lora.lora_alpha / (lora.use_rslora ? Math.sqrt(lora.r) : lora.r);
    this.#layers = this.modules.map((module, i) => {
      const A = new Float32Array(lora.r * module.inFeatures);
      const B = new Float32Array(module.outFeatures * lora.r);
      const block = Math.floor(i / names.length);
      return {
        module,
        block,
        name: names[i % names.length],
        A,
        B,
        R: undefined,
        device: this.#upload(module, { A, B }),
      };
    });
  }

  setAdapter(values: AdapterValues): void {
    this.#open();
    checkAdapter(values, this.modules, this.lora.r);
    values.modules.forEach((own, i) => {
      const layer = this.#layers[i];
      tf.dispose(layer.device);
      layer.A = own.A.slice();
      layer.B = own.B.slice();
      layer.R = own.R?.slice();
      layer.device = this.#upload(layer.module, own);
    });
  }

  adapter(): AdapterValues {
    return {
      modules: this.#layers.map(({ A, B, R }) => ({
        A: A.slice(),
        B: B.slice(),
        ...(R === undefined ? {} : { R: R.slice() }),
      })),
    };
  }

  /**
   * Shapes     batch [B, T] -> clippedSum [P] f32, losses [B], norms [B]
   * Guarantee  The norm of each example's part of the sum is at most l2Bound: norms are taken in f64 of the f32 gradient, factors
   *            are 2^-20 below l2Bound / norm, and the sum is kept in f64 until it is rounded once. An example is computed in
   *            a graph of its own, so that its part does not depend on its neighbours, not even in its rounding.
   * Edge cases an example without answer tokens -> loss 0, norm 0, no part in the sum
   * @throws FedloraError engine/diverged - the adapter has diverged
   */
  async gradients(batch: Batch, options: GradientOptions): Promise<GradientSum> {
    this.#open();
    checkBatch(batch, this);
    const { trained, l2Bound } = options;
    checkBound(options);
    checkTrained(options, hasFactorR({ modules: this.#layers }));
    const dropout = dropoutOf(this.lora.lora_dropout, options.dropoutSeed);
    const count = trainedParameterCount(this.modules, this.lora.r, trained);
    const losses = new Float32Array(batch.examples);
    if (l2Bound === null) {
      const part = partOf(batch);
      const { gradient, losses: all } = await this.#gradient(part, trained, count, droppedFrom(part, 0, dropout));
      checkGradient(gradient);
      losses.set(all);
      return { clippedSum: gradient, losses };
    }
    const sum = new Float64Array(count);
    const norms = new Float32Array(batch.examples);
    for (let example = 0; example < batch.examples; example++) {
      const part = partOf(batch, example, example + 1);
      const dropped = droppedFrom(part, example, dropout);
      const { gradient, losses: own } = await this.#gradient(part, trained, count, dropped);
      const norm = normOf(gradient);
      const clipFactor = norm === 0 ? 1 : Math.min(1, (l2Bound * (1 - ROUNDING_MARGIN)) / norm);
      for (let i = 0; i < count; i++) sum[i] += clipFactor * gradient[i];
      gradient.fill(0);
      losses[example] = own[0]!;
      norms[example] = norm;
    }
    return { clippedSum: Float32Array.from(sum), losses, norms };
  }

  /** Edge cases: an example without answer tokens -> loss 0, exact 0. */
  async evaluate(batch: Batch): Promise<Evaluation> {
    this.#open();
    checkBatch(batch, this);
    const part = partOf(batch);
    const exact = Uint8Array.from(part.counts, (count) => (count > 0 ? 1 : 0));
    if (part.owners.length === 0) return { losses: new Float32Array(batch.examples), exact };
    const { losses, correct } = tf.tidy(() => {
      const hidden = this.#forward(part, positionsByBlock(this.config, part.length)).at(-1)!; // [b * T, D]
      return answerLosses(hidden, part.answers, this.weights.head);
    });
    const [tokenLosses, isCorrect] = await readAndDispose([losses, correct]);
    part.owners.forEach((example, i) => (exact[example] &= isCorrect[i]));
    return { losses: meanByExample(tokenLosses, part), exact };
  }

  async logits(batch: Batch, lengths: Int32Array): Promise<Float32Array> {
    this.#open();
    checkBatch(batch, this);
    checkLengths(batch, lengths);
    const length = lengths.reduce((longest, one) => Math.max(longest, one), 0);
    const tokens = { examples: batch.examples, length, ids: cutRows(batch, 0, batch.examples, length) };
    const rows = lengths.map((own, example) => example * length + own - 1); // last real token of each
    const logits = tf.tidy(() => {
      const hidden = this.#forward(tokens, positionsByBlock(this.config, length)).at(-1)!; // [b * T, D]
      return logitsAt(hidden, rows, this.weights.head); // [b, V]
    });
    const [values] = await readAndDispose([logits]);
    return values as Float32Array; // Safe: the dtype of logits is float32.
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.weights.dispose();
    for (const { device } of this.#layers) tf.dispose(device);
  }

  /** Gradient of the sum of a part's losses, [P] f32, and its losses [b]. */
  async #gradient(
    part: BatchPart,
    trained: TrainedFactor,
    count: number,
    dropout: PartDropout | undefined,
  ): Promise<{ gradient: Float32Array; losses: Float32Array }> {
    if (part.owners.length === 0) return { gradient: new Float32Array(count), losses: new Float32Array(part.examples) };
    useBackend(this.backend);
    const { losses, gradient } = tf.tidy(() => this.#backward(part, trained, dropout));
    const [tokenLosses, values] = await readAndDispose([losses, gradient]);
    return { gradient: values as Float32Array, losses: meanByExample(tokenLosses, part) }; // Safe: both are float32.
  }

  /** The input of every block and the output of the last: [b * T, D] each, L + 1 of them. */
  #forward(tokens: Pick<BatchPart, 'ids'>, positions: readonly Positions[], dropout?: PartDropout): tf.Tensor2D[] {
    const embedded: tf.Tensor2D = tf.gather(this.weights.embedding, tf.tensor1d(tokens.ids, 'int32')); // [b * T, D]
    const { embedding_scale: scale } = this.config;
    const states = [scale === undefined ? embedded : tf.mul<tf.Tensor2D>(embedded, scale)];
    this.weights.blocks.forEach((_, block) => {
      const compute = (): tf.Tensor2D => {
        const factors = this.#factors(block, undefined, [], dropout);
        return this.#block(block, states[block], factors, positions);
      };
      states.push(tf.tidy(compute));
    });
    return states;
  }

  /** Losses [N] of a part's answer tokens and the gradient [P] of the sum of its examples' means. */
  #backward(
    part: BatchPart,
    trained: TrainedFactor,
    dropout: PartDropout | undefined,
  ): { losses: tf.Tensor1D; gradient: tf.Tensor1D } {
    const positions = positionsByBlock(this.config, part.length);
    const states = this.#forward(part, positions, dropout);
    const tokenWeights = Float32Array.from(part.owners, (example) => 1 / part.counts[example]); // [N]
    const { losses, dHidden } = answerLossGradient(states.at(-1)!, part.answers, tokenWeights, this.weights.head);

    const byBlock: tf.Tensor[][] = [];
    let dState = dHidden; // [b * T, D]
    for (let block = this.weights.blocks.length - 1; block >= 0; block--) {
      const state = states[block]; // the last but one
      const variables = this.#variables(block, trained);
      // The first block's input is the embedding, which is not trained: nobody needs its gradient.
      const [dBefore, ...dFactors] = tf.tidy(() => {
        if (block === 0) {
          const ofFactors = tf.grads((...factors) =>
            this.#block(0, state, this.#factors(0, trained, factors, dropout), positions),
          );
          return [state, ...ofFactors(variables, dState)];
        }
        const ofAll = tf.grads((before, ...factors) =>
          this.#block(block, before as tf.Tensor2D, this.#factors(block, trained, factors, dropout), positions),
        );
        return ofAll([state, ...variables], dState);
      });
      tf.dispose([dState, states.pop()!]); // no block below needs them
      dState = dBefore as tf.Tensor2D;
      byBlock.unshift(dFactors);
    }
    return { losses, gradient: tf.concat<tf.Tensor1D>(byBlock.flat().map((factor) => tf.reshape(factor, [-1]))) };
  }

  #block(block: number, x: tf.Tensor2D, factors: BlockFactors, positions: readonly Positions[]): tf.Tensor2D {
    return blockForward(x, this.weights.blocks[block], factors, positions[block], this.config, this.#loraScaling);
  }

  /** The trained factors of a block, in layout order. */
  #variables(block: number, trained: TrainedFactor): tf.Tensor2D[] {
    return this.#layers
      .filter((layer) => layer.block === block)
      .flatMap(({ device }) => {
        if (trained === 'both') return [device.A, device.B];
        // Safe: R is trained only where there is one.
        return [device[trained]!];
      });
  }

  /**
   * A block's factors by layer. Those that are trained come from `variables`, in the order of `#variables`. With dropout, masks
   * beside them.
   */
  #factors(
    block: number,
    trained: TrainedFactor | undefined,
    variables: readonly tf.Tensor[] = [],
    dropout?: PartDropout,
  ): BlockFactors {
    const factors: BlockFactors = {};
    let next = 0;
    const factor = (own: 'A' | 'B' | 'R', constant: tf.Tensor2D) => {
      const isTrained = trained === own || (trained === 'both' && own !== 'R');
      return { value: isTrained ? (variables[next++] as tf.Tensor2D) : constant, isTrained };
    };
    for (const layer of this.#layers) {
      if (layer.block !== block) continue;
      factors[layer.name] = {
        A: factor('A', layer.device.A),
        B: factor('B', layer.device.B),
        ...(layer.device.R === undefined ? {} : { R: factor('R', layer.device.R) }),
        ...(dropout === undefined ? {} : { inputFactors: inputFactors(layer, dropout) }),
      };
    }
    return factors;
  }

  #upload(module: LoraModule, { A, B, R }: AdapterValues['modules'][number]): LayerTensors {
    const { r } = this.lora;
    // A copy each: the cpu backend keeps the very array it is given.
    return {
      A: tf.tensor2d(A.slice(), [r, module.inFeatures]),
      B: tf.tensor2d(B.slice(), [module.outFeatures, r]),
      ...(R === undefined ? {} : { R: tf.tensor2d(R.slice(), [r, r]) }),
    };
  }

  #open(): void {
    if (this.#isClosed) throw new FedloraError('internal/unexpected', 'The engine is closed.');
    useBackend(this.backend);
  }
}

/** What a computation drops, and for which rows. */
interface PartDropout {
  readonly dropout: Dropout;
  readonly rows: DropoutRows;
}

/** The rows of a part whose first example is number `first` of its batch. */
function droppedFrom(part: BatchPart, first: number, dropout: Dropout | undefined): PartDropout | undefined {
  if (dropout === undefined) return undefined;
  const rows = Int32Array.from({ length: part.examples * part.length }, (_, row) => row);
  const examples = rows.map((row) => first + Math.floor(row / part.length));
  return { dropout, rows: { examples, positions: rows.map((row) => row % part.length) } };
}

/** [b * T, in] 0 where the input of a layer's A is dropped, else 1 / (1 - p). */
function inputFactors({ module, block, name }: AdaptedLayer, { dropout, rows }: PartDropout): tf.Tensor2D {
  const layer = block * linearLayers.length + linearLayers.findIndex(([other]) => other === name);
  const kept = 1 / (1 - dropout.probability);
  // Not `from` with a function, which takes fifty times as long.
  const factors = new Float32Array(keepMask(dropout, layer, rows, module.inFeatures)).map((keep) => keep * kept);
  return tf.tensor2d(factors, [rows.examples.length, module.inFeatures]);
}

/** @throws FedloraError engine/diverged */
function normOf(gradient: Float32Array): number {
  checkGradient(gradient);
  let squares = 0;
  for (let i = 0; i < gradient.length; i++) squares += gradient[i] * gradient[i];
  return Math.sqrt(squares);
}

/** [b] means of [N] token losses over each example's answer; 0 where there is none. */
function meanByExample(tokenLosses: ArrayLike<number>, part: BatchPart): Float32Array {
  const sums = new Float64Array(part.examples);
  part.owners.forEach((example, i) => (sums[example] += tokenLosses[i]));
  return Float32Array.from(sums, (sum, example) => (part.counts[example] === 0 ? 0 : sum / part.counts[example]));
}

/** Copies tensors out of the device and disposes them, whatever happens. */
async function readAndDispose(tensors: readonly tf.Tensor[]): Promise<(Float32Array | Int32Array | Uint8Array)[]> {
  try {
    return await Promise.all(tensors.map(async (tensor) => (await tensor.data()).slice()));
  } finally {
    tf.dispose([...tensors]);
  }
}
