/** onnxruntime sessions, made when first needed, and the tensors that they read. */

import { FedloraError } from '@fedlora/shared';
import './no-telemetry.js';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { DeviceProfile, OnnxDevice } from './device.js';
import { GraphBuilder, type ElementType, type GraphFile } from './graph.js';

/** Values for a session's inputs, by name. What a session does not read is ignored. */
export type Feeds = ReadonlyMap<string, Tensor>;

export type TensorMap = Readonly<Record<string, Tensor>>;

/**
 * Outputs that this process reads, whatever block they are of; all others are other graphs' inputs and stay where they were
 * computed, if the device can keep them.
 */
const readHere: ReadonlySet<string> = new Set([
  'losses',
  'norms',
  'squares',
  'sum',
  'best.token',
  'logits',
  'keys',
  'values',
]);

/**
 * One session of each device with kernels of its own, for as long as the process lives. A device's compiled kernels go with its last
 * session, and the next engine, first of all that after the self-test, would compile a hundred of them anew.
 */
const heldSessions = new Map<OnnxDevice, Promise<InferenceSession>>();

/** Makes and keeps the sessions of one engine. */
export class Sessions {
  readonly #sessions = new Map<string, Promise<InferenceSession>>();
  /** Results of `run` on the device. */
  readonly #live = new Set<Tensor>();

  /**
   * @param ready `last`: before another session is made, those before it are let go with their memory. Graphs must then be run one
   *              at a time, and the same ones in a row.
   */
  constructor(
    readonly threads: number,
    readonly profile: DeviceProfile,
    readonly ready: 'all' | 'last' = 'all',
  ) {}

