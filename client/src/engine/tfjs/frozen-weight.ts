/**
 * The weights of the base model's linear layers: constants, held in 4 bits a value and unpacked one at a time.
 *
 * Source     Dettmers et al. 2023, arXiv:2305.14314; quantization itself is in `weights/nf4.ts`.
 * Two homes  On a native backend the codes lie on its device, eight in an int32, and TensorFlow operations unpack them. On `wasm`
 *            and `cpu`, whose device is this process, they stay bytes: unpacking them here is ten times faster than operations,
 *            and WebAssembly's memory, which ends at 4 GiB, need not hold the model.
 * Legend     N = values of a weight, K = blocks of 64 = ceil(N / 64).
 */

import { FedloraError } from '@fedlora/shared';
import * as tf from '@tensorflow/tfjs';
import { dequantizeNf4, nf4Codebook, NF4_BLOCK, type Nf4Values } from '../weights/nf4.js';

/** A constant [out, in] that is there when asked for. */
export interface FrozenWeight {
  /** The weight [out, in] f32; inside `tf.tidy`, which disposes it. */
  unpack(): tf.Tensor2D;
  /** Bytes held between uses. */
  readonly sizeBytes: number;
  dispose(): void;
}

type Shape = readonly [out: number, inner: number];

/** Holds a weight as it is, in f32. */
export function plainWeight(values: Float32Array, shape: Shape): FrozenWeight {
  const kept = tf.tensor2d(values, [...shape]);
  return { unpack: () => tf.clone(kept), sizeBytes: values.byteLength, dispose: () => kept.dispose() };
}

/** Keeps the codes of a weight where unpacking is fastest. */
export function nf4Weight(quantized: Nf4Values, shape: Shape, home: 'device' | 'process'): FrozenWeight {
  return home === 'device' ? nf4OnDevice(quantized, shape) : nf4InProcess(quantized, shape);
}

function nf4InProcess(quantized: Nf4Values, shape: Shape): FrozenWeight {
  const count = shape[0] * shape[1];
  return {
    unpack: () => tf.tensor2d(dequantizeNf4(quantized, count), [...shape]),
    sizeBytes: quantized.codes.byteLength + quantized.absmax.byteLength,
    dispose: () => undefined,
  };
}

/** 2^16: a word of eight codes is two halves of four. */
const HALF = 65536;

/** Bit 31: flipped, the high half of a signed word runs from -32768 to 32767 in the order of its codes. */
const SIGN_BIT = 0x80000000;

/** Values that the four codes of a half stand for, by half: [65536, 4] f32, 1 MiB a backend. */
function makeHalfTable(): Float32Array {
  const values = new Float32Array(HALF * 4);
  for (let half = 0; half < HALF; half++) {
    const first = half & 255; // little-endian: the lower byte holds the earlier codes
    const second = half >> 8;
    values[half * 4] = nf4Codebook[first >> 4]!;
    values[half * 4 + 1] = nf4Codebook[first & 15]!;
    values[half * 4 + 2] = nf4Codebook[second >> 4]!;
    values[half * 4 + 3] = nf4Codebook[second & 15]!;
  }
  return values;
}

/** The tables on devices, shared by all weights of a backend while any of them lives. */
const halfTables = new Map<string, { readonly table: tf.Tensor2D; weights: number }>();

function nf4OnDevice({ codes, absmax }: Nf4Values, shape: Shape): FrozenWeight {
  const count = shape[0] * shape[1];
  const blocks = absmax.length;
  const packed = new Int32Array(blocks * (NF4_BLOCK / 8)); // [K * 8], the last block filled up
  new Uint8Array(packed.buffer).set(codes); // Node's platforms are little-endian
  for (let i = 0; i < packed.length; i++) packed[i] ^= SIGN_BIT;

  const backend = tf.getBackend();
  const shared = halfTables.get(backend) ?? { table: tf.tensor2d(makeHalfTable(), [HALF, 4]), weights: 0 };
  shared.weights++;
  halfTables.set(backend, shared);
  const words = tf.tensor1d(packed, 'int32');
  const largest = tf.tensor2d(absmax, [blocks, 1]);
  return {
    unpack: () => tf.tidy(() => unpackOnDevice(words, largest, shared.table, count, shape)),
    sizeBytes: packed.byteLength + absmax.byteLength,
    dispose: () => {
      tf.dispose([words, largest]);
      if (--shared.weights > 0) return;
      shared.table.dispose();
      halfTables.delete(backend);
    },
  };
}

