/**
 * Matrix products with a gradient, in the forms that are fast on the backend at hand.
 *
 * XNNPACK, behind `wasm`, multiplies two plain matrices; for a transposed operand or a batch TensorFlow.js falls back to a loop
 * that is 5 to 40 times slower (measured, 200 x 1024 x 1024). There, operands are transposed first and batches are taken apart.
 * Legend     m, k, n = sizes of a product; G = batch of a product of rank 3.
 */

import * as tf from '@tensorflow/tfjs';

/** Whether only products of two plain matrices are fast. */
const wantsPlainMatrices = (): boolean => tf.getBackend() === 'wasm';

/** a b^T without a gradient: [m, n] = [m, k] x [n, k]^T. */
export function timesTransposed(a: tf.Tensor2D, b: tf.Tensor2D): tf.Tensor2D {
  if (!wantsPlainMatrices()) return tf.matMul(a, b, false, true);
  // Transposing the narrow side is cheaper: either the right operand, or the left one and the result.
  if (a.shape[0] < b.shape[1]) return tf.transpose(tf.matMul(b, tf.transpose(a))); // ([n, k] x [k, m])^T
  return tf.matMul(a, tf.transpose(b));
}

/** The G matrices of [G, ., .]. A slice copies the whole tensor on `wasm`, G of them G times; this copies it twice. */
function matricesOf(batch: tf.Tensor): tf.Tensor[] {
  const [count, rows, columns] = batch.shape as [number, number, number];
  const values = batch.dataSync<'float32'>();
  const size = rows * columns;
  return Array.from({ length: count }, (_, i) =>
    tf.tensor2d(values.subarray(i * size, (i + 1) * size), [rows, columns]),
  );
}

/** a b, a b^T or a^T b without a gradient, for [., .] or [G, ., .]. */
function rawProduct<T extends tf.Tensor>(a: T, b: T, transposeA: boolean, transposeB: boolean): T {
  if (!wantsPlainMatrices()) return tf.matMul(a, b, transposeA, transposeB);
  if (a.rank === 3) {
    const right = matricesOf(b);
    return tf.stack(matricesOf(a).map((matrix, i) => rawProduct(matrix, right[i], transposeA, transposeB))) as T;
  }
  return tf.matMul(transposeA ? tf.transpose(a) : a, transposeB ? tf.transpose(b) : b);
}

/**
 * a b, or a b^T where `transposeB`, with the gradient of both operands.
 *
 * Shapes     a [m, k], b [k, n] or [n, k] -> [m, n]; the same with a leading G in all three
 */
export function product<T extends tf.Tensor>(a: T, b: T, transposeB = false): T {
  const multiply = tf.customGrad((...operands) => {
    // Safe: customGrad passes its arguments and, last, `save`.
    const [left, right, save] = operands as unknown as [T, T, tf.GradSaveFunc];
    save([left, right]);
    return {
      value: rawProduct(left, right, false, transposeB),
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => {
        const [savedA, savedB] = saved as [T, T];
        const dProduct = dy as T;
        const dA = rawProduct(dProduct, savedB, false, !transposeB); // [m, k] = [m, n] x [k, n]^T or [m, n] x [n, k]
        const dB = transposeB
          ? rawProduct(dProduct, savedA, true, false) // [n, k] = [m, n]^T x [m, k]
          : rawProduct(savedA, dProduct, true, false); // [k, n] = [m, k]^T x [m, n]
        return [dA, dB];
      },
    };
  });
  return multiply(a, b);
}

/**
 * x W^T for a constant W, with the gradient of x alone. `weight` is called once forward and once backward, so that a weight that
 * is unpacked for the occasion is never held between the two.
 *
 * Shapes     x [m, in], W [out, in] -> [m, out]
 */
export function timesConstant(x: tf.Tensor2D, weight: () => tf.Tensor2D): tf.Tensor2D {
  const multiply = tf.customGrad((input) => ({
    value: timesTransposed(input as tf.Tensor2D, weight()),
    gradFunc: (dy: tf.Tensor) => tf.matMul(dy, weight()), // [m, in] = [m, out] x [out, in]
  }));
  return multiply(x) as tf.Tensor2D;
}
