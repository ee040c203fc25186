/**
 * The weights of the base model's linear layers: constants, held in 4 bits a value and unpacked one at a time.
 *
 * Source     Dettmers et al. 2023, arXiv:2305.14314; quantization itself is in `weights/nf4.ts`.
 * Two homes  On a GPU the codes lie on it and TensorFlow's own operations unpack them there. On every other backend, whose device
 *            is this process, they stay bytes of JavaScript: unpacking them here takes less than half the time of operations
 *            (measured on the native backend of a processor), and WebAssembly's memory, which ends at 4 GiB, need not hold the model.
 * Legend     N = values of a weight, K = blocks of 64 = ceil(N / 64).
 */

import { FedloraError, linearLayers } from '@fedlora/shared';
import * as tf from '@tensorflow/tfjs';
import type { BaseModel } from '../weights/base-model.js';
import { dequantizeNf4, nf4Codebook, NF4_BLOCK, quantizeNf4, type Nf4Values } from '../weights/nf4.js';

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

/** A base model whose linear layers have, in f32, the values that their NF4 codes stand for. */
export function roundedToNf4(base: BaseModel): BaseModel {
  const isLinear = (name: string): boolean => linearLayers.some(([layer]) => name.endsWith(`.${layer}.weight`));
  return {
    ...base,
    tensor: async (name, shape) => {
      const values = await base.tensor(name, shape);
      return isLinear(name) ? dequantizeNf4(quantizeNf4(values), values.length) : values;
    },
  };
}

/** Where codes are kept. `device` is for the native backend. */
export type Home = 'device' | 'process';

/** Keeps the codes of a weight at `home`. */
export function nf4Weight(quantized: Nf4Values, shape: Shape, home: Home): FrozenWeight {
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

/** What unpacking on the device needs beside a weight; shared by all weights while any of them lives. */
interface Shared {
  readonly table: tf.Tensor2D; // [65536, 4]
  readonly shifts: tf.Tensor1D; // [2] bits by which the halves of a word are moved: 0, 16
  readonly mask: tf.Scalar; // the bits of a half
}

let shared: { readonly tensors: Shared; weights: number } | undefined;

function nf4OnDevice({ codes, absmax }: Nf4Values, shape: Shape): FrozenWeight {
  const blocks = absmax.length;
  const packed = new Float32Array(blocks * (NF4_BLOCK / 8)); // [K * 8] words, the last block filled up
  new Uint8Array(packed.buffer).set(codes); // Node's platforms are little-endian

  shared ??= {
    tensors: {
      table: tf.tensor2d(makeHalfTable(), [HALF, 4]),
      shifts: tf.tensor1d([0, 16], 'int32'),
      mask: tf.scalar(HALF - 1, 'int32'),
    },
    weights: 0,
  };
  const { tensors } = shared;
  shared.weights++;
  const words = tf.tensor2d(packed, [packed.length, 1]);
  const largest = tf.tensor2d(absmax, [blocks, 1]);
  return {
    unpack: () => tf.tidy(() => unpackOnDevice(words, largest, tensors, shape)),
    sizeBytes: packed.byteLength + absmax.byteLength,
    dispose: () => {
      tf.dispose([words, largest]);
      if (shared === undefined || --shared.weights > 0) return;
      tf.dispose([tensors.table, tensors.shifts, tensors.mask]);
      shared = undefined;
    },
  };
}

/** The part of tfjs-node's backend that runs any operation of TensorFlow by its name. */
interface TensorFlowBackend {
  readonly binding: { readonly TF_ATTR_TYPE: number; readonly TF_FLOAT: number; readonly TF_INT32: number };
  executeSingleOutput(operation: string, attributes: readonly object[], inputs: readonly tf.Tensor[]): tf.Tensor;
}

/**
 * The weight that packed codes stand for, by TensorFlow's operations on bits.
 *
 * The words lie in a tensor of type float32: tfjs-node keeps whole numbers in the memory of the host, from where they would cross
 * to the GPU at each use. Nothing computes with them before their bits are taken for int32.
 * Shapes     words [K * 8, 1], largest [K, 1] -> [out, in] f32
 * Guarantee  the very values of `dequantizeNf4`
 */
function unpackOnDevice(
  words: tf.Tensor2D,
  largest: tf.Tensor2D,
  { table, shifts, mask }: Shared,
  shape: Shape,
): tf.Tensor2D {
  const backend = tf.backend() as unknown as TensorFlowBackend; // Safe: `nf4OnDevice` is for the native backend.
  const { TF_ATTR_TYPE: type, TF_FLOAT, TF_INT32 } = backend.binding;
  const whole = [{ name: 'T', type, value: TF_INT32 }];
  const toWhole = [
    { name: 'T', type, value: TF_FLOAT },
    { name: 'type', type, value: TF_INT32 },
  ];
  const bits = backend.executeSingleOutput('Bitcast', toWhole, [words]); // [K * 8, 1]
  const shifted = backend.executeSingleOutput('RightShift', whole, [bits, shifts]); // [K * 8, 2]
  const halves = backend.executeSingleOutput('BitwiseAnd', whole, [shifted, mask]); // [K * 8, 2]
  const relative = tf.reshape(tf.gather(table, halves), [largest.shape[0], NF4_BLOCK]); // [K, 64] = [K * 8, 2, 4]
  const values = tf.mul(relative, largest); // [K, 64] = [K, 64] * [K, 1]
  const count = shape[0] * shape[1];
  const flat = tf.reshape(values, [largest.shape[0] * NF4_BLOCK]);
  return tf.reshape(count === flat.size ? flat : tf.slice(flat, 0, count), [...shape]);
}

/**
 * Unpacks a few awkward codes on the current device and compares them with the definition.
 *
 * @throws FedloraError engine/self-test-failed - the backend must not be used
 */
export async function checkUnpacking(home: Home): Promise<void> {
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
    const wrong = expected.reduce((sum, value, i) => sum + (value === values[i] ? 0 : 1), 0);
    if (wrong > 0) {
      const where = `the tfjs backend ${tf.getBackend()}`;
      throw new FedloraError('engine/self-test-failed', `${wrong} of ${count} NF4 values unpack wrongly on ${where}.`);
    }
  } finally {
    unpacked.dispose();
    weight.dispose();
  }
}
