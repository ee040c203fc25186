/**
 * A GGUF file, version 3, as bytes: keys and tensors in the order in which they are given.
 *
 * Source     ggml `docs/gguf.md`; the form is written out in `format.ts`, which reads it.
 * Guarantee  The same content gives the same bytes, and those that llama.cpp's Python writer gives.
 */

import type { WeightDtype } from '@fedlora/shared';

/** A value of the kinds that are written: their numbers are GGUF's. */
export type GgufEntry =
  | { readonly kind: 'u32'; readonly value: number }
  | { readonly kind: 'f32'; readonly value: number }
  | { readonly kind: 'text'; readonly value: string };

/** Row-major, slowest dimension of the shape first; `bytes` are as many as shape and format call for. */
export interface GgufTensorToWrite {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: WeightDtype;
  readonly bytes: Uint8Array;
}

const VERSION = 3;
const ALIGNMENT = 32;
const kindIds = { u32: 4, f32: 6, text: 8 } as const;
const typeIds: Readonly<Record<WeightDtype, number>> = { f32: 0, f16: 1, bf16: 30 };

export function writeGguf(
  metadata: ReadonlyMap<string, GgufEntry>,
  tensors: readonly GgufTensorToWrite[],
): Uint8Array<ArrayBuffer> {
  const header = [
    Buffer.from('GGUF'),
    u32(VERSION),
    u64(tensors.length),
    u64(metadata.size),
    ...[...metadata].flatMap(([key, entry]) => [text(key), u32(kindIds[entry.kind]), valueOf(entry)]),
  ];
  const data: Uint8Array[] = [];
  let offset = 0;
  for (const { name, shape, dtype, bytes } of tensors) {
    header.push(text(name), u32(shape.length), ...[...shape].reverse().map(u64), u32(typeIds[dtype]), u64(offset));
    data.push(bytes, padding(bytes.length));
    offset += aligned(bytes.length);
  }
  const headerBytes = header.reduce((sum, { length }) => sum + length, 0);
  return Buffer.concat([...header, padding(headerBytes), ...data]);
}

function valueOf(entry: GgufEntry): Uint8Array {
  switch (entry.kind) {
    case 'u32':
      return u32(entry.value);
    case 'f32':
      return f32(entry.value);
    case 'text':
      return text(entry.value);
    default:
      return entry satisfies never;
  }
}

function text(value: string): Uint8Array {
  const bytes = Buffer.from(value);
  return Buffer.concat([u64(bytes.length), bytes]);
}

function f32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}

function u32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function u64(value: number): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function aligned(length: number): number {
  return Math.ceil(length / ALIGNMENT) * ALIGNMENT;
}

/** Zeros up to the next multiple of the alignment. */
function padding(length: number): Uint8Array {
  return new Uint8Array(aligned(length) - length);
}
