/** Measuring the adapter that a round starts from, on rows that are held out from training. */

import { usingOnce } from '@fedlora/protocol';
import { hasCode } from '@fedlora/shared';
import { toBatches, type IndexedBatch } from '../data/batches.js';
import type { Example } from '../data/tokenize.js';
import type { Engine, Evaluation } from '../engine/engine.js';
import type { Scratch } from './scratch.js';

/** One row, measured; or the mean of several. */
export class Measured {
  constructor(
    /** Mean over its answer tokens, nats; not a number where the engine gave none. */
    public loss: number,
    /** 1 where the whole answer is what the model would say, else 0. */
    public exact: number,
  ) {}

  /** Overwrites both: `Scratch` takes it. */
  fill(value: 0): void {
    this.loss = value;
    this.exact = value;
  }
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
 * Secrets    the results are as private as the rows; they leave only inside the masked vector, and `scratch` wipes them.
 */
export async function measure(
  engine: Engine,
  examples: readonly Example[],
  indices: readonly number[],
  { maximumExamples, maximumTokens }: MeasureOptions,
  signal: AbortSignal,
  scratch: Scratch,
): Promise<readonly Measured[]> {
  const limits = { maximumTokens, maximumLength: engine.maximumLength };
  const measured: Measured[] = [];
  const keep = (loss: number, exact: number): void => void measured.push(scratch.keep(new Measured(loss, exact)));
  /** Adds a batch. `false`, and nothing added, where the engine gave no finite losses. */
  const add = async (batch: IndexedBatch): Promise<boolean> => {
    signal.throwIfAborted();
    const evaluation = await evaluationOrNone(engine, batch);
    if (evaluation === undefined) return false;
    usingOnce(evaluation.losses, (losses) =>
      usingOnce(evaluation.exact, (exact) => losses.forEach((loss, i) => keep(loss, exact[i]))),
    );
    return true;
  };
  for (const batch of toBatches(examples, indices, { ...limits, maximumExamples })) {
    if (await add(batch)) continue;
    for (const alone of toBatches(examples, batch.indices, { ...limits, maximumExamples: 1 })) {
      if (!(await add(alone))) keep(NaN, 0);
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
  if (evaluation.losses.every(Number.isFinite)) return evaluation;
  for (const values of [evaluation.losses, evaluation.exact]) values.fill(0);
  return undefined;
}
