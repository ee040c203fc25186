/** onnxruntime sessions, made when first needed, and the tensors that they read. */

import { FedloraError } from '@fedlora/shared';
import { InferenceSession, Tensor } from 'onnxruntime-node';

/** Values for a session's inputs, by name. What a session does not read is ignored. */
export type Feeds = ReadonlyMap<string, Tensor>;

export type TensorMap = Readonly<Record<string, Tensor>>;

/** Makes and keeps the sessions of one engine. */
export class Sessions {
  readonly #sessions = new Map<string, Promise<InferenceSession>>();

  /**
   * @param ready `last`: before another session is made, those before it are let go with their memory. Graphs must then be run one
   *              at a time, and the same ones in a row.
   */
  constructor(
    readonly threads: number,
    readonly ready: 'all' | 'last' = 'all',
  ) {}

  /** Runs the graph called `name`, which `build` makes if it is the first time. Later feeds hide earlier ones. */
  async run(name: string, build: () => Uint8Array, ...feeds: readonly Feeds[]): Promise<TensorMap> {
    let creating = this.#sessions.get(name);
    if (creating === undefined) {
      const room = this.ready === 'all' ? Promise.resolve() : this.close();
      creating = room.then(() => InferenceSession.create(build(), sessionOptions(this.threads)));
      this.#sessions.set(name, creating);
    }
    const session = await creating;
    const inputs: Record<string, Tensor> = {};
    for (const input of session.inputNames) {
      const value = feeds.findLast((feed) => feed.has(input))?.get(input);
      if (value === undefined) throw new Error(`Graph ${name} reads ${input}, which nobody gave.`);
      inputs[input] = value;
    }
    return await session.run(inputs).catch((error: unknown) => {
      throw hasNoMemory(error)
        ? new FedloraError('engine/out-of-memory', 'Memory ended within a step.', { cause: error })
        : error;
    });
  }

  /** Lets all sessions go, with their memory. */
  async close(): Promise<void> {
    const sessions = [...this.#sessions.values()];
    this.#sessions.clear();
    await Promise.all(sessions.map(async (session) => (await session).release()));
  }
}

/** Whether an error of the runtime, or of this process's buffers, says that an allocation failed. */
export function hasNoMemory(error: unknown): boolean {
  return error instanceof Error && /failed to allocate|bad_alloc|allocation failed|out of memory/i.test(error.message);
}

/**
 * Arena on: without it every run pays page faults anew, three times the time. Memory pattern off: half the memory, and shapes vary.
 * Spinning off: idle threads that spin steal the processor from whatever else the owner runs.
 */
function sessionOptions(threads: number): InferenceSession.SessionOptions {
  return {
    executionProviders: ['cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    enableCpuMemArena: true,
    enableMemPattern: false,
    logSeverityLevel: 3,
    extra: { session: { intra_op: { allow_spinning: '0' } } },
  };
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
  return tensors[name].data as Float32Array; // Safe: the graph that was run declares it as f32.
}
