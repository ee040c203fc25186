/**
 * First values of an adapter, and its values as one flat vector.
 *
 * Legend     r = rank, in = inFeatures, P = trained parameters in layout order
 */

import type { RandomSource } from '@fedlora/protocol';
import { frozenFactors, orthonormalRows } from '@fedlora/shared';
import { trainedParameterCount, type AdapterValues, type LoraModule, type TrainedFactor } from './engine.js';

/**
 * How A starts. B starts at zero, so that the adapted model is the base model.
 *   kaiming      PEFT's default: uniform
 *   orthonormal  rows of length 1 at right angles, for a factor that stays as it is (FFA-LoRA): no direction of B is then favoured
 *   frozen       A and B orthonormal and R zero, for an adapter of which R alone is trained (Fed-SB; see shared's frozen-factors.ts)
 */
export type AdapterInit = 'kaiming' | 'orthonormal' | 'frozen';

/** An adapter that changes nothing yet. */
export function initialAdapter(
  modules: readonly LoraModule[],
  r: number,
  init: AdapterInit,
  random: RandomSource,
): AdapterValues {
  if (init === 'frozen') return frozenFactors(modules, r, random);
  const makeA = init === 'kaiming' ? kaimingUniformA : orthonormalRows;
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
  return new Float32Array(uniforms(r * inFeatures, random).map((value) => bound * (2 * value - 1)));
}

/** The trained factors of an adapter as one vector: by module, A before B, or R. [P] */
export function toVector(adapter: AdapterValues, trained: TrainedFactor): Float32Array {
  // Safe: R is trained only where there is one.
  const parts = adapter.modules.flatMap((module) => (trained === 'both' ? [module.A, module.B] : [module[trained]!]));
  const vector = new Float32Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    vector.set(part, offset);
    offset += part.length;
  }
  return vector;
}

/** An adapter whose trained factors come from a vector, and the others from `adapter`. Nothing is shared with the vector. */
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
      ...adapter.modules[i],
      ...(trained === 'A' || trained === 'both' ? { A: take(r * inFeatures) } : {}),
      ...(trained === 'B' || trained === 'both' ? { B: take(outFeatures * r) } : {}),
      ...(trained === 'R' ? { R: take(r * r) } : {}),
    })),
  };
}

/** Values in [0, 1) with 32 random bits each. */
function uniforms(count: number, random: RandomSource): Float64Array {
  const bytes = random(4 * count);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Float64Array.from({ length: count }, (_, i) => view.getUint32(4 * i, true) / 2 ** 32);
}
