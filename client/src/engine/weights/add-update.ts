/**
 * A base model's weights with an adapter's change in them: W + s B A, row by row.
 *
 * Source     PEFT's `merge_and_unload`
 * Divergence the sum is in f64 and rounded once to the format of W; PEFT rounds B A, and for 16 bits s B A, before it adds
 */

import { decodeFloats, encodeFloats, FedloraError, type FloatDtype, type ModuleTensors } from '@fedlora/shared';

/** The change of one layer. A [r, inFeatures], B [outFeatures, r], row-major. */
export interface LayerUpdate extends ModuleTensors {
  readonly name: string;
  readonly inFeatures: number;
  readonly outFeatures: number;
  readonly r: number;
  readonly scaling: number;
}

/**
 * A piece of W [outFeatures, inFeatures] with the change added, in the format in which it came.
 *
 * @param first place of the piece's first element in W, row-major; pieces begin and end anywhere
 * @throws FedloraError adapter/not-finite: a sum that the format cannot hold
 */
export function addUpdate(
  piece: Uint8Array,
  dtype: Exclude<FloatDtype, 'F64'>,
  first: number,
  layer: LayerUpdate,
): Uint8Array {
  const { A, B, inFeatures, r, scaling, name } = layer;
  const values = decodeFloats(piece, dtype);
  const change = new Float64Array(inFeatures);
  for (let at = 0; at < values.length;) {
    const row = Math.floor((first + at) / inFeatures);
    const column = (first + at) % inFeatures;
    const end = Math.min(inFeatures, column + values.length - at);
    change.fill(0, column, end);
    for (let k = 0; k < r; k++) {
      const times = scaling * B[row * r + k];
      for (let i = column, a = k * inFeatures + column; i < end; i++, a++) change[i] += times * A[a];
    }
    for (let i = column; i < end; i++, at++) values[at] += change[i];
  }
  const merged = encodeFloats(values, dtype);
  if (decodeFloats(merged, dtype).some((value) => !Number.isFinite(value)))
    throw new FedloraError('adapter/not-finite', `${name} gets a value with the adapter that ${dtype} cannot hold.`);
  return merged;
}
