/**
 * The head of a model whose table is held in 16 bits: part by part of the vocabulary is made f32, multiplied and forgotten.
 *
 * Cost       Memory for one part in f32 and its logits; each value of the head is widened once for a slice.
 */

import type { Tensor } from 'onnxruntime-node';
import type { HalfTable } from '../weights/half-table.js';
import type { GraphFile } from './graph.js';
import { headParts } from './head.js';
import { streamedLogitsGraph, streamedPartGraph, type Purpose } from './model.js';
import { floats, tensorOf, type Feeds, type Sessions } from './sessions.js';
import type { GraphSpec } from './spec.js';

interface StreamedHead {
  readonly sessions: Sessions;
  readonly spec: GraphSpec;
  readonly table: HalfTable;
  /** Parts of the vocabulary. */
  readonly partCount: number;
}

/**
 * The sums over the vocabulary that loss, gradient and best token follow from, as inputs of the graphs that end in them.
 *
 * Shapes     h [R, D] -> largest, total [R, 1], and for gradients expected [R, D], else best [R, 1] i64
 */
export async function sumStreamed(
  { sessions, spec, table, partCount }: StreamedHead,
  purpose: Exclude<Purpose, 'logits'>,
  h: Tensor,
): Promise<Feeds> {
  const { hidden_size: D, vocab_size: V } = spec.config;
  const [R] = h.dims;
  const start = new Float32Array(R).fill(-Infinity);
  let sums = new Map([
    ['largest', tensorOf(start, [R, 1])],
    ['total', tensorOf(new Float32Array(R), [R, 1])],
    ['best', tensorOf(new BigInt64Array(R), [R, 1])],
    ['expected', tensorOf(new Float32Array(R * D), [R, D])],
  ]);
  const kind = purpose === 'evaluate' ? 'evaluate' : 'gradients';
  const build = (): GraphFile => streamedPartGraph(spec, purpose);
  for (const part of widenedParts(table, V, D, partCount)) {
    const after = await sessions.run(`head:${kind}`, build, sums, part, new Map([['h', h]]));
    sessions.release(sums.values());
    sums = new Map(Object.entries(after).map(([name, value]) => [name.replace('.after', ''), value]));
  }
  return sums;
}

/** Shapes     h [R, D] -> logits [R, V] */
export async function streamedLogits(
  { sessions, spec, table, partCount }: StreamedHead,
  h: Tensor,
): Promise<Float32Array> {
  const { hidden_size: D, vocab_size: V } = spec.config;
  const [R] = h.dims;
  const logits = new Float32Array(R * V);
  let begin = 0;
  for (const part of widenedParts(table, V, D, partCount)) {
    const outputs = await sessions.run('head:logits', () => streamedLogitsGraph(spec), part, new Map([['h', h]]));
    const values = floats(outputs, 'logits');
    const size = values.length / R;
    for (let row = 0; row < R; row++) logits.set(values.subarray(row * size, (row + 1) * size), row * V + begin);
    begin += size;
  }
  return logits;
}

/** Each part of the head as the inputs `part` [n, D] and `begin` [1]; valid until the next one is asked for. */
function* widenedParts(table: HalfTable, V: number, D: number, partCount: number): Generator<Feeds> {
  const parts = headParts(V, partCount);
  const longest = parts.reduce((most, { begin, end }) => Math.max(most, end - begin), 0);
  const widened = new Float32Array(longest * D);
  for (const { begin, end } of parts) {
    table.widenInto(widened, begin, end);
    yield new Map([
      ['part', tensorOf(widened.subarray(0, (end - begin) * D), [end - begin, D])],
      ['begin', tensorOf(BigInt64Array.of(BigInt(begin)), [1])],
    ]);
  }
}