/**
 * The weight that packed codes stand for, by operations that every backend has.
 *
 * Shapes     words [K * 8] i32, largest [K, 1], table [65536, 4] -> [out, in] f32
 * Guarantee  the very values of `dequantizeNf4`, also where a backend divides whole numbers in f32 (wasm does): the quotient is
 *            then one too large at most, which the sign of the remainder shows.
 */
function unpackOnDevice(
  words: tf.Tensor1D,
  largest: tf.Tensor2D,
  table: tf.Tensor2D,
  count: number,
  shape: Shape,
): tf.Tensor2D {
  const half = tf.scalar(HALF, 'int32');
  const quotient = tf.floorDiv(words, half);
  const remainder = tf.sub(words, tf.mul(quotient, half));
  const excess = tf.cast(tf.less(remainder, tf.scalar(0, 'int32')), 'int32'); // 1 where the quotient is too large
  const low = tf.add(remainder, tf.mul(excess, half));
  const high = tf.add(tf.sub(quotient, excess), tf.scalar(HALF / 2, 'int32'));
  const halves = tf.stack([low, high], 1); // [K * 8, 2]
  const relative = tf.reshape(tf.gather(table, halves), [largest.shape[0], NF4_BLOCK]); // [K, 64] = [K * 8, 2, 4]
  const values = tf.mul(relative, largest); // [K, 64] = [K, 64] * [K, 1]
  const flat = tf.reshape(values, [largest.shape[0] * NF4_BLOCK]);
  return tf.reshape(count === flat.size ? flat : tf.slice(flat, 0, count), [...shape]);
}

/**
 * Unpacks a few awkward codes on the current device and compares them with the definition.
 *
 * @throws FedloraError internal/unexpected - the backend's arithmetic is wrong; it must not be used
 */
export async function checkUnpacking(home: 'device' | 'process'): Promise<void> {
  // 64 words whose halves are near 0, 2^15 and 2^16, where dividing in f32 goes wrong, and a last block that is not full.
  const awkward = [0x0000, 0x0001, 0x7fff, 0x8000, 0x8001, 0xff7f, 0xff80, 0xffff];
  const codes = new Uint8Array(64 * 4 + 5);
  const view = new DataView(codes.buffer);
  for (let i = 0; i < 64; i++) view.setUint32(i * 4, ((awkward[i >> 3] << 16) | awkward[i & 7]) >>> 0, true);
  codes.set([0x12, 0xf0, 0x0f, 0x77, 0xe1], 64 * 4);
  const count = codes.length * 2;
  const absmax = Float32Array.from({ length: Math.ceil(count / NF4_BLOCK) }, (_, i) => 0.3 + i / 7);
  const quantized: Nf4Values = { codes, absmax };
  const weight = home === 'device' ? nf4OnDevice(quantized, [2, count / 2]) : nf4InProcess(quantized, [2, count / 2]);
  const unpacked = tf.tidy(() => weight.unpack());
  try {
    const values = await unpacked.data<'float32'>();
    const expected = dequantizeNf4(quantized, count);
    if (expected.some((value, i) => value !== values[i])) {
      throw new FedloraError('internal/unexpected', `The tfjs backend ${tf.getBackend()} unpacks NF4 wrongly.`);
    }
  } finally {
    unpacked.dispose();
    weight.dispose();
  }
}
