/**
 * First values of an adapter, and its values as one flat vector.
 *
 * Legend     r = rank, in = inFeatures, P = trained parameters in layout order
 */

import type { RandomSource } from '@fedlora/protocol';
import { trainedParameterCount, type AdapterValues, type LoraModule, type TrainedFactor } from './engine.js';

/**
 * How A starts; B always starts at zero, so that the adapted model is the base model.
 *   kaiming      PEFT's default: uniform
 *   orthonormal  rows of length 1 at right angles, for a factor that stays as it is (FFA-LoRA): no direction of B is then favoured
 */
export type AdapterInit = 'kaiming' | 'orthonormal';

/** An adapter that changes nothing yet. */
export function initialAdapter(
  modules: readonly LoraModule[],
  r: number,
  init: AdapterInit,
  random: RandomSource,
): AdapterValues {
  const makeA = init === 'kaiming' ? kaimingUniformA : orthonormalA;
  return {
    modules: modules.map(({ inFeatures, outFeatures }) => ({
      A: makeA(r, inFeatures, random),
      B: new Float32Array(outFeatures * r),
    })),
  };
}

/**
 * Shapes     -> [r, in], uniform in +-1/sqrt(in)
 * Source     PEFT `reset_lora_parameters`: kaiming_uniform_ with a = sqrt(5), whose bound is sqrt(6 / ((1 + a^2) in)) = 1 / sqrt(in)
 */
export function kaimingUniformA(r: number, inFeatures: number, random: RandomSource): Float32Array {
  const bound = 1 / Math.sqrt(inFeatures);
  return Float32Array.from(uniforms(r * inFeatures, random), (value) => bound * (2 * value - 1));
}

/**
 * Shapes     -> [r, in] with A A^T = I, up to rounding to f32; uniformly distributed over such matrices
 * Source     Gram-Schmidt on Gaussian rows, in f64, each row twice (Giraud et al. 2005: twice is enough); Sun et al. 2024,
 *            arXiv:2403.12313 (FFA-LoRA freezes A). LoRA's scaling alpha / r applies on top.
 * @throws RangeError r > in: so many rows cannot be orthogonal
 */
export function orthonormalA(r: number, inFeatures: number, random: RandomSource): Float32Array {
  if (r > inFeatures) throw new RangeError(`${r} rows of ${inFeatures} values cannot be orthogonal.`);
  const rows: Float64Array[] = [];
  while (rows.length < r) {
    const row = gaussians(inFeatures, random);
    for (let pass = 0; pass < 2; pass++) for (const other of rows) addScaled(row, other, -dot(row, other));
    const length = Math.sqrt(dot(row, row));
    rows.push(row.map((value) => value / length));
  }
  return Float32Array.from(rows.flatMap((row) => [...row]));
}

/** The trained factors of an adapter as one vector: by module, A before B. [P] */
export function toVector(adapter: AdapterValues, trained: TrainedFactor): Float32Array {
  const parts = adapter.modules.flatMap(({ A, B }) => (trained === 'A' ? [A] : trained === 'B' ? [B] : [A, B]));
  const vector = new Float32Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    vector.set(part, offset);
    offset += part.length;
  }
  return vector;
}

/** An adapter whose trained factors come from a vector, and the other from `adapter`. Nothing is shared with the vector. */
export function withVector(
  adapter: AdapterValues,
  modules: readonly LoraModule[],
  r: number,
  trained: TrainedFactor,
  vector: Float32Array,
): AdapterValues {
  const wanted = trainedParameterCount(modules, r, trained);
  if (vector.length !== wanted) throw new RangeError(`The vector has ${vector.length} values, the layout ${wanted}.`);
  let offset = 0;
  const take = (length: number): Float32Array => vector.slice(offset, (offset += length));
  return {
    modules: modules.map(({ inFeatures, outFeatures }, i) => ({
      A: trained === 'B' ? adapter.modules[i].A : take(r * inFeatures),
      B: trained === 'A' ? adapter.modules[i].B : take(outFeatures * r),
    })),
  };
}

/** Values in [0, 1) with 32 random bits each. */
function uniforms(count: number, random: RandomSource): Float64Array {
  const bytes = random(4 * count);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Float64Array.from({ length: count }, (_, i) => view.getUint32(4 * i, true) / 2 ** 32);
}

/** Standard normal values, by Box and Muller. For directions, not for privacy: noise comes from protocol's exact sampler. */
function gaussians(count: number, random: RandomSource): Float64Array {
  const pairs = Math.ceil(count / 2);
  const uniform = uniforms(2 * pairs, random);
  const values = new Float64Array(2 * pairs);
  for (let i = 0; i < pairs; i++) {
    const radius = Math.sqrt(-2 * Math.log(1 - uniform[2 * i])); // 1 - u is never 0
    values[2 * i] = radius * Math.cos(2 * Math.PI * uniform[2 * i + 1]);
    values[2 * i + 1] = radius * Math.sin(2 * Math.PI * uniform[2 * i + 1]);
  }
  return values.subarray(0, count);
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/** target += factor * values */
function addScaled(target: Float64Array, values: Float64Array, factor: number): void {
  for (let i = 0; i < target.length; i++) target[i] += factor * values[i];
}
