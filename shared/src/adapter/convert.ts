/** Adapter weights in another number format: half the bytes, for whoever serves in 16 bits anyway. */

import { FedloraError } from '../errors/fedlora-error.js';
import { decodeFloats, encodeFloats, readSafetensors, writeSafetensors } from './safetensors.js';

export const weightDtypes = ['f32', 'f16', 'bf16'] as const;
export type WeightDtype = (typeof weightDtypes)[number];

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
  const content = readSafetensors(file);
  const format = ({ f32: 'F32', f16: 'F16', bf16: 'BF16' } as const)[dtype];
  let largestChange = 0;
  const tensors = [...content.header.tensors.values()].map(({ name, shape, dtype: from }) => {
    // Safe: the name is of the header.
    const values = decodeFloats(content.bytesOf(name)!, from);
    const rounded = decodeFloats(encodeFloats(values, format), format);
    if (rounded.some((value) => !Number.isFinite(value)))
      throw new FedloraError('adapter/not-finite', `${name} has a value that ${dtype} cannot hold.`);
    let largest = 0;
    let change = 0;
    values.forEach((value, i) => {
      largest = Math.max(largest, Math.abs(value));
      change = Math.max(change, Math.abs(value - rounded[i]));
    });
    if (largest > 0) largestChange = Math.max(largestChange, change / largest);
    return { name, shape, values };
  });
  return {
    bytes: writeSafetensors(tensors, { dtype: format, metadata: { format: 'pt', ...metadata } }),
    largestChange,
  };
}
