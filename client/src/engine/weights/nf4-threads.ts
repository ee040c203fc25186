/**
 * Quantizing to NF4 on several threads.
 *
 * A thread's program is the source text of `nf4Kernel`: the same function that runs here, in a build and under the test runner alike,
 * with no file to find. It imports nothing but the message port.
 */

import { FedloraError } from '@fedlora/shared';
import { Worker } from 'node:worker_threads';
import { NF4_BLOCK, nf4Kernel, nf4Thresholds, type Nf4Values } from './nf4.js';

/** Values that a thread gets at once: 4 MiB, a multiple of the block size. */
export const SLICE_VALUES = 1 << 20;

/** Slices for each thread, so that one waits while one is worked on. */
const SLICES_PER_THREAD = 2;

/** What a thread sends back. */
interface QuantizedSlice extends Nf4Values {
  readonly id: number;
  /** The buffer that it came in. */
  readonly values: Float32Array;
  /** First block with a value that is not finite, or -1. */
  readonly badBlock: number;
}

const program = `
const { parentPort, workerData } = require('node:worker_threads');
const quantize = (${nf4Kernel.toString()})(workerData.thresholds);
parentPort.on('message', ({ id, values, count }) => {
  const codes = new Uint8Array(Math.ceil(count / 2));
  const absmax = new Float32Array(Math.ceil(count / workerData.blockSize));
  const badBlock = quantize(values.subarray(0, count), workerData.blockSize, codes, absmax);
  parentPort.postMessage({ id, values, codes, absmax, badBlock }, [values.buffer, codes.buffer, absmax.buffer]);
});
`;

/** A slice on its way: where its result goes. */
interface Waiting {
  /** `undefined` if there will be none. */
  readonly take: (slice: QuantizedSlice | undefined) => void;
  readonly thread: number;
}

/** Threads that quantize. Close them, or the process does not end. */
export class Nf4Threads {
  readonly #threads: Worker[];
  readonly #load: number[];
  /** Buffers that no slice uses; [SLICE_VALUES] each. */
  readonly #free: Float32Array[];
  readonly #waiting = new Map<number, Waiting>();
  #wakeUps: (() => void)[] = [];
  #failure: Error | undefined;
  #nextId = 0;

  constructor(count: number) {
    const workerData = { thresholds: nf4Thresholds, blockSize: NF4_BLOCK };
    // Without this process's own flags, which may name loaders that the program has no need of.
    const options = { eval: true, execArgv: [], workerData };
    this.#threads = Array.from({ length: count }, () => new Worker(program, options));
    this.#load = this.#threads.map(() => 0);
    this.#free = Array.from({ length: SLICES_PER_THREAD * count }, () => new Float32Array(SLICE_VALUES));
    for (const thread of this.#threads) {
      thread.on('message', (slice: QuantizedSlice) => this.#receive(slice));
      thread.on('error', (error) => this.#fail(error));
      thread.on('exit', () => this.#fail(new Error('A thread that quantizes ended.')));
    }
  }

  /**
   * Quantizes a weight.
   *
   * Shapes     values [N] f32 -> codes [ceil(N/2)] u8, absmax [ceil(N/64)] f32
   * Guarantee  the bytes that `quantizeNf4` gives.
   * Cost       `values` may be let go once `handedOver` resolves: by then it has been copied
   * @throws FedloraError base-model/not-finite
   */
  quantize(values: Float32Array): { readonly handedOver: Promise<void>; readonly result: Promise<Nf4Values> } {
    const codes = new Uint8Array(Math.ceil(values.length / 2));
    const absmax = new Float32Array(Math.ceil(values.length / NF4_BLOCK));
    const slices: Promise<void>[] = [];
    const handedOver = (async () => {
      for (let begin = 0; begin < values.length; begin += SLICE_VALUES) {
        const buffer = await this.#buffer();
        const part = values.subarray(begin, begin + SLICE_VALUES);
        buffer.set(part);
        slices.push(
          this.#send(buffer, part.length).then((slice) => {
            if (slice.badBlock >= 0) {
              const block = begin / NF4_BLOCK + slice.badBlock;
              throw new FedloraError('base-model/not-finite', undefined, { details: { block } });
            }
            codes.set(slice.codes, begin / 2);
            absmax.set(slice.absmax, begin / NF4_BLOCK);
          }),
        );
        // Whoever awaits the result sees it; until then it is not unhandled.
        slices.at(-1)?.catch(() => undefined);
      }
    })();
    const result = handedOver.then(async () => {
      await Promise.all(slices);
      return { codes, absmax };
    });
    result.catch(() => undefined);
    return { handedOver, result };
  }

  async close(): Promise<void> {
    this.#failure ??= new Error('The threads were closed.');
    for (const thread of this.#threads) thread.removeAllListeners('exit');
    await Promise.all(this.#threads.map((thread) => thread.terminate()));
  }

  async #buffer(): Promise<Float32Array> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#broken();
      const buffer = this.#free.pop();
      if (buffer !== undefined) return buffer;
      await new Promise<void>((resolve) => this.#wakeUps.push(resolve));
    }
  }

  #send(values: Float32Array, count: number): Promise<QuantizedSlice> {
    const id = this.#nextId++;
    const thread = this.#load.indexOf(Math.min(...this.#load));
    return new Promise((resolve, reject) => {
      const take = (slice: QuantizedSlice | undefined): void => {
        if (slice === undefined) reject(this.#broken());
        else resolve(slice);
      };
      this.#waiting.set(id, { take, thread });
      this.#load[thread]++;
      // Safe: made above as a plain ArrayBuffer.
      this.#threads[thread].postMessage({ id, values, count }, [values.buffer as ArrayBuffer]);
    });
  }

  #receive(slice: QuantizedSlice): void {
    const waiting = this.#waiting.get(slice.id);
    if (waiting === undefined) return;
    this.#waiting.delete(slice.id);
    this.#load[waiting.thread]--;
    this.#free.push(slice.values);
    waiting.take(slice);
    this.#wake();
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const { take } of this.#waiting.values()) take(undefined);
    this.#waiting.clear();
    this.#wake();
  }

  #wake(): void {
    const wakeUps = this.#wakeUps;
    this.#wakeUps = [];
    for (const wake of wakeUps) wake();
  }

  #broken(): FedloraError {
    return new FedloraError('internal/unexpected', 'Quantizing on threads failed.', { cause: this.#failure });
  }
}
