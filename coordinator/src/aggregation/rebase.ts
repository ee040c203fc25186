/**
 * Re-basing of an `ffa-svd` adapter: the same product B A in the basis of its own singular vectors.
 *
 * Source     FedSVD; `rightSingularVectors` has the decomposition
 * Legend     B [out, r], A [r, in] with orthonormal rows; B = U S W^T, so B A = (U S) (W^T A)
 */

import type { AdaptedModule } from '@fedlora/protocol';
import { rightSingularVectors, type AdapterTensors } from '@fedlora/shared';
import type { Moments } from './server-optimizer.js';

export interface Rebased {
  readonly adapter: AdapterTensors;
  readonly moments: Moments | undefined;
}

/**
 * The adapter with A' = W^T A and B' = B W for each module, and B's moments in the new basis.
 *
 * Guarantee  B' A' = B A up to f32 rounding; the rows of A' are orthonormal if those of A are; the columns of B' are orthogonal.
 *            The first moment rotates exactly as a gradient of B does; the second, a diagonal, is mapped by the squares of W.
 */
export function rebase(
  modules: readonly AdaptedModule[],
  r: number,
  adapter: AdapterTensors,
  moments: Moments | undefined,
): Rebased {
  const first = moments === undefined ? undefined : new Float32Array(moments.first.length);
  const second = moments === undefined ? undefined : new Float32Array(moments.second.length);
  let at = 0;
  const rebased = modules.map((module, i) => {
    const { A, B } = adapter.modules[i];
    const rotation = rightSingularVectors(B, module.outFeatures, r); // [r, r]
    const squares = rotation.map((value) => value * value);
    const end = at + B.length;
    if (moments !== undefined) {
      first?.set(timesRight(moments.first.subarray(at, end), rotation, r), at);
      if (moments.second.length > 0) second?.set(timesRight(moments.second.subarray(at, end), squares, r), at);
    }
    at = end;
    return { A: timesLeftTransposed(rotation, A, r, module.inFeatures), B: timesRight(B, rotation, r) };
  });
  return {
    adapter: { modules: rebased },
    moments:
      moments === undefined || first === undefined || second === undefined
        ? undefined
        : { step: moments.step, first, second },
  };
}

/** left [n, r] times right [r, r]. */
function timesRight(left: Float32Array, right: Float64Array, r: number): Float32Array {
  const product = new Float32Array(left.length);
  for (let row = 0; row < left.length; row += r) {
    for (let c = 0; c < r; c += 1) {
      let sum = 0;
      for (let k = 0; k < r; k += 1) sum += left[row + k] * right[k * r + c];
      product[row + c] = sum;
    }
  }
  return product;
}

/** left^T [r, r] times right [r, n]. */
function timesLeftTransposed(left: Float64Array, right: Float32Array, r: number, n: number): Float32Array {
  const product = new Float32Array(r * n);
  for (let row = 0; row < r; row += 1) {
    for (let column = 0; column < n; column += 1) {
      let sum = 0;
      for (let k = 0; k < r; k += 1) sum += left[k * r + row] * right[k * n + column];
      product[row * n + column] = sum;
    }
  }
  return product;
}
