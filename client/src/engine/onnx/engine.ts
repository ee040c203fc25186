/**
 * The training engine on onnxruntime: generates graphs for the base model, feeds them, adds up what they give.
 *
 * Guarantee  Gradients of single examples stay in tensors between graphs; what leaves is their clipped sum.
 * Randomness has no part here: the same adapter and batch give the same bits on the same machine, thread count and plan, which may
 * depend on how much memory is free.
 */

import {
  adaptedModules,
  FedloraError,
  headPartCount,
  keptBlocks,
  plainLora,
  type EnginePlan,
  type FittedPlan,
  type LinearName,
  type MemoryUse,
  type Quantization,
} from '@fedlora/shared';
import { cpus } from 'node:os';
import type { Tensor } from 'onnxruntime-node';
import {
  trainedParameterCount,
  type AdapterValues,
  type Batch,
  type Continuation,
  type Engine,
  type Evaluation,
  type GradientOptions,
  type GradientSum,
  type LoraConfig,
  type LoraModule,
} from '../engine.js';
import { availableMemory } from '../available-memory.js';
import { checkAdapter, checkBatch, checkBound, checkGradient, checkLengths, checkTrained } from '../input-checks.js';
import { dropoutOf, type Dropout } from '../dropout.js';
import type { BaseModel } from '../weights/base-model.js';
import type { HalfTable } from '../weights/half-table.js';
import type { QuantizeOptions } from '../weights/nf4-store.js';
import { architectureOf, layerTypeOf, windowOf, type Activation } from '../weights/architecture.js';
import type { LayerType } from '../weights/base-model.js';
import { layerFrequencies } from '../weights/rope.js';
import { placeWeights, readBaseWeights, type BaseWeights } from './base-weights.js';
import { profileOf, type DeviceProfile, type OnnxDevice } from './device.js';
import { causalMask, lastTokenInputs, planSlices, sliceInputs, type Slice, type SliceInputs } from './batch.js';
import { groupMatrix, roundedDownBound } from './clip.js';
import { headParts } from './head.js';
import { dropoutFeeds } from './dropout-feeds.js';
import { decodeGraph, OnnxContinuation } from './decode.js';
import {
  blockBackwardGraph,
  blockForwardGraph,
  embedGraph,
  headPartsGraph,
  keptBlockGraphs,
  mergeGraph,
  streamedEvaluationGraph,
  streamedStartGraph,
  streamedTailGraph,
  sumGraph,
  tailGraph,
  typedInputs,
  wholeGraph,
  type Purpose,
} from './model.js';
import type { GraphFile, GraphPair } from './graph.js';
import { fitModel, outOfMemory } from './memory-plan.js';
import { ropeTables } from './rope.js';
import { selfTestOnce, type SelfTestResult } from './self-test.js';
import { floats, release, Sessions, tensorOf, type Feeds, type TensorMap } from './sessions.js';
import { factorsOf, graphSpec, type GradientSpec, type GraphSpec } from './spec.js';
import { streamedLogits, sumStreamed } from './streamed-head.js';

export interface OnnxEngineOptions {
  readonly base: BaseModel;
  readonly lora: LoraConfig;
  readonly quantization: Quantization;
  /** Threads within one operation; all of the machine's by default. */
  readonly threads?: number | undefined;
  /** Runs every operation on one thread, so that an example's gradient does not depend on the others of its batch; slow for large models. */
  readonly independentExamples?: boolean;
  readonly device?: OnnxDevice;
  /** Overrides parts of the plan, which then stay as they are however little memory there is. */
  readonly plan?: Partial<EnginePlan>;
  /** What the plan must fit into. */
  readonly memory?: MemoryOptions;
  /** How weights are quantized, and where the result is kept; with quantization `nf4`. Nothing is kept by default. */
  readonly nf4?: QuantizeOptions;
  /** Whether this device must first compute known answers, once in a process. On by default. */
  readonly selfTest?: boolean;
}

export interface MemoryOptions {
  /** Bytes that may be taken; by default, what this machine and its control groups have free. */
  readonly availableBytes?: number;
  /** What will be asked of the engine; by default, private gradients of a full slice of rows of usual length. */
  readonly use?: Omit<MemoryUse, 'hasHalfTables'>;
  /** Called with the plan that was chosen, before any memory is taken. */
  readonly onPlanned?: (fitted: FittedPlan, availableBytes: number) => void;
}

