/**
 * Singular vectors of matrices as thin as an adapter's rank, and of products of two of them.
 *
 * Source     Hestenes' one-sided Jacobi (Golub and Van Loan, section 8.6.3); Gram-Schmidt done twice (ibid., section 5.2.9)
 * Guarantee  the same input gives the same bits on every machine: nothing but +, -, *, / and the square root, in a fixed order
 */

const MAXIMUM_SWEEPS = 60;
/** Columns count as orthogonal below this cosine. f64 arithmetic on f32 values. */
const ORTHOGONAL = 1e-12;
/** What is left of a row beside those before it counts as rounding below this fraction of its norm. */
const DEPENDENT = 1e-12;

/** Row-major values. */
type Values = Float32Array | Float64Array;

/** W [r, r], row-major, such that the columns of B W are orthogonal, largest first. B [rows, r]. */
export function rightSingularVectors(B: Values, rows: number, r: number): Float64Array {
  const columns = Array.from({ length: r }, (_, c) =>
    Float64Array.from({ length: rows }, (_unused, row) => B[row * r + c]),
  ); // r of [rows]
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

/** B' [outFeatures, rank] and A' [rank, inFeatures], row-major. */
export interface Truncated {
  readonly B: Float32Array;
  readonly A: Float32Array;
}

/**
 * The best approximation of B A by a product of a smaller rank: B' = U S and A' = V^T of its largest singular values.
 *
 * Shapes     columns of B: r of [outFeatures], rows of A: r of [inFeatures]
 * Method     With B^T = L_B Q_B and A = L_A Q_A, both Q with orthonormal rows, B A = Q_B^T (L_B^T L_A) Q_A: only the core [r, r] is
 *            decomposed, and no product of a layer's size is ever made.
 * Guarantee  no other product of that rank is nearer to B A in the Frobenius norm (Eckart and Young 1936), up to f32 rounding. Rows
 *            of A' are orthonormal as far as B A has so many singular values that are not 0.
 */
export function truncatedProduct(
  columnsOfB: readonly Float64Array[],
  rowsOfA: readonly Float64Array[],
  rank: number,
): Truncated {
  const r = rowsOfA.length;
  const ofB = orthonormalRows(columnsOfB);
  const ofA = orthonormalRows(rowsOfA);
  const core = new Float64Array(r * r);
  for (let i = 0; i < r; i++)
    for (let k = 0; k < r; k++) {
      const left = ofB.L[k * r + i];
      for (let j = 0; j < r; j++) core[i * r + j] += left * ofA.L[k * r + j];
    }
  const W = rightSingularVectors(core, r, r);
  const outFeatures = columnsOfB[0].length;
  const inFeatures = rowsOfA[0].length;
  const B = new Float32Array(outFeatures * rank);
  const A = new Float32Array(rank * inFeatures);
  for (let c = 0; c < rank; c++) {
    const column = new Float64Array(outFeatures);
    const row = new Float64Array(inFeatures);
    for (let i = 0; i < r; i++) {
      let scaled = 0; // (core W)[i, c]
      for (let k = 0; k < r; k++) scaled += core[i * r + k] * W[k * r + c];
      addTimes(column, ofB.Q[i], scaled);
      addTimes(row, ofA.Q[i], W[i * r + c]);
    }
    column.forEach((value, i) => (B[i * rank + c] = value));
    A.set(row, c * inFeatures);
  }
  return { B, A };
}

/**
 * Rows = L Q, with L [r, r] lower triangular, row-major, and the rows of Q orthonormal.
 *
 * Edge cases a row that those before it span -> a row of zeros in Q, and no part of any row along it
 */
function orthonormalRows(rows: readonly Float64Array[]): { readonly L: Float64Array; readonly Q: Float64Array[] } {
  const r = rows.length;
  const L = new Float64Array(r * r);
  const Q: Float64Array[] = [];
  rows.forEach((row, i) => {
    const rest = Float64Array.from(row);
    for (let pass = 0; pass < 2; pass++)
      Q.forEach((before, j) => {
        const along = dot(before, rest);
        L[i * r + j] += along;
        addTimes(rest, before, -along);
      });
    const norm = Math.sqrt(dot(rest, rest));
    if (norm <= DEPENDENT * Math.sqrt(dot(row, row))) rest.fill(0);
    else {
      L[i * r + i] = norm;
      for (let k = 0; k < rest.length; k++) rest[k] /= norm;
    }
    Q.push(rest);
  });
  return { L, Q };
}

function addTimes(target: Float64Array, values: Float64Array, times: number): void {
  for (let i = 0; i < target.length; i++) target[i] += times * values[i];
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
