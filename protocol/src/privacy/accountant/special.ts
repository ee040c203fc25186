/**
 * The normal distribution to full relative precision, far into its tails; binomial coefficients, and sums, as logarithms.
 *
 * Written from the series and the continued fraction, not from a table of fitted coefficients: a reader can check each line.
 *
 * Source     Abramowitz and Stegun 7.1.6 (series), 7.1.14 (continued fraction), 25.4.30 (Gauss-Legendre quadrature),
 *            6.1.41 (Stirling's series)
 */

const SQRT_PI = Math.sqrt(Math.PI);
/** Where the series gives way to the continued fraction. */
const SERIES_END = 2;

/**
 * The complementary error function of any real number.
 *
 * Guarantee  relative error below 1e-13 for x < 26 (below 2e-15 for x < 1); 0 where the value is under the range of f64
 */
export function erfc(x: number): number {
  if (x < 0) return 2 - erfc(-x);
  if (x < SERIES_END) {
    // erf x = 2/sqrt(pi) exp(-x^2) sum_k 2^k x^(2k+1) / (1 3 5 ... (2k+1)): all terms positive, nothing cancels.
    let term = x;
    let sum = x;
    for (let k = 1; term > sum * 1e-17; k++) {
      term *= (2 * x * x) / (2 * k + 1);
      sum += term;
    }
    return 1 - (2 / SQRT_PI) * Math.exp(-x * x) * sum;
  }
  return x > 27 ? 0 : Math.exp(-x * x) * scaledErfc(x);
}

/** exp(x^2) erfc(x) for x >= 2: 1/sqrt(pi) 1/(x + (1/2)/(x + 1/(x + (3/2)/(x + ...)))), from the back, 16 digits. */
function scaledErfc(x: number): number {
  let tail = x;
  for (let k = Math.ceil(20 + 400 / (x * x)); k > 0; k--) tail = x + k / 2 / tail;
  return 1 / (SQRT_PI * tail);
}

/** exp(t^2 / 2) P[N(0, 1) > t] for t >= 0: does not underflow however large t is. */
export function scaledNormalAbove(t: number): number {
  const x = t / Math.SQRT2;
  return (x < SERIES_END ? Math.exp(x * x) * erfc(x) : scaledErfc(x)) / 2;
}

/** P[N(0, 1) > t], with relative precision for large t. */
export function normalAbove(t: number): number {
  return erfc(t / Math.SQRT2) / 2;
}

/** P[N(0, 1) <= t], with relative precision for very negative t. */
export function normalBelow(t: number): number {
  return erfc(-t / Math.SQRT2) / 2;
}

/** Nodes and weights of 8-point Gauss-Legendre quadrature on [-1, 1]; the positive half. */
const NODES = [0.1834346424956498, 0.525532409916329, 0.7966664774136267, 0.9602898564975363];
const WEIGHTS = [0.362683783378362, 0.3137066458778873, 0.2223810344533745, 0.1012285362903763];

/**
 * P[from < N(0, 1) <= to], with relative precision for narrow intervals and far tails alike.
 *
 * Narrow intervals are integrated (8 Gauss-Legendre points: relative error below 1e-15 for a width of 1/4 within |t| < 40), since
 * the difference of two nearly equal probabilities would lose digits.
 */
export function normalBetween(from: number, to: number): number {
  if (!(to > from)) return 0;
  if (to - from > 0.25) return from > 0 ? normalAbove(from) - normalAbove(to) : normalBelow(to) - normalBelow(from);
  const middle = (from + to) / 2;
  const half = (to - from) / 2;
  let sum = 0;
  for (let i = 0; i < 4; i++) {
    const left = middle - half * NODES[i];
    const right = middle + half * NODES[i];
    sum += WEIGHTS[i] * (Math.exp((-left * left) / 2) + Math.exp((-right * right) / 2));
  }
  return (half * sum) / Math.sqrt(2 * Math.PI);
}

/** log(exp(a) + exp(b)) without overflow. */
export function logAdd(a: number, b: number): number {
  const larger = Math.max(a, b);
  if (larger === -Infinity || larger === Infinity) return larger;
  return larger + Math.log1p(Math.exp(Math.min(a, b) - larger));
}

/** log(1 + exp(a)): the way back from log(A - 1) to log A that keeps tiny values. */
export function log1pExp(a: number): number {
  return a > 36 ? a + Math.exp(-a) : Math.log1p(Math.exp(a));
}

/** log of n over k. */
export function logChoose(n: number, k: number): number {
  return logFactorial(n) - logFactorial(k) - logFactorial(n - k);
}

/** Below this, factorials are multiplied out; from it on, Stirling's series has 16 digits. */
const STIRLING_FROM = 20;

/** log(n!). */
export function logFactorial(n: number): number {
  if (n < STIRLING_FROM) {
    let product = 1;
    for (let i = 2; i <= n; i++) product *= i;
    return Math.log(product);
  }
  const x = n + 1;
  const inverse = 1 / (x * x);
  const series = (1 / 12 - inverse * (1 / 360 - inverse * (1 / 1260 - inverse * (1 / 1680 - inverse / 1188)))) / x;
  return (x - 0.5) * Math.log(x) - x + Math.log(2 * Math.PI) / 2 + series;
}
