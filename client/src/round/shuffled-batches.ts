/** Rows as batches for training by steps: shuffled passes, each batch in parts that one call of the engine takes. */

import type { RandomSource } from '@fedlora/protocol';
import { FedloraError } from '@fedlora/shared';
import { toBatches } from '../data/batches.js';
import type { Example } from '../data/tokenize.js';
import type { BatchSource } from '../engine/train.js';
import { ShuffledPasses } from './shuffled-passes.js';

export interface ShuffledBatchesOptions {
  /** Examples of a step; all of them when there are fewer. */
  readonly batchSize: number;
  /** Tokens, padding included, in one call of the engine. */
  readonly tokensPerBatch: number;
  /** The longest that the model can take. */
  readonly maximumLength: number;
  readonly random: RandomSource;
  /** What an error may call an example; not given in rounds. */
  readonly exampleName?: (index: number) => string;
}

/** @throws FedloraError data/empty */
export function shuffledBatches(examples: readonly Example[], options: ShuffledBatchesOptions): BatchSource {
  const { batchSize, tokensPerBatch, maximumLength, random, exampleName } = options;
  if (examples.length === 0) throw new FedloraError('data/empty');
  const order = new ShuffledPasses(examples.length, random);
  const limits = { maximumExamples: batchSize, maximumTokens: tokensPerBatch, maximumLength };
  return {
    batchesPerEpoch: Math.ceil(examples.length / batchSize),
    nextBatch: () => toBatches(examples, order.next(batchSize), limits),
    ...(exampleName === undefined ? {} : { exampleName }),
  };
}
