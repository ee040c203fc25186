/**
 * The training engine on onnxruntime: generates graphs for the base model, feeds them, adds up what they give.
 *
 * Guarantee  Gradients of single examples stay in tensors between graphs; what leaves is their clipped sum.
 * Randomness has no part here: the same adapter and batch give the same bits on the same machine and thread count.
 */

import { adaptedModules, type LinearName } from '@fedlora/shared';
import { cpus } from 'node:os';
import type { Tensor } from 'onnxruntime-node';
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
} from '../engine.js';
import type { BaseModel } from '../weights/base-model.js';
import { ropeFrequencies } from '../weights/rope.js';
import { readBaseWeights, type BaseWeights, type Quantization } from './base-weights.js';
import { causalMask, lastTokenInputs, planSlices, sliceInputs, type Slice, type SliceInputs } from './batch.js';
import { roundedDownBound } from './clip.js';
import {
  blockBackwardGraph,
  blockForwardGraph,
  embedGraph,
  mergeGraph,
  sumGraph,
  tailGraph,
  wholeGraph,
  type Purpose,
} from './model.js';
import { makePlan, type Plan } from './plan.js';
import { ropeTables } from './rope.js';
import { floats, Sessions, tensorOf, type Feeds, type TensorMap } from './sessions.js';
import { factorsOf, graphSpec, type GradientSpec, type GraphSpec } from './spec.js';

export interface OnnxEngineOptions {
  readonly base: BaseModel;
  readonly lora: LoraConfig;
  readonly quantization: Quantization;
  /** Threads within one operation; all of the machine's by default. */
  readonly threads?: number;
  readonly device?: 'cpu';
  /** Overrides parts of the plan; for tests and measurements. */
  readonly plan?: Partial<Plan>;
}

/** Lengths for which masks are kept. */
const KEPT_MASKS = 32;

/**
 * Reads the base model and returns an engine with a zero adapter.
 *
 * @throws RangeError target_modules names a layer that no block has
 */
export async function createOnnxEngine(options: OnnxEngineOptions): Promise<Engine> {
  const { base, lora, quantization } = options;
  const plan = { ...makePlan(base.config, lora, quantization), ...options.plan };
  const spec = graphSpec(base.config, lora, plan.weights);
  const weights = await readBaseWeights(base, spec, quantization);
  return new OnnxEngine(lora, plan, spec, weights, options.threads ?? cpus().length);
}

class OnnxEngine implements Engine {
  readonly name = 'onnx';
  readonly device = 'cpu';
  readonly modules: readonly LoraModule[];
  readonly vocabularySize: number;
  readonly maximumLength: number;
  readonly #sessions: Sessions;
  readonly #rope: Feeds;
  readonly #masks = new Map<number, Tensor>();
  /** Tensors of each block that change with the adapter: A, B, and merged weights. */
  #adapted: Map<string, Tensor>[];
  #isMerged = false;

