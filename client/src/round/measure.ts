/** Measuring the adapter that a round starts from, on rows that are held out from training. */

import { hasCode } from '@fedlora/shared';
import { toBatches, type IndexedBatch } from '../data/batches.js';
import type { Example } from '../data/tokenize.js';
import type { Engine, Evaluation } from '../engine/engine.js';

/** One row, measured. */
export interface Measured {
  /** Mean over its answer tokens, nats; not a number where the engine gave none. */
  readonly loss: number;
  /** 1 where the whole answer is what the model would say, else 0. */
  readonly exact: number;
}

export interface MeasureOptions {
  /** Rows in one call of the engine. 1 makes each result a function of its row and the adapter alone, whatever the others are. */
  readonly maximumExamples: number;
  /** Tokens, padding included, in one call. */
  readonly maximumTokens: number;
}

/**
 * Loss and exact answer of each of the rows with these indices, in any order.
 *
 * Guarantee  rows never decide whether it succeeds: one that the engine gives no finite loss for has NaN and no exact answer.
 * Secrets    the results are as private as the rows; they leave only inside the masked vector.
 */
export async function measure(
  engine: Engine,
  examples: readonly Example[],
  indices: readonly number[],
  { maximumExamples, maximumTokens }: MeasureOptions,
  signal: AbortSignal,
): Promise<readonly Measured[]> {
  const limits = { maximumTokens, maximumLength: engine.maximumLength };
  const measured: Measured[] = [];
  /** Adds a batch. `false`, and nothing added, where the engine gave no finite losses. */
  const add = async (batch: IndexedBatch): Promise<boolean> => {
    signal.throwIfAborted();
    const evaluation = await evaluationOrNone(engine, batch);
    if (evaluation === undefined) return false;
    evaluation.losses.forEach((loss, i) => measured.push({ loss, exact: evaluation.exact[i] }));
    return true;
  };
  for (const batch of toBatches(examples, indices, { ...limits, maximumExamples })) {
    if (await add(batch)) continue;
    for (const alone of toBatches(examples, batch.indices, { ...limits, maximumExamples: 1 })) {
      if (!(await add(alone))) measured.push({ loss: NaN, exact: 0 });
    }
  }
  return measured;
}

async function evaluationOrNone(engine: Engine, batch: IndexedBatch): Promise<Evaluation | undefined> {
  let evaluation: Evaluation;
  try {
    evaluation = await engine.evaluate(batch);
  } catch (error) {
    if (hasCode(error, 'engine/diverged')) return undefined;
    throw error;
  }
  return evaluation.losses.every(Number.isFinite) ? evaluation : undefined;
}
