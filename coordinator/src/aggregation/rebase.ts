/**
 * Re-basing of an `ffa-svd` adapter: the same product B A in the basis of its own singular vectors.
 *
 * Source     FedSVD; the decomposition is Hestenes' one-sided Jacobi (Golub and Van Loan, section 8.6.3)
 * Legend     B [out, r], A [r, in] with orthonormal rows; B = U S W^T, so B A = (U S) (W^T A)
 */

import type { AdaptedModule } from '@fedlora/protocol';
import type { AdapterTensors } from '@fedlora/shared';
import type { Moments } from './server-optimizer.js';

const MAXIMUM_SWEEPS = 60;
/** Columns count as orthogonal below this cosine. f64 arithmetic on f32 values. */
const ORTHOGONAL = 1e-12;

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

/** W [r, r], row-major, such that the columns of B W are orthogonal, largest first. */
export function rightSingularVectors(B: Float32Array, rows: number, r: number): Float64Array {
  const columns = Array.from({ length: r }, (_, c) =>
    Float64Array.from({ length: rows }, (_unused, row) => B[row * r + c]),
  ); // r of [out]
  const basis = Array.from({ length: r }, (_, c) =>
    Float64Array.from({ length: r }, (_unused, row) => (row === c ? 1 : 0)),
  );
  for (let sweep = 0; sweep < MAXIMUM_SWEEPS; sweep += 1) {
    let isOrthogonal = true;
    for (let p = 0; p < r - 1; p += 1) {
      for (let q = p + 1; q < r; q += 1) {
        const alpha = dot(columns[p], columns[p]);
        const beta = dot(columns[q], columns[q]);
        const gamma = dot(columns[p], columns[q]);
        if (Math.abs(gamma) <= ORTHOGONAL * Math.sqrt(alpha * beta) || gamma === 0) continue;
        isOrthogonal = false;
        const zeta = (beta - alpha) / (2 * gamma);
        const tangent = (zeta >= 0 ? 1 : -1) / (Math.abs(zeta) + Math.sqrt(1 + zeta * zeta));
        const cosine = 1 / Math.sqrt(1 + tangent * tangent);
        rotateInto(columns[p], columns[q], cosine, cosine * tangent);
        rotateInto(basis[p], basis[q], cosine, cosine * tangent);
      }
    }
    if (isOrthogonal) break;
  }
  const order = columns
    .map((column, c) => ({ c, norm: dot(column, column) }))
    .sort((a, b) => b.norm - a.norm || a.c - b.c);
  const rotation = new Float64Array(r * r);
  order.forEach(({ c }, place) => basis[c].forEach((value, row) => (rotation[row * r + place] = value)));
  return rotation;
}

function rotateInto(a: Float64Array, b: Float64Array, cosine: number, sine: number): void {
  for (let i = 0; i < a.length; i += 1) {
    const x = a[i];
    const y = b[i];
    a[i] = cosine * x - sine * y;
    b[i] = sine * x + cosine * y;
  }
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i += 1) sum += a[i] * b[i];
  return sum;
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
