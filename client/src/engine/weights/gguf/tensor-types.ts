/**
 * The number formats of GGUF tensors, and what their blocks stand for.
 *
 * Source     llama.cpp, ggml/src/ggml-common.h for the layouts, ggml/src/ggml-quants.c `dequantize_row_*` for the formulas.
 * Guarantee  the f32 that llama.cpp computes. Every product and sum below has few enough bits to be exact in f64, so that storing
 *            it rounds once, and where C rounds (one product or one sum) it rounds the same.
 * Legend     d, m = f16 scale and minimum of a block; sc = small integer scale within it; q = code; x = value.
 */

import { decodeFloatsInto } from '@fedlora/shared';

/** A format: so many values in so many bytes, decoded block by block. */
export interface TensorType {
  readonly name: string;
  readonly blockValues: number;
  readonly blockBytes: number;
  /** Writes the values of whole blocks to `target` from `offset` on. */
  readonly decodeInto: (target: Float32Array, offset: number, bytes: Uint8Array) => void;
}

/** Every f16 by its 16 bits: 256 KiB, filled at first use. */
let halves: Float32Array | undefined;

function halfTable(): Float32Array {
  if (halves === undefined) {
    const words = new Uint8Array(2 << 16);
    for (let half = 0; half < 1 << 16; half++) {
      words[2 * half] = half & 255;
      words[2 * half + 1] = half >> 8;
    }
    halves = new Float32Array(1 << 16);
    decodeFloatsInto(halves, 0, words, 'F16');
  }
  return halves;
}

/** 32 values in 18 bytes: d f16 | 16 bytes of two q each, the low nibbles first. x = d (q - 8). */
function decodeQ4_0(target: Float32Array, offset: number, bytes: Uint8Array): void {
  const half = halfTable();
  for (let at = 0, to = offset; at < bytes.length; at += 18, to += 32) {
    const d = half[bytes[at] | (bytes[at + 1] << 8)];
    for (let i = 0; i < 16; i++) {
      const pair = bytes[at + 2 + i];
      target[to + i] = d * ((pair & 15) - 8);
      target[to + 16 + i] = d * ((pair >> 4) - 8);
    }
  }
}

/** 32 values in 20 bytes: d f16 | m f16 | 16 bytes of two q each, the low nibbles first. x = d q + m. */
function decodeQ4_1(target: Float32Array, offset: number, bytes: Uint8Array): void {
  const half = halfTable();
  for (let at = 0, to = offset; at < bytes.length; at += 20, to += 32) {
    const d = half[bytes[at] | (bytes[at + 1] << 8)];
    const m = half[bytes[at + 2] | (bytes[at + 3] << 8)];
    for (let i = 0; i < 16; i++) {
      const pair = bytes[at + 4 + i];
      target[to + i] = d * (pair & 15) + m;
      target[to + 16 + i] = d * (pair >> 4) + m;
    }
  }
}

/** 32 values in 34 bytes: d f16 | 32 q as i8. x = d q. */
function decodeQ8_0(target: Float32Array, offset: number, bytes: Uint8Array): void {
  const half = halfTable();
  for (let at = 0, to = offset; at < bytes.length; at += 34, to += 32) {
    const d = half[bytes[at] | (bytes[at + 1] << 8)];
    for (let i = 0; i < 32; i++) target[to + i] = d * ((bytes[at + 2 + i] << 24) >> 24);
  }
}

/**
 * 256 values in 144 bytes: d f16 | dmin f16 | 12 bytes of scales | 128 bytes of two q each. x = (d sc) q - (dmin min).
 *
 * Eight runs of 32 values, each with a 6-bit sc and a 6-bit min. Runs 2k and 2k + 1 are the low and the high nibbles of the k-th 32
 * bytes. Of the 12 bytes, the first four hold sc 0..3 and the next four min 0..3 in their low six bits; the last four hold the low
 * nibbles of sc 4..7 (low) and min 4..7 (high), whose upper two bits are the upper two of the first eight bytes.
 */
