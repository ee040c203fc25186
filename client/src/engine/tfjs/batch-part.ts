/**
 * The part of a batch that one computation needs: some of its examples, cut off behind the last token that an answer depends on.
 *
 * Legend     B, T = the batch's examples and tokens; b, T' = those of the part; N = answer tokens of the part.
 */

import type { Batch } from '../engine.js';
import type { Answers } from './answer-loss.js';

export interface BatchPart {
  readonly examples: number; // b
  readonly length: number; // T'
  /** [b * T'] token ids. */
  readonly ids: Int32Array;
  readonly answers: Answers; // rows of [b * T']
  /** [N] which of the part's examples an answer token belongs to; ascending. */
  readonly owners: Int32Array;
  /** [b] answer tokens of each example. */
  readonly counts: Int32Array;
}

/**
 * Examples `begin` to `end` of a batch as one part.
 *
 * Edge cases no answer tokens at all -> N = 0, T' = 0 | an answer token in the first column has nothing to its left and does not
 *            count
 */
export function partOf(batch: Batch, begin = 0, end = batch.examples): BatchPart {
  const rows: number[] = [];
  const targets: number[] = [];
  const owners: number[] = [];
  const examples = end - begin;
  const counts = new Int32Array(examples);
  let length = 0;
  for (let example = 0; example < examples; example++) {
    const offset = (begin + example) * batch.length;
    for (let column = 1; column < batch.length; column++) {
      if (batch.answerMask[offset + column] === 0) continue;
      rows.push(column - 1); // the row within its example, until T' is known
      targets.push(batch.ids[offset + column]);
      owners.push(example);
      counts[example]++;
      length = Math.max(length, column); // the last token is predicted, not read
    }
  }
  return {
    examples,
    length,
    ids: cutRows(batch, begin, end, length),
    answers: { rows: Int32Array.from(rows, (row, i) => owners[i] * length + row), targets: Int32Array.from(targets) },
    owners: Int32Array.from(owners),
    counts,
  };
}

/** The first `length` ids of examples `begin` to `end`: [(end - begin) * length]. */
export function cutRows(batch: Batch, begin: number, end: number, length: number): Int32Array {
  const ids = new Int32Array((end - begin) * length);
  for (let example = begin; example < end; example++) {
    const offset = example * batch.length;
    ids.set(batch.ids.subarray(offset, offset + length), (example - begin) * length);
  }
  return ids;
}
