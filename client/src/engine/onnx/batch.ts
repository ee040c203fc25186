/**
 * A batch as the graphs read it: cut to what matters, with the label positions found.
 *
 * A token that no answer token follows is read by nothing that is computed here, so rows end before the last answer token, and
 * examples of like length are put together. Neither changes a result: the sum has no order, and the rest is put back in order.
 */

import type { Batch } from '../engine.js';

/** A masked score: exp of it is 0 in f32, and adding it to a finite score stays finite. */
export const MASKED = -1e9;

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
 * Guarantee  The arithmetic done for an example does not depend on the others, where operations run on one thread: measured, its
 *            gradient is the same to the last bit in any company. Kernels sum over more than SUMMED_AT_ONCE terms in parts whose
 *            bounds depend on the shape, so examples that long meet only examples of their own padded shape.
 * Edge cases an example without answer tokens -> in no slice: its loss and gradient are 0
 *
 * @param headsPerGroup query heads that share keys: sums over queries run over this many times T terms
 */
export function planSlices(batch: Batch, maximumRows: number, headsPerGroup: number): Slice[] {
  const spans = answerSpans(batch).map((span) => {
    const isShort = headsPerGroup * span.length <= SUMMED_AT_ONCE;
    return isShort
      ? { ...span, shape: 0 }
      : { ...padded(span), shape: padded(span).length * batch.length + padded(span).labels };
  });
  spans.sort((a, b) => a.shape - b.shape || a.length - b.length || a.example - b.example);
  const slices: Slice[] = [];
  let begin = 0;
  for (let end = 1; end <= spans.length; end++) {
    const next = spans[end];
    const fits =
      next !== undefined && next.shape === spans[begin].shape && (end - begin + 1) * next.length <= maximumRows;
    if (fits) continue;
    const members = spans.slice(begin, end);
    slices.push({
      examples: members.map((span) => span.example),
      // At least 2: matrices of one row are multiplied by another kernel, whose sums differ in the last bit.
      length: Math.max(2, ...members.map((span) => span.length)),
      labels: Math.max(2, ...members.map((span) => span.labels)),
    });
    begin = end;
  }
  return slices;
}

/** Terms that a matrix kernel of onnxruntime sums without a break. */
const SUMMED_AT_ONCE = 128;

/** Long examples are padded to a multiple of this. */
const PADDED_TO = 16;

interface Span {
  readonly example: number;
  /** Tokens that matter: all before the last answer token. */
  readonly length: number;
  /** Answer tokens. */
  readonly labels: number;
}

function answerSpans({ examples, length, answerMask }: Batch): Span[] {
  const spans: Span[] = [];
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
  return spans;
}

function padded(span: Span): Span {
  const up = (count: number): number => Math.ceil(count / PADDED_TO) * PADDED_TO;
  return { ...span, length: up(span.length), labels: up(span.labels) };
}

/** The label positions of a slice and their weights: 1 / (answer tokens of the example). `window` is that of the last block. */
export function sliceInputs(batch: Batch, slice: Slice, window: number): SliceInputs {
  return gather(batch, slice, window, (example, place) => {
    const begin = example * batch.length;
    for (let position = 1; position < batch.length; position++) {
      if (batch.answerMask[begin + position] !== 0) place(position - 1);
    }
  });
}

/** For next-token logits: one label position for each example, its last token. */
export function lastTokenInputs(
  batch: Batch,
  lengths: Int32Array,
  window: number,
): { readonly slice: Slice; readonly inputs: SliceInputs } {
  const examples = Array.from({ length: batch.examples }, (_, i) => i);
  const slice = { examples, length: lengths.reduce((most, length) => Math.max(most, length), 1), labels: 1 };
  return { slice, inputs: gather(batch, slice, window, (example, place) => place(lengths[example] - 1)) };
}

function gather(
  batch: Batch,
  slice: Slice,
  window: number,
  visit: (example: number, place: (position: number) => void) => void,
): SliceInputs {
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
    inputs.ids.set(ids.subarray(0, Math.min(T, ids.length)), row * T);
    let count = 0;
    visit(example, (position) => {
      const slot = row * L + count++;
      inputs.labels[slot] = ids[position + 1] ?? 0;
      inputs.focusPositions[slot] = BigInt(position);
      inputs.focusIndex[slot] = row * T + position;
      inputs.focusInverse[row * T + position] = slot;
      maskRow(inputs.focusMask, slot, T, position, window);
    });
    inputs.weights.fill(1 / count, row * L, row * L + count);
    // Padding slots stand at the example's first token, with weight 0.
    for (let slot = row * L + count; slot < (row + 1) * L; slot++) {
      inputs.focusIndex[slot] = row * T;
      maskRow(inputs.focusMask, slot, T, 0, window);
    }
  });
  return inputs;
}

/** [T, T] 0 where row may look at column, else very negative: itself and the `window` - 1 before it. */
export function causalMask(length: number, window: number): Float32Array {
  const mask = new Float32Array(length * length);
  for (let row = 0; row < length; row++) maskRow(mask, row, length, row, window);
  return mask;
}

/** Masks what the token at `position` does not see, in row `row` of masks [., length]. */
function maskRow(masks: Float32Array, row: number, length: number, position: number, window: number): void {
  masks.fill(MASKED, row * length, row * length + Math.max(0, position - window + 1));
  masks.fill(MASKED, row * length + position + 1, (row + 1) * length);
}