  /** Runs the graph called `name`, which `build` makes if it is the first time. Later feeds hide earlier ones. */
  async run(name: string, build: () => GraphFile, ...feeds: readonly Feeds[]): Promise<TensorMap> {
    let creating = this.#sessions.get(name);
    if (creating === undefined) {
      const room = this.ready === 'all' ? this.#holdDevice() : this.close();
      const { bytes, outputs } = build();
      creating = room.then(() => InferenceSession.create(bytes, this.#options(outputs)));
      this.#sessions.set(name, creating);
    }
    const session = await creating;
    const inputs: Record<string, Tensor> = {};
    for (const input of session.inputNames) {
      const value = feeds.findLast((feed) => feed.has(input))?.get(input);
      if (value === undefined) throw new Error(`Graph ${name} reads ${input}, which nobody gave.`);
      inputs[input] = value;
    }
    const results = await session.run(inputs).catch((error: unknown) => {
      throw hasNoMemory(error)
        ? new FedloraError('engine/out-of-memory', 'Memory ended within a step.', { cause: error })
        : error;
    });
    for (const tensor of Object.values(results)) if (tensor.location !== 'cpu') this.#live.add(tensor);
    return results;
  }

  /** Results of `run` that the device still holds and nobody keeps. */
  get outputsOnDevice(): number {
    return this.#live.size;
  }

  /** Frees what tensors hold of a device, before the end of the computation that they are part of. */
  release(tensors: Iterable<Tensor>): void {
    for (const tensor of tensors) if (this.#live.delete(tensor)) tensor.dispose();
  }

  /** Frees what the device still holds of the results of `run`, except what was placed or is kept. */
  releaseOutputs(): void {
    this.release([...this.#live]);
  }

  /** Leaves results to the caller, who releases them. */
  keep(results: TensorMap): TensorMap {
    for (const tensor of Object.values(results)) this.#live.delete(tensor);
    return results;
  }

  /**
   * Copies tensors to the device, if it keeps any: a graph that gives what it is given leaves its output there. Whole numbers of 64
   * bits, which a GPU does not have, stay.
   */
  async place(tensors: Feeds): Promise<Map<string, Tensor>> {
    const placed = new Map<Tensor, Tensor>();
    for (const tensor of new Set(tensors.values())) placed.set(tensor, await this.placeOne(tensor));
    return new Map([...tensors].map(([name, tensor]) => [name, placed.get(tensor)!])); // Safe: each was placed.
  }

  async placeOne(tensor: Tensor): Promise<Tensor> {
    if (!this.profile.keepsTensors || tensor.location !== 'cpu' || tensor.type === 'int64') return tensor;
    const type = tensor.type as ElementType; // Safe: `tensorOf` makes no others.
    const build = (): GraphFile => placingGraph(this.profile, type, tensor.dims.length);
    const feed = new Map([['tensor', tensor]]);
    return this.keep(await this.run(`place:${type}:${tensor.dims.length}`, build, feed))['placed'];
  }

  async #holdDevice(): Promise<void> {
    const { device, keepsTensors } = this.profile;
    if (!keepsTensors || heldSessions.has(device)) return;
    const { bytes, outputs } = placingGraph(this.profile, 'float32', 1);
    const holding = InferenceSession.create(bytes, this.#options(outputs));
    heldSessions.set(device, holding);
    await holding.catch((error: unknown) => {
      heldSessions.delete(device);
      throw error;
    });
  }

  /** Lets all sessions go, with their memory. */
  async close(): Promise<void> {
    const sessions = [...this.#sessions.values()];
    this.#sessions.clear();
    await Promise.all(sessions.map(async (session) => (await session).release()));
  }

  /**
   * Arena on: without it every run pays page faults anew, three times the time. Memory pattern off: half the memory, and shapes
   * vary. Spinning off: idle threads that spin steal the processor from whatever else the owner runs.
   */
  #options(outputs: readonly string[]): InferenceSession.SessionOptions {
    const { device, keepsTensors } = this.profile;
    const kept = outputs.filter((name) => !readHere.has(name.replace(/^\d+\./, '')));
    return {
      executionProviders: device === 'cpu' ? ['cpu'] : [device, 'cpu'],
      intraOpNumThreads: this.threads,
      interOpNumThreads: 1,
      executionMode: 'sequential',
      graphOptimizationLevel: 'all',
      enableCpuMemArena: true,
      enableMemPattern: false,
      logSeverityLevel: 3,
      extra: { session: { intra_op: { allow_spinning: '0' } } },
      ...(keepsTensors && kept.length > 0
        ? { preferredOutputLocation: Object.fromEntries(kept.map((name) => [name, 'gpu-buffer'])) }
        : {}),
    };
  }
}

/** tensor -> placed, which is the same. */
function placingGraph(profile: DeviceProfile, type: ElementType, rank: number): GraphFile {
  const graph = new GraphBuilder(profile);
  const dimensions = Array.from({ length: rank }, (_, axis) => `d${axis}`);
  graph.output('placed', graph.input('tensor', type, dimensions), type, dimensions);
  return graph.build();
}

/** Whether an error of the runtime, or of this process's buffers, says that an allocation failed. */
export function hasNoMemory(error: unknown): boolean {
  return error instanceof Error && /failed to allocate|bad_alloc|allocation failed|out of memory/i.test(error.message);
}

/**
 * Frees what placed or kept tensors hold of a device, at once; those of this process are left to its garbage collection.
 *
 * A tensor on a device is never read by `getData`: the binding of onnxruntime 1.30 then ends the process. What is to be read is an
 * output that does not stay (`readHere`).
 */
export function release(tensors: Iterable<Tensor>): void {
  for (const tensor of tensors) if (tensor.location !== 'cpu') tensor.dispose();
}

/** A tensor over the array itself: nothing is copied. */
export function tensorOf(
  values: Float32Array | Int32Array | BigInt64Array | Uint8Array,
  dimensions: readonly number[],
): Tensor {
  if (values instanceof Float32Array) return new Tensor('float32', values, dimensions);
  if (values instanceof Int32Array) return new Tensor('int32', values, dimensions);
  if (values instanceof Uint8Array) return new Tensor('uint8', values, dimensions);
  return new Tensor('int64', values, dimensions);
}

export function floats(tensors: TensorMap, name: string): Float32Array {
  return tensors[name].data as Float32Array; // Safe: the graph that was run declares it as f32, and `readHere` names it.
}