function decodeQ4_K(target: Float32Array, offset: number, bytes: Uint8Array): void {
  const half = halfTable();
  for (let at = 0, to = offset; at < bytes.length; at += 144, to += 256) {
    const d = half[bytes[at] | (bytes[at + 1] << 8)];
    const dmin = half[bytes[at + 2] | (bytes[at + 3] << 8)];
    const scales = at + 4;
    for (let run = 0; run < 8; run++) {
      const low = bytes[scales + (run & 3)];
      const high = bytes[scales + 4 + (run & 3)];
      const rest = bytes[scales + 8 + (run & 3)];
      const sc = run < 4 ? low & 63 : (rest & 15) | ((low >> 6) << 4);
      const min = run < 4 ? high & 63 : (rest >> 4) | ((high >> 6) << 4);
      const step = d * sc;
      const least = dmin * min;
      const codes = at + 16 + 32 * (run >> 1);
      const shift = 4 * (run & 1);
      for (let i = 0; i < 32; i++) target[to + 32 * run + i] = step * ((bytes[codes + i] >> shift) & 15) - least;
    }
  }
}

/**
 * 256 values in 210 bytes: 128 bytes of low nibbles | 64 bytes of upper two bits | 16 sc as i8 | d f16. x = (d sc) (q - 32).
 *
 * Two halves of 128 values, each of four runs of 32. In a half, runs 0 and 1 have the low nibbles of its first and second 32 bytes,
 * runs 2 and 3 the high ones; run r has bits 2r and 2r + 1 of its 32 upper bytes; each 16 values have one sc.
 */
function decodeQ6_K(target: Float32Array, offset: number, bytes: Uint8Array): void {
  const half = halfTable();
  for (let at = 0, to = offset; at < bytes.length; at += 210, to += 256) {
    const d = half[bytes[at + 208] | (bytes[at + 209] << 8)];
    for (let run = 0; run < 8; run++) {
      const lower = at + 64 * (run >> 2) + 32 * (run & 1);
      const upper = at + 128 + 32 * (run >> 2);
      const nibble = 4 * ((run >> 1) & 1);
      const shift = 2 * (run & 3);
      for (let i = 0; i < 32; i++) {
        const sc = (bytes[at + 192 + 2 * run + (i >> 4)] << 24) >> 24;
        const q = ((bytes[lower + i] >> nibble) & 15) | (((bytes[upper + i] >> shift) & 3) << 4);
        target[to + 32 * run + i] = d * sc * (q - 32);
      }
    }
  }
}

/** The formats that are read, by ggml's type id. */
export const tensorTypes: ReadonlyMap<number, TensorType> = new Map(
  (
    [
      [0, 'F32', 1, 4, (target, offset, bytes) => decodeFloatsInto(target, offset, bytes, 'F32')],
      [1, 'F16', 1, 2, (target, offset, bytes) => decodeFloatsInto(target, offset, bytes, 'F16')],
      [30, 'BF16', 1, 2, (target, offset, bytes) => decodeFloatsInto(target, offset, bytes, 'BF16')],
      [2, 'Q4_0', 32, 18, decodeQ4_0],
      [3, 'Q4_1', 32, 20, decodeQ4_1],
      [8, 'Q8_0', 32, 34, decodeQ8_0],
      [12, 'Q4_K', 256, 144, decodeQ4_K],
      [14, 'Q6_K', 256, 210, decodeQ6_K],
    ] satisfies [number, string, number, number, TensorType['decodeInto']][]
  ).map(([id, name, blockValues, blockBytes, decodeInto]) => [id, { name, blockValues, blockBytes, decodeInto }]),
);

/** Names of formats that are not read, for the message. */
export const unreadTypes: ReadonlyMap<number, string> = new Map([
  [6, 'Q5_0'],
  [7, 'Q5_1'],
  [9, 'Q8_1'],
  [10, 'Q2_K'],
  [11, 'Q3_K'],
  [13, 'Q5_K'],
  [15, 'Q8_K'],
  [16, 'IQ2_XXS'],
  [17, 'IQ2_XS'],
  [18, 'IQ3_XXS'],
  [19, 'IQ1_S'],
  [20, 'IQ4_NL'],
  [21, 'IQ3_S'],
  [22, 'IQ2_S'],
  [23, 'IQ4_XS'],
  [28, 'F64'],
  [29, 'IQ1_M'],
  [34, 'TQ1_0'],
  [35, 'TQ2_0'],
  [39, 'MXFP4'],
]);
