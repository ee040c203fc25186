/**
 * Exact properties of the discrete Gaussian on the whole numbers, by direct summation: the reference for tests and for small sigma.
 *
 * Source     Canonne, Kamath, Steinke 2020, arXiv:2004.00010, section 2 and theorem 7
 * Legend     p(x) = exp(-x^2 / (2 sigma^2)) / norm
 */

import { ProtocolError } from '../errors.js';

/** Beyond this many sigma a term is below 2^-1074 of the largest. */
const REACH = 39;
/** Above this the sums are long, and the continuous Gaussian agrees to all digits anyway. */
const LARGEST_SIGMA = 1e5;

/** Probabilities of -bound .. bound; index x + bound. */
export function discreteGaussianLaw(sigma: number): { readonly bound: number; readonly probability: Float64Array } {
  if (!(sigma > 0 && sigma <= LARGEST_SIGMA)) {
    throw new ProtocolError('privacy/invalid-parameter', `The law is tabulated for sigma up to ${LARGEST_SIGMA}.`);
  }
  const bound = Math.ceil(REACH * sigma) + 1;
  const probability = new Float64Array(2 * bound + 1);
  let norm = 0;
  for (let size = bound; size >= 0; size--) {
    const term = Math.exp(-(size * size) / (2 * sigma * sigma));
    probability[bound + size] = term;
    probability[bound - size] = term;
    norm += size === 0 ? term : 2 * term;
  }
  return { bound, probability: probability.map((term) => term / norm) };
}

/** Variance of the law: below sigma^2, by 2e-7 of it at sigma = 1, by nothing that f64 can show from sigma = 2 on. */
export function discreteGaussianVariance(sigma: number): number {
  const { bound, probability } = discreteGaussianLaw(sigma);
  let sum = 0;
  for (let size = bound; size > 0; size--) sum += 2 * probability[bound + size] * size * size;
  return sum;
}

/**
 * The least delta at which one value with this noise is (epsilon, delta)-private when it changes by a whole `shift`:
 * sum_x max(0, p(x) - e^epsilon p(x - shift)).
 */
export function discreteGaussianDelta(sigma: number, shift: number, epsilon: number): number {
  const { bound, probability } = discreteGaussianLaw(sigma);
  const factor = Math.exp(epsilon);
  let sum = 0;
  for (let i = 0; i < probability.length; i++) {
    const other = i - shift;
    const shifted = other >= 0 && other <= 2 * bound ? probability[other] : 0;
    sum += Math.max(0, probability[i] - factor * shifted);
  }
  return sum;
}
