/**
 * The linear weights of a base model in NF4: from the cache, from a checkpoint that has them, or quantized on several threads.
 *
 * Guarantee  codes and absmax are those of `quantizeNf4`, however many threads; a checkpoint's own NF4 is taken as it is.
 * Cost       Memory holds the result (0.5625 bytes a parameter), the one tensor that is being read in f32, and 8 MiB a thread.
 */

import { FedloraError, linearLayers } from '@fedlora/shared';
import { availableParallelism } from 'node:os';
import type { BaseModel, ModelConfig } from './base-model.js';
import { expectedTensors } from './model-config.js';
import { Nf4CacheWriter, readNf4Cache, type NamedShape } from './nf4-cache.js';
import { Nf4Threads, SLICE_VALUES } from './nf4-threads.js';
import { quantizeNf4, type Nf4Values } from './nf4.js';

export interface QuantizeOptions {
  /** How many threads quantize besides this one, which reads; 0 for none. All cores by default, but no more than there is work for. */
  readonly threads?: number;
  /** Where results are kept from one start to the next, by the model's digest. Without it nothing is written. */
  readonly cacheFolder?: string;
  /** Called after each tensor with parameters done and in all. */
  readonly onProgress?: (doneParameters: number, parameters: number) => void;
  /** Called once, when all weights are there. */
  readonly onFinished?: (report: QuantizeReport) => void;
  readonly signal?: AbortSignal;
}

/** A weight in NF4, blocks of 64 over the row-major values. */
export interface QuantizedWeight extends Nf4Values {
  readonly shape: readonly number[];
}

export interface QuantizeReport {
  readonly parameters: number;
  readonly seconds: number;
  readonly parametersPerSecond: number;
  /** Threads besides the one that reads; 0 if all came from the cache. */
  readonly threads: number;
  /**
   * off: no folder was given | read: all came from it | written: quantized and kept | rewritten: what was there was damaged, and was
   * replaced | failed: the result is right, but could not be kept
   */
  readonly cache: 'off' | 'read' | 'written' | 'rewritten' | 'failed';
  /** Why the cache failed. */
  readonly cacheError?: unknown;
}

export interface QuantizedLinear {
  readonly tensors: ReadonlyMap<string, QuantizedWeight>;
  readonly report: QuantizeReport;
}

/** Names of all weights that QLoRA quantizes: the linear layers of every block, but not embedding and head. */
export function linearWeightNames(config: ModelConfig): readonly string[] {
  return Array.from({ length: config.num_hidden_layers }, (_, block) =>
    linearLayers.map(([name, parent]) => `model.layers.${block}.${parent}.${name}.weight`),
  ).flat();
}

/**
 * Linear weights of a base model in NF4.
 *
 * Edge cases no names -> an empty result | a damaged cache -> quantized anew | a cache that cannot be written -> said in the report
 * @throws FedloraError base-model/not-finite: names the tensor | base-model/invalid: a name that the model has not | what `tensor`
 *         throws. An aborted signal throws its reason.
 */
export async function quantizedLinear(
  base: BaseModel,
  names: readonly string[] = linearWeightNames(base.config),
  options: QuantizeOptions = {},
): Promise<QuantizedLinear> {
  const start = performance.now();
  const shapes = shapesOf(base.config, names);
  const parameters = shapes.reduce((sum, [, shape]) => sum + countOf(shape), 0);
  const finished = (
    values: ReadonlyMap<string, Nf4Values>,
    threads: number,
    cache: Pick<QuantizeReport, 'cache' | 'cacheError'>,
  ): QuantizedLinear => {
    const seconds = (performance.now() - start) / 1000;
    const tensors = new Map<string, QuantizedWeight>();
    for (const [name, shape] of shapes) {
      const found = values.get(name);
      if (found !== undefined) tensors.set(name, { ...found, shape });
    }
    const report = { parameters, seconds, parametersPerSecond: parameters / seconds, threads, ...cache };
    options.onFinished?.(report);
    return { tensors, report };
  };

  const { cacheFolder } = options;
  if (cacheFolder === undefined) {
    const { values, threads } = await quantizeAll(base, shapes, options);
    return finished(values, threads, { cache: 'off' });
  }
  let kept: Awaited<ReturnType<typeof readNf4Cache>> = 'absent';
  let cacheError: unknown;
  let writer: Nf4CacheWriter | undefined;
  try {
    kept = await readNf4Cache(cacheFolder, base.digest, shapes);
    if (typeof kept === 'string') writer = await Nf4CacheWriter.create(cacheFolder, base.digest, shapes);
  } catch (error) {
    cacheError = error;
  }
  if (typeof kept !== 'string') {
    options.onProgress?.(parameters, parameters);
    return finished(kept, 0, { cache: 'read' });
  }

  // A cache that fails is given up; the weights are what matters.
  const keep = async (use: (writer: Nf4CacheWriter) => Promise<void>): Promise<void> => {
    if (writer === undefined) return;
    try {
      await use(writer);
    } catch (error) {
      cacheError = error;
      await writer.discard();
      writer = undefined;
    }
  };
  try {
    const { values, threads } = await quantizeAll(base, shapes, options, (name, value) =>
      keep((open) => open.write(name, value)),
    );
    await keep((open) => open.finish());
    if (writer === undefined) return finished(values, threads, { cache: 'failed', cacheError });
    return finished(values, threads, { cache: kept === 'damaged' ? 'rewritten' : 'written' });
  } catch (error) {
    await writer?.discard();
    throw error;
  }
}