const ropeTableNames = ['cos', 'sin', 'minusSin'] as const;

const SHORTEST_ROPE_TABLE = 256;

/** Lengths for which masks are kept. */
const KEPT_MASKS = 32;

/**
 * Reads the base model and returns an engine with a zero adapter.
 *
 * @throws FedloraError engine/self-test-failed: this device computes known gradients wrongly, and is not used
 * @throws FedloraError adapter/unsupported: target_modules names a layer that no block has
 * @throws FedloraError engine/out-of-memory: no plan fits into the memory that is free; nothing was read
 */
export async function createOnnxEngine(options: OnnxEngineOptions): Promise<Engine> {
  const { base, lora, quantization, device = 'cpu', independentExamples = false } = options;
  const profile = profileOf(device);
  const plan = await planWithinMemory(options, profile);
  if (plan.weights === 'merged' && (lora.lora_dropout ?? 0) > 0)
    throw new RangeError('With lora_dropout the adapter cannot be merged into the weights.');
  const spec = graphSpec(base.config, lora, plan.weights, profile);
  if (options.selfTest ?? true) {
    const { threads } = options;
    await testOnnxDevice(device, plan, architectureOf(base.config).activation, { threads, independentExamples });
  }
  const tables = plan.structure === 'blocks' ? plan.tables : 'f32';
  const weights = await readBaseWeights(base, spec, quantization, tables, {
    ...(options.threads === undefined ? {} : { threads: options.threads }),
    ...options.nf4,
  });
  const threads = profile.usesThreads ? (options.threads ?? cpus().length) : 1;
  // A small model's operations are too short to share.
  const isSmall = plan.weights === 'merged';
  const sessions = new Sessions(isSmall || independentExamples ? 1 : threads, profile, plan.readyGraphs);
  try {
    return new OnnxEngine(lora, plan, spec, await placeWeights(weights, sessions), sessions);
  } catch (error) {
    await sessions.close();
    throw error;
  }
}

/**
 * Computes known answers on a device, once in a process for each way of computing.
 *
 * @throws FedloraError engine/self-test-failed
 */
export function testOnnxDevice(
  device: OnnxDevice,
  { weights, structure }: Pick<EnginePlan, 'weights' | 'structure'>,
  activation: Activation,
  options: Pick<OnnxEngineOptions, 'threads' | 'independentExamples'> = {},
): Promise<SelfTestResult> {
  return selfTestOnce(`${device} ${weights} ${structure}`, weights, activation, (model) =>
    createOnnxEngine({
      ...model,
      ...options,
      device,
      plan: { structure, weights: model.weights },
      memory: { availableBytes: Infinity },
      selfTest: false,
    }),
  );
}

/**
 * The plan for this model that fits into memory. What a GPU has free nobody tells us: there the plan stays as it is, and kernels
 * stay compiled.
 *
 * @throws FedloraError engine/out-of-memory
 */
async function planWithinMemory(options: OnnxEngineOptions, { usesThreads }: DeviceProfile): Promise<EnginePlan> {
  const { base, lora, quantization, independentExamples = false, memory = {} } = options;
  const fixed: Partial<EnginePlan> = {
    // A GPU's kernels are chosen by shape, so an example whose arithmetic is to be its own is computed alone.
    ...(!usesThreads && independentExamples ? { rows: 1 } : {}),
    ...(usesThreads ? {} : { readyGraphs: 'all' }),
    ...options.plan,
  };
  const availableBytes = memory.availableBytes ?? (usesThreads ? await availableMemory() : Infinity);
  const fitted = fitModel(base, lora, quantization, { use: memory.use, availableBytes, fixed });
  // Of a GPU without a limit there is nothing to show: the plan was not measured against anything.
  if (availableBytes !== Infinity) memory.onPlanned?.(fitted, availableBytes);
  if (!fitted.fits) throw outOfMemory(fitted, availableBytes);
  return fitted.plan;
}

