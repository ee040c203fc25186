/**
 * Examples to padded batches of similar lengths.
 *
 * Legend     B = examples of a batch, T = its padded length.
 */

import { FedloraError } from '@fedlora/shared';
import type { Batch } from '../engine/engine.js';
import type { Example } from './tokenize.js';

/** A batch that knows whose examples it holds: `indices[b]` is the example in row b. */
export interface IndexedBatch extends Batch {
  readonly indices: readonly number[];
}

export interface BatchOptions {
  readonly maximumExamples: number;
  /** Most padded tokens, B * T. An example that is longer by itself makes a batch of one. */
  readonly maximumTokens: number;
  /** T is rounded up to a multiple, so that an engine sees few shapes. */
  readonly multipleOf?: number;
  /** T is never rounded beyond this, the longest that the model can take. */
  readonly maximumLength?: number;
  readonly padId?: number;
}

/**
 * Puts the examples with these indices into batches, longest first, so that a lack of memory shows at once.
 *
 * Guarantee  every index is in exactly one batch, once: an example that counted twice would break the bound on its influence.
 *            Padding is on the right and never in the answer mask. The result depends on the set of indices, not their order.
 * @throws FedloraError internal/unexpected: an index twice or outside the examples - our bug
 */
export function toBatches(
  examples: readonly Example[],
  indices: readonly number[],
  options: BatchOptions,
): IndexedBatch[] {
  const { maximumExamples, maximumTokens, multipleOf = 16, maximumLength = Infinity, padId = 0 } = options;
  if (new Set(indices).size !== indices.length)
    throw new FedloraError('internal/unexpected', 'An example is asked for twice.');
  const lengthOf = (index: number): number => {
    const example = examples[index];
    if (example === undefined)
      throw new FedloraError('internal/unexpected', 'There is no such example.', { details: { index } });
    return example.ids.length;
  };
  const padded = (length: number): number =>
    Math.max(length, Math.min(Math.ceil(length / multipleOf) * multipleOf, maximumLength));
  const sorted = [...indices].sort((a, b) => lengthOf(b) - lengthOf(a) || a - b);
  const batches: IndexedBatch[] = [];
  for (let begin = 0; begin < sorted.length;) {
    // Safe: begin < sorted.length. The first of a batch is its longest.
    const length = padded(lengthOf(sorted[begin]));
    const count = Math.max(1, Math.min(maximumExamples, Math.floor(maximumTokens / length)));
    batches.push(toBatch(examples, sorted.slice(begin, begin + count), length, padId));
    begin += count;
  }
  return batches;
}

function toBatch(
  examples: readonly Example[],
  indices: readonly number[],
  length: number,
  padId: number,
): IndexedBatch {
  const ids = new Int32Array(indices.length * length).fill(padId); // [B, T]
  const answerMask = new Uint8Array(indices.length * length); // [B, T]
  indices.forEach((index, b) => {
    // Safe: checked by the caller.
    const example = examples[index];
    ids.set(example.ids, b * length);
    answerMask.fill(1, b * length + example.answerStart, b * length + example.ids.length);
  });
  return { examples: indices.length, length, ids, answerMask, indices };
}
