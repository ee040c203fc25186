/**
 * The discrete Fourier transform of a power-of-two length, in place, for the convolutions of the PLD accountant.
 *
 * Source     Cooley and Tukey 1965, radix 2, decimation in time
 * Legend     n = length; values are re + i im
 */

/** The twiddle factors of one length: cos and -sin of 2 pi k / n for k < n/2, each computed on its own, so none drifts. */
export interface FourierPlan {
  readonly length: number;
  readonly cosines: Float64Array;
  readonly sines: Float64Array;
}

export function fourierPlan(length: number): FourierPlan {
  const cosines = new Float64Array(length / 2);
  const sines = new Float64Array(length / 2);
  for (let k = 0; k < length / 2; k++) {
    cosines[k] = Math.cos((2 * Math.PI * k) / length);
    sines[k] = -Math.sin((2 * Math.PI * k) / length);
  }
  return { length, cosines, sines };
}

/**
 * Replaces (re, im) by its transform, sum_j x_j exp(-2 pi i j k / n), unscaled.
 *
 * The inverse, times n, is the transform with re and im exchanged: `transformInto(plan, im, re)`.
 */
export function transformInto(plan: FourierPlan, re: Float64Array, im: Float64Array): void {
  const { length, cosines, sines } = plan;
  for (let i = 1, j = 0; i < length; i++) {
    let bit = length >> 1;
    for (; (j & bit) !== 0; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      const [a, b] = [re[i], im[i]];
      re[i] = re[j];
      im[i] = im[j];
      re[j] = a;
      im[j] = b;
    }
  }
  for (let half = 1; half < length; half *= 2) {
    const stride = length / (2 * half);
    for (let start = 0; start < length; start += 2 * half) {
      for (let k = 0; k < half; k++) {
        const c = cosines[k * stride];
        const s = sines[k * stride];
        const p = start + k;
        const q = p + half;
        const a = re[q] * c - im[q] * s;
        const b = re[q] * s + im[q] * c;
        re[q] = re[p] - a;
        im[q] = im[p] - b;
        re[p] += a;
        im[p] += b;
      }
    }
  }
}
