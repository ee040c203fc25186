/**
 * A batch as the graphs read it: cut to what matters, with the label positions found.
 *
 * A token that no answer token follows is read by nothing that is computed here, so rows end at the last answer token's predecessor,
 * and examples of like length are put together. Neither changes a result: the sum has no order, and the rest is put back in order.
 */

import type { Batch } from '../engine.js';

/** A masked score: exp of it is 0 in f32, and adding it to a finite score stays finite. */
const MASKED = -1e9;

/** One run's worth of examples. Positions index tokens; the label position of an answer token is that of its predecessor. */
export interface Slice {
  /** Which examples of the batch these are. */
  readonly examples: readonly number[];
  /** T */
  readonly length: number;
  /** L */
  readonly labels: number;
}

/** Arrays for the inputs of `wholeGraph` and the graphs of blocks. */
export interface SliceInputs {
  readonly ids: Int32Array; // [B, T]
  readonly labels: Int32Array; // [B L]
  readonly weights: Float32Array; // [B, L]
  readonly focusPositions: BigInt64Array; // [B, L]
  readonly focusIndex: Int32Array; // [B L]
  readonly focusInverse: Int32Array; // [B T]
  readonly focusMask: Float32Array; // [B, 1, L, T]
}

/**
 * Cuts a batch into slices of at most `maximumRows` padded tokens, of examples of like length. One example may exceed it.
 *
 * Edge cases an example without answer tokens -> in no slice: its loss and gradient are 0
 */
export function planSlices(batch: Batch, maximumRows: number): Slice[] {
  const { examples, length, answerMask } = batch;
  const spans: { example: number; length: number; labels: number }[] = [];
  for (let example = 0; example < examples; example++) {
    let last = 0;
    let labels = 0;
    // The first token has no predecessor, so that nothing predicts it.
    for (let position = 1; position < length; position++) {
      if (answerMask[example * length + position] === 0) continue;
      last = position;
      labels++;
    }
    if (labels > 0) spans.push({ example, length: last, labels });
  }
  spans.sort((a, b) => a.length - b.length || a.example - b.example);
  const slices: Slice[] = [];
  let begin = 0;
  for (let end = 1; end <= spans.length; end++) {
    const isFull = end < spans.length && (end - begin + 1) * spans[end]!.length > maximumRows;
    if (end < spans.length && !isFull) continue;
    const members = spans.slice(begin, end);
    slices.push({
      examples: members.map((span) => span.example),
      length: members.at(-1)!.length, // Safe: there is at least one, and the last is the longest.
      labels: Math.max(...members.map((span) => span.labels)),
    });
    begin = end;
  }
  return slices;
}

/** The label positions of a slice and their weights: 1 / (answer tokens of the example). */
export function sliceInputs(batch: Batch, slice: Slice): SliceInputs {
  return gather(batch, slice, (example, place) => {
    const answer = batch.answerMask.subarray(example * batch.length, (example + 1) * batch.length);
    for (let position = 1; position <= slice.length; position++) if (answer[position] === 1) place(position - 1);
  });
}

/** For next-token logits: one label position for each example, its last token. */
export function lastTokenInputs(batch: Batch, lengths: Int32Array): { readonly slice: Slice; readonly inputs: SliceInputs } {
  const examples = Array.from({ length: batch.examples }, (_, i) => i);
  const slice = { examples, length: lengths.reduce((most, length) => Math.max(most, length), 1), labels: 1 };
  return { slice, inputs: gather(batch, slice, (example, place) => place(lengths[example]! - 1)) };
}

function gather(batch: Batch, slice: Slice, visit: (example: number, place: (position: number) => void) => void): SliceInputs {
  const { examples, length: T, labels: L } = slice;
  const B = examples.length;
  const inputs: SliceInputs = {
    ids: new Int32Array(B * T),
    labels: new Int32Array(B * L),
    weights: new Float32Array(B * L),
    focusPositions: new BigInt64Array(B * L),
    focusIndex: new Int32Array(B * L),
    focusInverse: new Int32Array(B * T).fill(B * L),
    focusMask: new Float32Array(B * L * T),
  };
  examples.forEach((example, row) => {
    const ids = batch.ids.subarray(example * batch.length, (example + 1) * batch.length);
    inputs.ids.set(ids.subarray(0, T), row * T);
    let count = 0;
    visit(example, (position) => {
      const slot = row * L + count++;
      inputs.labels[slot] = ids[position + 1] ?? 0;
      inputs.focusPositions[slot] = BigInt(position);
      inputs.focusIndex[slot] = row * T + position;
      inputs.focusInverse[row * T + position] = slot;
      inputs.focusMask.fill(MASKED, slot * T + position + 1, (slot + 1) * T);
    });
    inputs.weights.fill(1 / count, row * L, row * L + count);
    // Padding slots stand at the example's first token, with weight 0.
    for (let slot = row * L + count; slot < (row + 1) * L; slot++) {
      inputs.focusIndex[slot] = row * T;
      inputs.focusMask.fill(MASKED, slot * T + 1, (slot + 1) * T);
    }
  });
  return inputs;
}

/** [T, T] 0 where row may look at column, else very negative. */
export function causalMask(length: number): Float32Array {
  const mask = new Float32Array(length * length);
  for (let row = 0; row < length; row++) mask.fill(MASKED, row * length + row + 1, (row + 1) * length);
  return mask;
}