  constructor(
    readonly lora: LoraConfig,
    readonly plan: Plan,
    readonly spec: GraphSpec,
    readonly weights: BaseWeights,
    threads: number,
  ) {
    const { config } = spec;
    this.modules = adaptedModules(config, spec.adapted);
    this.vocabularySize = config.vocab_size;
    this.maximumLength = config.max_position_embeddings;
    this.#sessions = new Sessions(threads);
    const { cos, sin, minusSin } = ropeTables(ropeFrequencies(config), config.max_position_embeddings);
    const shape = [config.max_position_embeddings, config.head_dim / 2];
    this.#rope = new Map([
      ['rope.cos', tensorOf(cos, shape)],
      ['rope.sin', tensorOf(sin, shape)],
      ['rope.minusSin', tensorOf(minusSin, shape)],
    ]);
    this.#adapted = this.#adapterTensors({
      modules: this.modules.map(({ inFeatures, outFeatures }) => ({
        A: new Float32Array(lora.r * inFeatures),
        B: new Float32Array(outFeatures * lora.r),
      })),
    });
  }

  setAdapter(values: AdapterValues): void {
    if (values.modules.length !== this.modules.length) {
      throw new RangeError(`The adapter has ${values.modules.length} modules, the layout ${this.modules.length}.`);
    }
    this.#adapted = this.#adapterTensors(values);
    this.#isMerged = false;
  }

  adapter(): AdapterValues {
    const copy = (tensor: Tensor): Float32Array => (tensor.data as Float32Array).slice();
    return {
      modules: this.#adapted.flatMap((block) =>
        this.spec.adapted.map((name) => ({ A: copy(block.get(`${name}.A`)!), B: copy(block.get(`${name}.B`)!) })),
      ),
    };
  }

  async gradients(batch: Batch, options: GradientOptions): Promise<GradientSum> {
    this.#check(batch);
    const purpose = { trained: options.trained, perExample: options.l2Bound !== null };
    const clippedSum = new Float32Array(trainedParameterCount(this.modules, this.lora.r, options.trained));
    const losses = new Float32Array(batch.examples);
    const norms = new Float32Array(batch.examples);
    for (const slice of planSlices(batch, this.plan.rows)) {
      const inputs = sliceInputs(batch, slice);
      const part = await this.#gradientsOf(slice, inputs, purpose, options.l2Bound ?? Infinity);
      for (let i = 0; i < clippedSum.length; i++) clippedSum[i]! += part.sum[i]!;
      slice.examples.forEach((example, row) => {
        losses[example] = part.losses[row]!;
        norms[example] = part.norms?.[row] ?? 0;
      });
    }
    return { clippedSum, losses, ...(purpose.perExample ? { norms } : {}) };
  }

  async evaluate(batch: Batch): Promise<Evaluation> {
    this.#check(batch);
    const losses = new Float32Array(batch.examples);
    const exact = new Uint8Array(batch.examples);
    for (const slice of planSlices(batch, this.plan.rows)) {
      const inputs = sliceInputs(batch, slice);
      const outputs = await this.#end('evaluate', slice, inputs);
      const best = outputs['best']!.data as Int32Array; // Safe: declared as i32.
      slice.examples.forEach((example, row) => {
        losses[example] = floats(outputs, 'losses')[row]!;
        exact[example] = 1;
        for (let slot = row * slice.labels; slot < (row + 1) * slice.labels; slot++) {
          if (inputs.weights[slot]! > 0 && best[slot] !== inputs.labels[slot]) exact[example] = 0;
        }
      });
    }
    return { losses, exact };
  }

  async logits(batch: Batch, lengths: Int32Array): Promise<Float32Array> {
    this.#check(batch);
    if (lengths.length !== batch.examples || lengths.some((length) => length < 1 || length > batch.length)) {
      throw new RangeError(`Lengths are ${lengths.join(', ')} for ${batch.examples} rows of ${batch.length} tokens.`);
    }
    const { slice, inputs } = lastTokenInputs(batch, lengths);
    return floats(await this.#end('logits', slice, inputs), 'logits');
  }

  async close(): Promise<void> {
    await this.#sessions.close();
  }

  /** Runs the model forward to its end, for a purpose without gradients. */
  async #end(purpose: Purpose & string, slice: Slice, inputs: SliceInputs): Promise<TensorMap> {
    await this.#merge();
    const feeds = this.#sliceFeeds(slice, inputs);
    if (this.plan.structure === 'whole') {
      return this.#sessions.run(purpose, () => wholeGraph(this.spec, purpose), this.#wholeFeeds(), feeds);
    }
    const checkpoints = await this.#blocksForward(feeds);
    return this.#runBlock(this.#adapted.length - 1, `tail:${purpose}`, () => tailGraph(this.spec, purpose), feeds, {
      x: checkpoints.at(-1)!,
    });
  }

  async #gradientsOf(
    slice: Slice,
    inputs: SliceInputs,
    purpose: GradientSpec,
    l2Bound: number,
  ): Promise<{ sum: Float32Array; losses: Float32Array; norms?: Float32Array }> {
    await this.#merge();
    const feeds = this.#sliceFeeds(slice, inputs);
    const bound = Float32Array.of(this.#roundedDown(l2Bound, purpose));
    if (this.plan.structure === 'blocks') return this.#gradientsByBlock(feeds, purpose, bound);
    const key = `gradients:${purpose.trained}:${purpose.perExample}`;
    feeds.set('l2Bound', tensorOf(bound, [1]));
    const outputs = await this.#sessions.run(key, () => wholeGraph(this.spec, purpose), this.#wholeFeeds(), feeds);
    const { norms } = outputs;
    return {
      sum: floats(outputs, 'sum'),
      losses: floats(outputs, 'losses'),
      ...(norms === undefined ? {} : { norms: norms.data as Float32Array }),
    };
  }

  /**
   * The same by block graphs: forward with checkpoints, backward with recomputation, then, the norms being known, the sums.
   *
   * Cost       Keeps the gradients of all examples of the slice, B * P values, until the sums.
   */
  async #gradientsByBlock(
    feeds: Map<string, Tensor>,
    purpose: GradientSpec,
    bound: Float32Array,
  ): Promise<{ sum: Float32Array; losses: Float32Array; norms?: Float32Array }> {
    const { spec } = this;
    const key = `${purpose.trained}:${purpose.perExample}`;
    const last = this.#adapted.length - 1;
    const checkpoints = await this.#blocksForward(feeds);
    const gradients: TensorMap[] = [];
    const tail = await this.#runBlock(last, `tail:${key}`, () => tailGraph(spec, purpose), feeds, { x: checkpoints.pop()! });
    const losses = floats(tail, 'losses');
    gradients[last] = tail;
    for (let block = last - 1, dy = tail['dx']!; block >= 0; block--) {
      const x = checkpoints.pop()!; // Safe: one for each block.
      gradients[block] = await this.#runBlock(block, `backward:${key}`, () => blockBackwardGraph(spec, purpose), feeds, { x, dy });
      dy = gradients[block]!['dx']!;
    }

    const norms = new Float32Array(losses.length);
    const factors = new Float32Array(losses.length);
    if (purpose.perExample) {
      for (let example = 0; example < norms.length; example++) {
        const squares = gradients.reduce((sum, block) => sum + floats(block, 'squares')[example]!, 0);
        norms[example] = Math.sqrt(squares);
        factors[example] = squares === 0 ? 1 : Math.min(1, bound[0]! / Math.sqrt(squares));
      }
    }
    const sum = new Float32Array(trainedParameterCount(this.modules, this.lora.r, purpose.trained));
    const size = sum.length / gradients.length;
    const factorFeed = new Map([['factors', tensorOf(factors, [1, factors.length])]]);
    for (let block = 0; block <= last; block++) {
      const feed = new Map(Object.entries(gradients[block]!));
      sum.set(floats(await this.#sessions.run(`sum:${key}`, () => sumGraph(spec, purpose), feed, factorFeed), 'sum'), block * size);
    }
    return { sum, losses, ...(purpose.perExample ? { norms } : {}) };
  }

  /** The input [B, T, D] of every block. */
  async #blocksForward(feeds: Feeds): Promise<Tensor[]> {
    const embedded = await this.#sessions.run('embed', () => embedGraph(this.spec), this.weights.model, feeds);
    const checkpoints = [embedded['x']!];
    for (let block = 0; block < this.#adapted.length - 1; block++) {
      const x = checkpoints[block]!;
      const outputs = await this.#runBlock(block, 'forward', () => blockForwardGraph(this.spec), feeds, { x });
      checkpoints.push(outputs['y']!);
    }
    return checkpoints;
  }

  #runBlock(block: number, key: string, build: () => Uint8Array, feeds: Feeds, values: Record<string, Tensor>): Promise<TensorMap> {
    const own = new Map(Object.entries(values));
    const { model, blocks } = this.weights;
    return this.#sessions.run(key, build, model, blocks[block]!, this.#adapted[block]!, this.#rope, feeds, own);
  }

  /** Everything but the batch, under the names of the whole graph. */
  #wholeFeeds(): Feeds {
    const feeds = new Map([...this.weights.model, ...this.#rope]);
    this.weights.blocks.forEach((tensors, block) => {
      for (const [name, tensor] of [...tensors, ...this.#adapted[block]!]) feeds.set(`${block}.${name}`, tensor);
    });
    return feeds;
  }

  #sliceFeeds(slice: Slice, inputs: SliceInputs): Map<string, Tensor> {
    const { length: T, labels: L } = slice;
    const B = slice.examples.length;
    return new Map([
      ['ids', tensorOf(inputs.ids, [B, T])],
      ['labels', tensorOf(inputs.labels, [B * L])],
      ['weights', tensorOf(inputs.weights, [B, L])],
      ['focus.positions', tensorOf(inputs.focusPositions, [B, L])],
      ['focus.index', tensorOf(inputs.focusIndex, [B * L])],
      ['focus.inverse', tensorOf(inputs.focusInverse, [B * T])],
      ['focus.mask', tensorOf(inputs.focusMask, [B, 1, L, T])],
      ['mask', this.#mask(T)],
    ]);
  }

  #mask(length: number): Tensor {
    let mask = this.#masks.get(length);
    if (mask === undefined) {
      if (this.#masks.size >= KEPT_MASKS) this.#masks.clear();
      mask = tensorOf(causalMask(length), [length, length]);
      this.#masks.set(length, mask);
    }
    return mask;
  }

  /** Adds the adapter to the weights, where the plan has them merged. */
  async #merge(): Promise<void> {
    if (this.plan.weights !== 'merged' || this.#isMerged) return;
    for (const [block, tensors] of this.#adapted.entries()) {
      const merged = await this.#sessions.run('merge', () => mergeGraph(this.spec), this.weights.blocks[block]!, tensors);
      for (const name of this.spec.adapted) tensors.set(`${name}.weight`, merged[`${name}.merged`]!);
    }
    this.#isMerged = true;
  }

  #adapterTensors(values: AdapterValues): Map<string, Tensor>[] {
    const perBlock = this.spec.adapted.length;
    return Array.from({ length: this.spec.config.num_hidden_layers }, (_, block) => {
      const tensors = new Map<string, Tensor>();
      this.spec.adapted.forEach((name: LinearName, i) => {
        const { inFeatures, outFeatures, name: path } = this.modules[block * perBlock + i]!;
        const { A, B } = values.modules[block * perBlock + i]!;
        if (A.length !== this.lora.r * inFeatures || B.length !== outFeatures * this.lora.r) {
          throw new RangeError(`${path} has factors of ${A.length} and ${B.length} values.`);
        }
        tensors.set(`${name}.A`, tensorOf(A.slice(), [this.lora.r, inFeatures]));
        tensors.set(`${name}.B`, tensorOf(B.slice(), [outFeatures, this.lora.r]));
      });
      return tensors;
    });
  }

  #roundedDown(l2Bound: number, purpose: GradientSpec): number {
    if (l2Bound === Infinity) return l2Bound;
    let longest = 0;
    for (const { inFeatures, outFeatures } of this.modules) longest = Math.max(longest, inFeatures, outFeatures);
    const rowCount = this.modules.length * this.lora.r * factorsOf(purpose.trained).length;
    return roundedDownBound(l2Bound, longest, rowCount);
  }

  #check(batch: Batch): void {
    const { examples, length, ids, answerMask } = batch;
    if (ids.length !== examples * length || answerMask.length !== examples * length) {
      throw new RangeError(`A batch of ${examples} x ${length} has ${ids.length} ids and a mask of ${answerMask.length}.`);
    }
    if (length > this.maximumLength) throw new RangeError(`Rows of ${length} tokens; the base model takes ${this.maximumLength}.`);
    for (const id of ids) {
      if (id < 0 || id >= this.vocabularySize) throw new RangeError(`Token ${id} is not in the vocabulary of ${this.vocabularySize}.`);
    }
  }
}