/** What one slice gives. */
interface SliceGradients {
  /** [groups, P] */
  readonly sums: Float32Array;
  /** [B] */
  readonly losses: Float32Array;
  /** [B]; absent when not clipping. */
  readonly norms: Float32Array | undefined;
}

/** What is dropped in a block: inputs of its graphs, none without dropout. */
type MasksOf = (block: number) => Record<string, Tensor>;

class OnnxEngine implements Engine {
  readonly name = 'onnx';
  readonly device: OnnxDevice;
  readonly modules: readonly LoraModule[];
  readonly vocabularySize: number;
  readonly maximumLength: number;
  #rope: Map<string, Tensor> = new Map();
  #ropeLength = 0;
  readonly #masks = new Map<string, Tensor>();
  readonly #pairs = new Map<string, GraphPair>();
  /** Types of blocks that the model has. */
  readonly #layerTypes: readonly LayerType[];
  /** The adapter's tensors of each block in this process: A, B, with factors R also R, frozenB and in B their product. */
  #adapted: Map<string, Tensor>[];
  /** What the graphs read of them, where the device has its tensors, and merged weights. Absent after `setAdapter`. */
  #fed: Map<string, Tensor>[] | undefined;
  /** Parts of the head on the device, by their number. */
  readonly #headParts = new Map<number, readonly [string, Tensor][]>();
  #isClosed = false;

