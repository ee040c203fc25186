/** Adapter weights in another number format: half the bytes, for whoever serves in 16 bits anyway. */

import { FedloraError } from '../errors/fedlora-error.js';
import {
  decodeFloats,
  encodeFloats,
  readSafetensors,
  writeEncodedSafetensors,
  type EncodedTensor,
} from './safetensors.js';

export const weightDtypes = ['f32', 'f16', 'bf16'] as const;
export type WeightDtype = (typeof weightDtypes)[number];

const formats = { f32: 'F32', f16: 'F16', bf16: 'BF16' } as const;

export interface ConvertedWeights {
  readonly bytes: Uint8Array;
  /** Largest difference of a value from what it was, relative to the largest of its tensor: 0 if nothing was rounded. */
  readonly largestChange: number;
}

/**
 * A safetensors file with the same tensors in another format, rounded to nearest, ties to even.
 *
 * Guarantee  every value is finite: one that f16 cannot hold is refused, and not made infinite
 * @throws FedloraError safetensors/* | adapter/not-finite
 */
export function convertWeights(
  file: Uint8Array,
  dtype: WeightDtype,
  metadata: Readonly<Record<string, string>>,
): ConvertedWeights {
  const steps = conversion(file, dtype, metadata);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** The same in steps, a tensor each: whoever has others to serve does so in between. */
export function* conversion(
  file: Uint8Array,
  dtype: WeightDtype,
  metadata: Readonly<Record<string, string>>,
): Generator<undefined, ConvertedWeights> {
  const content = readSafetensors(file);
  const format = formats[dtype];
  let largestChange = 0;
  const tensors: EncodedTensor[] = [];
  for (const { name, shape, dtype: from } of content.header.tensors.values()) {
    // Safe: the name is of the header.
    const values = decodeFloats(content.bytesOf(name)!, from);
    const bytes = encodeWeights(name, values, dtype);
    largestChange = Math.max(largestChange, relativeChange(values, decodeFloats(bytes, format)));
    tensors.push({ name, shape, bytes });
    yield;
  }
  return { bytes: writeEncodedSafetensors(tensors, format, { format: 'pt', ...metadata }), largestChange };
}

/** Largest difference between two, relative to the largest of `before`; 0 if that is zeros. */
function relativeChange(before: Float32Array, after: Float32Array): number {
  let largest = 0;
  let change = 0;
  before.forEach((value, i) => {
    largest = Math.max(largest, Math.abs(value));
    change = Math.max(change, Math.abs(value - after[i]));
  });
  return largest > 0 ? change / largest : 0;
}

/** The bytes of a tensor in a format. @throws FedloraError adapter/not-finite: a value that the format cannot hold */
export function encodeWeights(name: string, values: Float32Array, dtype: WeightDtype): Uint8Array {
  const bytes = encodeFloats(values, formats[dtype]);
  if (decodeFloats(bytes, formats[dtype]).some((value) => !Number.isFinite(value)))
    throw new FedloraError('adapter/not-finite', `${name} has a value that ${dtype} cannot hold.`);
  return bytes;
}