/** The report as a line for people: what was done, how fast, and what became of the cache. */
export function describeQuantization(report: QuantizeReport): string {
  const { parameters, seconds, parametersPerSecond, threads, cache } = report;
  const millions = (count: number): string => (count / 1e6).toFixed(1);
  if (cache === 'read')
    return `read ${millions(parameters)} million NF4 parameters from the cache in ${seconds.toFixed(1)} s`;
  const speed = `${millions(parameters)} million parameters in ${seconds.toFixed(1)} s`;
  const rate = `${millions(parametersPerSecond)} million a second, ${threads} ${threads === 1 ? 'thread' : 'threads'}`;
  const after = {
    off: '',
    written: '; kept in the cache',
    rewritten: '; the cache was damaged and was replaced',
    failed: `; could not be kept in the cache: ${String(report.cacheError)}`,
  }[cache];
  return `quantized ${speed} (${rate})${after}`;
}

/** Reads tensor by tensor here while threads quantize what was read before. */
async function quantizeAll(
  base: BaseModel,
  shapes: readonly NamedShape[],
  { threads, onProgress, signal }: QuantizeOptions,
  keep: (name: string, values: Nf4Values) => Promise<void> = async () => undefined,
): Promise<{ readonly values: ReadonlyMap<string, Nf4Values>; readonly threads: number }> {
  const parameters = shapes.reduce((sum, [, shape]) => sum + countOf(shape), 0);
  const useful = parameters < SLICE_VALUES ? 0 : Math.ceil(parameters / SLICE_VALUES);
  const count = Math.min(threads ?? availableParallelism(), useful);
  const values = new Map<string, Nf4Values>();
  let done = 0;
  let written = Promise.resolve();
  const finish = (name: string, shape: readonly number[], value: Nf4Values): void => {
    values.set(name, value);
    done += countOf(shape);
    onProgress?.(done, parameters);
    written = written.then(() => keep(name, value));
  };
  const pool = count > 0 ? new Nf4Threads(count) : undefined;
  try {
    const running: Promise<void>[] = [];
    for (const [name, shape] of shapes) {
      signal?.throwIfAborted();
      const stored = await base.nf4?.(name, shape);
      if (stored !== undefined) {
        finish(name, shape, stored);
        continue;
      }
      const weight = await base.tensor(name, shape);
      if (pool === undefined) {
        finish(
          name,
          shape,
          named(name, () => quantizeNf4(weight)),
        );
        continue;
      }
      const { handedOver, result } = pool.quantize(weight);
      const finished = result.then(
        (value) => finish(name, shape, value),
        (error: unknown) => {
          throw withName(name, error);
        },
      );
      finished.catch(() => undefined); // awaited below, or the loop ends with an earlier error
      running.push(finished);
      await handedOver;
    }
    await Promise.all(running);
    await written;
    return { values, threads: count };
  } finally {
    await pool?.close();
    await written.catch(() => undefined); // so that the cache's file is no longer in use
  }
}

function shapesOf(config: ModelConfig, names: readonly string[]): readonly NamedShape[] {
  const expected = expectedTensors(config);
  return [...new Set(names)].map((name) => {
    const shape = expected.get(name);
    if (shape === undefined)
      throw new FedloraError('base-model/invalid', `A ${config.model_type} model has no tensor ${name}.`);
    return [name, shape];
  });
}

function named<T>(name: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw withName(name, error);
  }
}

/** The error about a value with the tensor that it is in. */
function withName(name: string, error: unknown): unknown {
  if (!(error instanceof FedloraError) || error.code !== 'base-model/not-finite') return error;
  const details = { ...error.details, tensor: name };
  return new FedloraError(error.code, `Tensor ${name} holds a value that is not finite.`, { details, cause: error });
}

function countOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}