  constructor(
    readonly lora: LoraConfig,
    readonly plan: EnginePlan,
    readonly spec: GraphSpec,
    readonly weights: BaseWeights,
    readonly sessions: Sessions,
  ) {
    const { config } = spec;
    this.device = spec.profile.device;
    this.#layerTypes = [...new Set(Array.from({ length: config.num_hidden_layers }, (_, i) => layerTypeOf(config, i)))];
    this.modules = adaptedModules(config, spec.adapted);
    this.vocabularySize = config.vocab_size;
    this.maximumLength = config.max_position_embeddings;
    this.#adapted = this.#adapterTensors({
      modules: this.modules.map(({ inFeatures, outFeatures }) => ({
        A: new Float32Array(lora.r * inFeatures),
        B: new Float32Array(outFeatures * lora.r),
      })),
    });
  }

  setAdapter(values: AdapterValues): void {
    checkAdapter(values, this.modules, this.lora.r);
    this.#adapted = this.#adapterTensors(values);
    for (const block of this.#fed ?? []) release(block.values());
    this.#fed = undefined;
  }

  adapter(): AdapterValues {
    // Safe: every adapted layer has A and B.
    const copy = (tensor: Tensor | undefined): Float32Array => (tensor!.data as Float32Array).slice();
    return {
      modules: this.#adapted.flatMap((block) =>
        this.spec.adapted.map((name) => ({
          A: copy(block.get(`${name}.A`)),
          B: copy(block.get(`${name}.frozenB`) ?? block.get(`${name}.B`)),
          ...(block.has(`${name}.R`) ? { R: copy(block.get(`${name}.R`)) } : {}),
        })),
      ),
    };
  }

  async gradients(batch: Batch, options: GradientOptions): Promise<GradientSum> {
    this.#check(batch);
    checkBound(options);
    checkTrained(options, this.#adapted[0].has(`${this.spec.adapted[0]}.R`));
    await this.#prepare();
    const dropout = dropoutOf(this.lora.lora_dropout, options.dropoutSeed);
    const purpose = {
      trained: options.trained,
      perExample: options.l2Bound !== null,
      ...(dropout === undefined ? {} : { dropout: dropout.probability }),
    };
    const bound = Float32Array.of(this.#roundedDown(options.l2Bound ?? Infinity, purpose));
    const sum = new Float64Array(trainedParameterCount(this.modules, this.lora.r, options.trained));
    const losses = new Float32Array(batch.examples);
    const norms = new Float32Array(batch.examples);
    await this.#eachSlice(
      batch,
      (slice, inputs) => this.#gradientsOf(slice, inputs, purpose, bound, dropout),
      (slice, _, part) => {
        addGroups(sum, part.sums);
        slice.examples.forEach((example, row) => {
          losses[example] = part.losses[row]!;
          norms[example] = part.norms?.[row] ?? 0;
        });
      },
    );
    checkGradient(sum);
    return { clippedSum: Float32Array.from(sum), losses, ...(purpose.perExample ? { norms } : {}) };
  }

  async evaluate(batch: Batch): Promise<Evaluation> {
    this.#check(batch);
    await this.#prepare();
    const losses = new Float32Array(batch.examples);
    const exact = new Uint8Array(batch.examples);
    await this.#eachSlice(
      batch,
      (slice, inputs) => this.#end('evaluate', slice, inputs),
      (slice, inputs, outputs) => {
        const best = outputs['best.token'].data as Int32Array; // Safe: declared as i32.
        slice.examples.forEach((example, row) => {
          losses[example] = floats(outputs, 'losses')[row]!;
          exact[example] = 1;
          for (let slot = row * slice.labels; slot < (row + 1) * slice.labels; slot++) {
            if (inputs.weights[slot] > 0 && best[slot] !== inputs.labels[slot]) exact[example] = 0;
          }
        });
      },
    );
    return { losses, exact };
  }

  async logits(batch: Batch, lengths: Int32Array): Promise<Float32Array> {
    this.#check(batch);
    checkLengths(batch, lengths);
    await this.#prepare();
    const { slice, inputs } = lastTokenInputs(batch, lengths, this.#lastWindow());
    try {
      return floats(await this.#end('logits', slice, inputs), 'logits');
    } finally {
      this.sessions.releaseOutputs();
    }
  }

  /** Not for models whose tables are in 16 bits: its graph takes them in f32. */
  get continuation(): (() => Continuation) | undefined {
    return this.weights.tables === undefined ? () => this.#continuation() : undefined;
  }

  #continuation(): Continuation {
    const adapted = this.#adapted;
    return new OnnxContinuation(this.spec, this.maximumLength, async (feeds, length) => {
      if (adapted !== this.#adapted) throw new RangeError('The adapter was replaced while a text was being continued.');
      await this.#prepare();
      const tables = await this.#ropeTables(length);
      return this.sessions.run('decode', () => decodeGraph(this.spec), this.#wholeFeeds(), tables, feeds);
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const { model, blocks } = this.weights;
    const maps = [model, ...blocks, ...(this.#fed ?? []), this.#rope, this.#masks];
    for (const tensors of maps) release(tensors.values());
    for (const parts of this.#headParts.values()) release(parts.map(([, tensor]) => tensor));
    await this.sessions.close();
  }

  /** Computes the slices of a batch in turn: onnxruntime-node computes on the thread that calls, so that no two would overlap. */
  async #eachSlice<Result>(
    batch: Batch,
    compute: (slice: Slice, inputs: SliceInputs) => Promise<Result>,
    take: (slice: Slice, inputs: SliceInputs, result: Result) => void,
  ): Promise<void> {
    const { num_attention_heads, num_key_value_heads } = this.spec.config;
    const slices = planSlices(batch, this.plan.rows, num_attention_heads / num_key_value_heads);
    for (const slice of slices) {
      const inputs = sliceInputs(batch, slice, this.#lastWindow());
      try {
        take(slice, inputs, await compute(slice, inputs));
      } finally {
        this.sessions.releaseOutputs();
      }
    }
  }

  /** Runs the model forward to its end, for a purpose without gradients. */
  async #end(purpose: Purpose & string, slice: Slice, inputs: SliceInputs): Promise<TensorMap> {
    const feeds = await this.#sliceFeeds(slice, inputs);
    const parts = this.#headPartCount(slice);
    if (this.plan.structure === 'whole') {
      const build = (): GraphFile => wholeGraph(this.spec, purpose, parts);
      return this.sessions.run(`${purpose}:${parts}`, build, this.#wholeFeeds(), feeds);
    }
    const { checkpoints } = await this.#blocksForward(feeds, inputs, purpose, () => ({}));
    const x = checkpoints.at(-1)!; // Safe: there is at least one block.
    const last = this.#adapted.length - 1;
    const { tables } = this.weights;
    if (tables === undefined) {
      const build = (): GraphFile => tailGraph(this.spec, purpose, parts);
      return this.#runBlock(last, `tail:${purpose}:${parts}`, build, feeds, { x });
    }
    const { h } = await this.#runBlock(last, 'tail:start', () => streamedStartGraph(this.spec, purpose), feeds, { x });
    const head = { sessions: this.sessions, spec: this.spec, table: tables.head, partCount: parts };
    if (purpose === 'logits')
      return { logits: tensorOf(await streamedLogits(head, h), [h.dims[0], this.vocabularySize]) };
    const sums = await sumStreamed(head, purpose, h);
    const own = new Map([
      ['h', h],
      ['labelRows', labelRows(tables.head, inputs)],
    ]);
    return this.sessions.run('tail:evaluation', () => streamedEvaluationGraph(this.spec), feeds, sums, own);
  }

  /** The last block and the head, forward and backward, by block graphs. */
  async #tailGradients(
    slice: Slice,
    inputs: SliceInputs,
    feeds: Feeds,
    purpose: GradientSpec,
    own: Record<string, Tensor>,
  ): Promise<TensorMap> {
    const { spec } = this;
    const { tables } = this.weights;
    const last = this.#adapted.length - 1;
    const key = gradientKey(purpose);
    const parts = this.#headPartCount(slice);
    if (tables === undefined)
      return this.#runBlock(last, `tail:${key}:${parts}`, () => tailGraph(spec, purpose, parts), feeds, own);
    const start = `tail:start:${purpose.dropout === undefined ? '' : 'dropout'}`;
    const { h } = await this.#runBlock(last, start, () => streamedStartGraph(spec, purpose), feeds, own);
    const head = { sessions: this.sessions, spec, table: tables.head, partCount: parts };
    const sums = await sumStreamed(head, purpose, h);
    return this.#runBlock(last, `tail:${key}:streamed`, () => streamedTailGraph(spec, purpose), feeds, {
      ...own,
      labelRows: labelRows(tables.head, inputs),
      ...Object.fromEntries(sums),
    });
  }

  #headPartCount(slice: Slice): number {
    return headPartCount(this.spec.config, this.plan, slice.labels);
  }

  async #gradientsOf(
    slice: Slice,
    inputs: SliceInputs,
    purpose: GradientSpec,
    bound: Float32Array,
    dropout: Dropout | undefined,
  ): Promise<SliceGradients> {
    const feeds = await this.#sliceFeeds(slice, inputs);
    const masksOf: MasksOf = (block) =>
      dropout === undefined ? {} : dropoutFeeds(this.spec, dropout, slice, inputs, block);
    if (this.plan.structure === 'blocks') return this.#gradientsByBlock(slice, inputs, feeds, purpose, bound, masksOf);
    for (const block of this.#adapted.keys())
      for (const [name, mask] of Object.entries(masksOf(block))) feeds.set(`${block}.${name}`, mask);
    const { groups, matrix } = groupMatrix(slice.examples.length);
    feeds.set('l2Bound', tensorOf(bound, [1]));
    feeds.set('groups', tensorOf(matrix, [groups, slice.examples.length]));
    const parts = this.#headPartCount(slice);
    const key = `gradients:${gradientKey(purpose)}:${parts}`;
    const build = (): GraphFile => wholeGraph(this.spec, purpose, parts);
    const outputs = await this.sessions.run(key, build, this.#wholeFeeds(), feeds);
    const norms = purpose.perExample ? floats(outputs, 'norms') : undefined;
    return { sums: floats(outputs, 'sum'), losses: floats(outputs, 'losses'), norms };
  }

  /**
   * The same by block graphs: forward with checkpoints, backward, then, the norms being known, the sums. The last blocks, as many as
   * the plan has memory for, keep their activations; the others compute them anew (gradient checkpointing).
   *
   * Cost       Keeps the gradients of all examples of the slice, B * P values, until the sums.
   */
  async #gradientsByBlock(
    slice: Slice,
    inputs: SliceInputs,
    feeds: Feeds,
    purpose: GradientSpec,
    bound: Float32Array,
    masksOf: MasksOf,
  ): Promise<SliceGradients> {
    const { spec } = this;
    const key = gradientKey(purpose);
    const last = this.#adapted.length - 1;
    const pair = this.#keptGraphs(purpose);
    const firstKept = Math.max(0, last - keptBlocks(spec.config, slice, this.plan.keptBytes));
    const keeping = { key, pair, firstKept };
    const { checkpoints, activations } = await this.#blocksForward(feeds, inputs, purpose, masksOf, keeping);
    const gradients: TensorMap[] = [];
    const input = checkpoints.pop()!; // Safe: there is a checkpoint for each block.
    const tail = await this.#tailGradients(slice, inputs, feeds, purpose, { x: input, ...masksOf(last) });
    this.sessions.release([input]);
    gradients[last] = tail;
    for (let block = last - 1, dy = tail['dx']; block >= 0; block--) {
      const isKept = block >= firstKept;
      const own: TensorMap = { ...(isKept ? activations.pop()! : {}), x: checkpoints.pop()!, dy };
      const values = { ...own, ...masksOf(block) };
      gradients[block] = isKept
        ? await this.#runBlock(block, `kept backward:${key}`, () => pair.backward, feeds, values)
        : await this.#runBlock(block, `backward:${key}`, () => blockBackwardGraph(spec, purpose), feeds, values);
      this.sessions.release(Object.values(own));
      dy = gradients[block]['dx']!;
    }

    const losses = floats(tail, 'losses');
    const norms = purpose.perExample ? blockNorms(gradients, losses.length) : undefined;
    const { groups, matrix } = norms === undefined ? { groups: 1, matrix: undefined } : groupMatrix(norms.length);
    const factors = matrix?.map((member, i) => member * clipFactor(norms![i % norms!.length], bound[0])); // [groups, B]
    const factorFeed = new Map(
      factors === undefined ? [] : [['factors', tensorOf(factors, [groups, factors.length / groups])]],
    );
    const length = trainedParameterCount(this.modules, this.lora.r, purpose.trained);
    const perBlock = length / gradients.length;
    const sums = new Float32Array(groups * length);
    for (let block = 0; block <= last; block++) {
      const feed = new Map(Object.entries(gradients[block]));
      const part = floats(
        await this.sessions.run(`sum:${key}`, () => sumGraph(spec, purpose), feed, factorFeed),
        'sum',
      );
      this.sessions.release(feed.values());
      for (let group = 0; group < groups; group++) {
        sums.set(part.subarray(group * perBlock, (group + 1) * perBlock), group * length + block * perBlock);
      }
    }
    return { sums, losses, norms };
  }

  /**
   * The input [B, T, D] of every block, and the activations of the blocks from `firstKept` on, the last block excepted: its tail
   * computes forward and backward at once.
   */
  async #blocksForward(
    feeds: Feeds,
    inputs: SliceInputs,
    purpose: Purpose,
    masksOf: MasksOf,
    keeping?: { readonly key: string; readonly pair: GraphPair; readonly firstKept: number },
  ): Promise<{ readonly checkpoints: Tensor[]; readonly activations: TensorMap[] }> {
    const checkpoints = [await this.#embed(feeds, inputs)];
    const activations: TensorMap[] = [];
    const plainKey = typeof purpose !== 'string' && purpose.dropout !== undefined ? 'forward:dropout' : 'forward';
    for (let block = 0; block < this.#adapted.length - 1; block++) {
      const values = { x: checkpoints[block], ...masksOf(block) };
      if (keeping === undefined || block < keeping.firstKept) {
        const build = (): GraphFile => blockForwardGraph(this.spec, purpose);
        checkpoints.push((await this.#runBlock(block, plainKey, build, feeds, values))['y']);
        continue;
      }
      const { key, pair } = keeping;
      const { y, ...kept } = await this.#runBlock(block, `kept forward:${key}`, () => pair.forward, feeds, values);
      checkpoints.push(y);
      activations.push(kept);
    }
    return { checkpoints, activations };
  }

  #keptGraphs(purpose: GradientSpec): GraphPair {
    const key = gradientKey(purpose);
    let pair = this.#pairs.get(key);
    if (pair === undefined) {
      pair = keptBlockGraphs(this.spec, purpose);
      this.#pairs.set(key, pair);
    }
    return pair;
  }

  /** ids [B, T] -> x [B, T, D] */
  async #embed(feeds: Feeds, inputs: SliceInputs): Promise<Tensor> {
    const { tables, model } = this.weights;
    if (tables === undefined) return (await this.sessions.run('embed', () => embedGraph(this.spec), model, feeds))['x'];
    // Safe: every slice has ids.
    const [B, T] = feeds.get('ids')!.dims;
    const embedded = tables.embedding.gather(inputs.ids);
    const scale = this.spec.config.embedding_scale;
    if (scale !== undefined) embedded.forEach((value, i) => (embedded[i] = value * scale));
    return tensorOf(embedded, [B, T, tables.embedding.width]);
  }

  #runBlock(
    block: number,
    key: string,
    build: () => GraphFile,
    feeds: Feeds,
    values: Record<string, Tensor>,
  ): Promise<TensorMap> {
    const own = new Map(Object.entries(values));
    const { model, blocks } = this.weights;
    const typed = this.#typedFeeds(block, feeds);
    return this.sessions.run(key, build, model, blocks[block], this.#ready[block], feeds, typed, own);
  }

  /** The inputs that depend on a block's type, under the names that block graphs have for them. */
  #typedFeeds(block: number, feeds: Feeds): Feeds {
    const own = typedInputs[layerTypeOf(this.spec.config, block)];
    const { mask, rope } = typedInputs.full_attention;
    // Safe: `#sliceFeeds` gives them for every type that the model has.
    return new Map([
      [mask, feeds.get(own.mask)!],
      ...ropeTableNames.map((table) => [`${rope}.${table}`, feeds.get(`${own.rope}.${table}`)!] as const),
    ]);
  }

  #lastWindow(): number {
    const { config } = this.spec;
    return windowOf(config, layerTypeOf(config, config.num_hidden_layers - 1));
  }

  /** Everything but the batch, under the names of the whole graph. */
  #wholeFeeds(): Feeds {
    const feeds = new Map(this.weights.model);
    this.weights.blocks.forEach((tensors, block) => {
      for (const [name, tensor] of [...tensors, ...this.#ready[block]]) feeds.set(`${block}.${name}`, tensor);
    });
    return feeds;
  }

  async #sliceFeeds(slice: Slice, inputs: SliceInputs): Promise<Map<string, Tensor>> {
    const { length: T, labels: L } = slice;
    const B = slice.examples.length;
    const masks: [string, Tensor][] = [];
    for (const type of this.#layerTypes) masks.push([typedInputs[type].mask, await this.#mask(T, type)]);
    return new Map([
      ['ids', tensorOf(inputs.ids, [B, T])],
      ['labels', tensorOf(inputs.labels, [B * L])],
      ['weights', tensorOf(inputs.weights, [B, L])],
      ['focus.positions', tensorOf(inputs.focusPositions, [B, L])],
      ['focus.index', tensorOf(inputs.focusIndex, [B * L])],
      ['focus.inverse', tensorOf(inputs.focusInverse, [B * T])],
      ['focus.mask', tensorOf(inputs.focusMask, [B, 1, L, T])],
      ...masks,
      ...(await this.#ropeTables(T)),
      ...(await this.#headPartTensors(this.#headPartCount(slice))),
    ]);
  }

  /** Parts of the head in f32, which share its memory in this process; on a device they are copies, kept. */
  async #headPartTensors(count: number): Promise<readonly [string, Tensor][]> {
    const head = this.weights.model.get('head');
    if (head === undefined || count <= 1) return [];
    if (head.location !== 'cpu') {
      const build = (): GraphFile => headPartsGraph(this.spec, count);
      const parts =
        this.#headParts.get(count) ??
        Object.entries(this.sessions.keep(await this.sessions.run(`head parts:${count}`, build, this.weights.model)));
      this.#headParts.set(count, parts);
      return parts;
    }
    const D = this.spec.config.hidden_size;
    const values = floats({ head }, 'head');
    return headParts(this.vocabularySize, count).map(({ name, begin, end }) => [
      name,
      tensorOf(values.subarray(begin * D, end * D), [end - begin, D]),
    ]);
  }

  /** Tables for at least `length` positions; made longer when needed, since a model's longest may be far longer than its rows. */
  async #ropeTables(length: number): Promise<Map<string, Tensor>> {
    if (length > this.#ropeLength) {
      const { config } = this.spec;
      this.#ropeLength = Math.max(SHORTEST_ROPE_TABLE, length, 2 * this.#ropeLength);
      const shape = [this.#ropeLength, config.head_dim / 2];
      release(this.#rope.values());
      const rope = new Map(
        this.#layerTypes.flatMap((type) => {
          const tables = ropeTables(layerFrequencies(config, type), this.#ropeLength);
          const { rope } = typedInputs[type];
          return ropeTableNames.map((name) => [`${rope}.${name}`, tensorOf(tables[name], shape)] as const);
        }),
      );
      this.#rope = await this.sessions.place(rope);
    }
    return this.#rope;
  }

  async #mask(length: number, type: LayerType): Promise<Tensor> {
    const window = Math.min(length, windowOf(this.spec.config, type));
    const key = `${length}:${window}`;
    let mask = this.#masks.get(key);
    if (mask === undefined) {
      if (this.#masks.size >= KEPT_MASKS) {
        release(this.#masks.values());
        this.#masks.clear();
      }
      mask = await this.sessions.placeOne(tensorOf(causalMask(length, window), [length, length]));
      this.#masks.set(key, mask);
    }
    return mask;
  }

  /** Puts the adapter where the device reads it, and adds it to the weights where the plan has them merged. */
  async #prepare(): Promise<void> {
    if (this.#fed !== undefined) return;
    const fed = [];
    for (const [block, adapted] of this.#adapted.entries()) {
      const tensors = await this.sessions.place(adapted);
      fed.push(tensors);
      if (this.plan.weights !== 'merged') continue;
      const build = (): GraphFile => mergeGraph(this.spec);
      const merged = this.sessions.keep(await this.sessions.run('merge', build, this.weights.blocks[block], tensors));
      for (const name of this.spec.adapted) tensors.set(`${name}.weight`, merged[`${name}.merged`]);
    }
    this.#fed = fed;
  }

  get #ready(): readonly Map<string, Tensor>[] {
    return this.#fed!; // Safe: every public method prepares first.
  }

  #adapterTensors(values: AdapterValues): Map<string, Tensor>[] {
    const { r } = this.lora;
    const plain = plainLora(values, r);
    const perBlock = this.spec.adapted.length;
    return Array.from({ length: this.spec.config.num_hidden_layers }, (_, block) => {
      const tensors = new Map<string, Tensor>();
      this.spec.adapted.forEach((name: LinearName, i) => {
        const { inFeatures, outFeatures } = this.modules[block * perBlock + i];
        const { A, B, R } = values.modules[block * perBlock + i];
        tensors.set(`${name}.A`, tensorOf(A.slice(), [r, inFeatures]));
        tensors.set(`${name}.B`, tensorOf(plain.modules[block * perBlock + i].B.slice(), [outFeatures, r]));
        if (R === undefined) return;
        tensors.set(`${name}.R`, tensorOf(R.slice(), [r, r]));
        tensors.set(`${name}.frozenB`, tensorOf(B.slice(), [outFeatures, r]));
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
    if (this.#isClosed) throw new FedloraError('internal/unexpected', 'The engine is closed.');
    checkBatch(batch, this);
  }
}

/** The rows of the head that belong to a slice's labels: [R, D] */
function labelRows(head: HalfTable, { labels }: SliceInputs): Tensor {
  return tensorOf(head.gather(labels), [labels.length, head.width]);
}

/** target [P] += the sum of `sums` [groups, P], in f64. */
function addGroups(target: Float64Array, sums: Float32Array): void {
  for (let group = 0; group < sums.length; group += target.length) {
    for (let i = 0; i < target.length; i++) target[i] += sums[group + i];
  }
}

/** Norms over all blocks. [B] */
function blockNorms(gradients: readonly TensorMap[], examples: number): Float32Array {
  return Float32Array.from({ length: examples }, (_, example) =>
    Math.sqrt(gradients.reduce((sum, block) => sum + floats(block, 'squares')[example], 0)),
  );
}

/** As in the graph. NaN stays NaN. */
function clipFactor(norm: number, bound: number): number {
  return norm === 0 ? 1 : Math.min(1, bound / norm);
}

/** Under which name graphs for these gradients are kept. */
function gradientKey({ trained, perExample, dropout }: GradientSpec): string {
  return `${trained}:${perExample}:${dropout === undefined ? 'whole' : 'dropout'}`;
}
