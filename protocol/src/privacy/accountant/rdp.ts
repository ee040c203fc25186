/**
 * The first accountant: Renyi differential privacy of Poisson-subsampled Gaussian steps.
 *
 * The discrete Gaussian obeys the same bounds as the Gaussian of the same sigma (Canonne et al. 2020, theorem 4, any dimension),
 * and so, up to `distributedGaussianTau`, does a sum of discrete Gaussians; Poisson subsampling of any symmetric noise keeps the
 * integer-order formula (Zhu and Wang 2019, theorem 6). So one function serves them all.
 *
 * Source     Mironov 2017, arXiv:1702.07476 (definition, Gaussian, composition)
 *            Mironov, Talwar, Zhang 2019, arXiv:1908.10530, section 3 (subsampled Gaussian; the direction "remove" is the larger)
 *            Canonne, Kamath, Steinke 2020, arXiv:2004.00010, proposition 12; Balle et al. 2020, arXiv:1905.09982 (conversion)
 * Legend     z = noise multiplier, q = sampling rate, alpha = Renyi order, A = E_Q[(P/Q)^alpha], RDP = log(A) / (alpha - 1),
 *            Q = N(0, z^2), P = (1 - q) N(0, z^2) + q N(1, z^2)
 */

import { type AccountedSteps, checkDelta, checkSteps, costly, invalid } from './events.js';
import { log1pExp, logAdd } from './special.js';

/** 1.1 to 10.9 by tenths, every whole number to 256, and two more for very much noise. Any order gives a valid bound. */
export const DEFAULT_ORDERS: readonly number[] = [
  ...Array.from({ length: 99 }, (_, i) => (i + 11) / 10),
  ...Array.from({ length: 246 }, (_, i) => i + 11),
  512,
  1024,
];

/** What rounding may take from a result, relative; reported values are this much larger. The sums below are good to 1e-12. */
const SAFETY = 1e-11;

/** Longest integral for a fractional order: some milliseconds. */
const MOST_POINTS = 100_000;

/** Total RDP at a list of orders. */
export interface RdpCurve {
  readonly orders: readonly number[];
  readonly rdp: readonly number[];
}

/** RDP of one Gaussian step: alpha / (2 z^2). Also that of the discrete Gaussian. */
export function gaussianRdp(noiseMultiplier: number, order: number): number {
  return order / (2 * noiseMultiplier * noiseMultiplier);
}

/**
 * RDP of one Poisson-subsampled Gaussian step.
 *
 * Guarantee  for whole orders the closed sum, for others an integral without cancellation; both to a relative 1e-11
 * Edge cases q = 0 -> 0 | q = 1 -> alpha / (2 z^2) | z = 0 -> Infinity | z = Infinity -> 0 |
 *            z so small that the integral is long (order over about 50 000 z^2) -> the next whole order, which is an upper bound
 * @throws ProtocolError privacy/invalid-parameter: order not over 1, or q or z out of range
 */
export function subsampledGaussianRdp(samplingRate: number, noiseMultiplier: number, order: number): number {
  if (!(order > 1 && order < Infinity)) throw invalid('A Renyi order must be over 1.');
  checkSteps([{ samplingRate, noiseMultiplier, steps: 1 }]);
  if (samplingRate === 0 || noiseMultiplier === Infinity) return 0;
  if (noiseMultiplier === 0) return Infinity;
  if (samplingRate === 1) return gaussianRdp(noiseMultiplier, order);
  return log1pExp(logMomentExcess(samplingRate, noiseMultiplier, order)) / (order - 1);
}

/**
 * log(A - 1). Working with A - 1 keeps the precision where A is nearly 1, which is where amplification matters.
 */
function logMomentExcess(q: number, z: number, order: number): number {
  if (Number.isInteger(order)) return wholeOrderExcess(q, z, order);
  const spacing = Math.min(0.3 * z, 0.5 * z * z);
  const points = (order + 24 * z) / spacing;
  if (points > MOST_POINTS) return nextWholeOrderExcess(q, z, order);
  return fractionalOrderExcess(q, z, order, spacing);
}

/** RDP does not decrease with the order: log A(alpha) <= (alpha - 1) RDP(ceil alpha). */
function nextWholeOrderExcess(q: number, z: number, order: number): number {
  const whole = Math.ceil(order);
  const logA = (log1pExp(wholeOrderExcess(q, z, whole)) * (order - 1)) / (whole - 1);
  return logA > 36 ? logA : Math.log(Math.expm1(logA));
}

/**
 * Whole orders, MTZ19 section 3.3: A = sum_i C(alpha, i) (1-q)^(alpha-i) q^i exp((i^2 - i) / (2 z^2)). The binomial weights sum
 * to 1 and the terms 0 and 1 have exp(0), so A - 1 = sum_{i >= 2} C(alpha, i) (1-q)^(alpha-i) q^i (exp(..) - 1): all positive.
 */
function wholeOrderExcess(q: number, z: number, order: number): number {
  const logQ = Math.log(q);
  const logRest = Math.log1p(-q);
  let logBinomial = Math.log(order);
  let total = -Infinity;
  for (let i = 2; i <= order; i++) {
    logBinomial += Math.log((order - i + 1) / i);
    const exponent = (i * i - i) / (2 * z * z);
    const logExcess = exponent > 36 ? exponent : Math.log(Math.expm1(exponent));
    total = logAdd(total, logBinomial + i * logQ + (order - i) * logRest + logExcess);
  }
  return total;
}

/**
 * Any order: A - 1 = E_Q[(1 + y)^alpha - 1 - alpha y] with y = P/Q - 1 = q (exp((2x - 1) / (2 z^2)) - 1), since E_Q[y] = 0.
 *
 * The integrand is never negative (Bernoulli's inequality), analytic in a strip of half-width pi z^2 and falls like a Gaussian
 * around a centre in [0, alpha]: the trapezoid rule converges exponentially, and nothing cancels.
 *
 * Divergence MTZ19 section 3.3 gives a series of terms with alternating signs; where A - 1 is tiny it loses the digits that
 *            matter. dp_accounting takes absolute values, which biases its result upwards.
 */
function fractionalOrderExcess(q: number, z: number, order: number, spacing: number): number {
  const logRest = Math.log1p(-q);
  const logQ = Math.log(q);
  const steps = Math.ceil((order + 24 * z) / spacing);
  const logs = new Float64Array(steps + 1);
  let largest = -Infinity;
  for (let i = 0; i <= steps; i++) {
    const x = -12 * z + i * spacing;
    const exponent = (2 * x - 1) / (2 * z * z);
    const y = exponent > 700 ? Infinity : q * Math.expm1(exponent);
    // log(1 + y), from the form that neither overflows nor cancels.
    const log1pY = exponent > 1 ? logAdd(logRest, logQ + exponent) : Math.log1p(y);
    logs[i] = logBernoulliGap(y, log1pY, order) - (x * x) / (2 * z * z);
    if (logs[i] > largest) largest = logs[i];
  }
  let sum = 0;
  for (const value of logs) sum += Math.exp(value - largest);
  return largest + Math.log((sum * spacing) / (z * Math.sqrt(2 * Math.PI)));
}

/** log((1 + y)^a - 1 - a y) for y > -1, a > 1. */
function logBernoulliGap(y: number, log1pY: number, a: number): number {
  if (Math.abs(y) * a < 0.5) {
    if (y === 0) return -Infinity;
    // Binomial series from the second term; each further term is at most half the one before.
    let term = (a * (a - 1) * y * y) / 2;
    let sum = term;
    for (let k = 3; Math.abs(term) > 1e-18 * sum; k++) {
      term *= ((a - k + 1) * y) / k;
      sum += term;
    }
    return Math.log(sum);
  }
  const power = a * log1pY;
  if (power < 30) return Math.log(Math.expm1(power) - a * y);
  // (1 + a y) / (1 + y)^a is small here; a bounds (1 + a y) / (1 + y).
  const rest = y === Infinity ? a * Math.exp(log1pY - power) : (1 + a * y) * Math.exp(-power);
  return power + Math.log1p(-rest);
}

/**
 * Total RDP of steps of several kinds: RDP of independent mechanisms adds up, also when each is chosen after the last.
 *
 * Edge cases no events, or none with steps and sampling -> zeros | z = 0 with a step -> Infinity
 */
export function composeRdp(events: readonly AccountedSteps[], orders: readonly number[] = DEFAULT_ORDERS): RdpCurve {
  checkSteps(events);
  const rdp = orders.map((order) => {
    let total = 0;
    for (const { noiseMultiplier, samplingRate, steps } of costly(events)) {
      total += steps * subsampledGaussianRdp(samplingRate, noiseMultiplier, order);
    }
    return total;
  });
  return { orders, rdp };
}

/**
 * The least epsilon that the curve proves at `delta`, and the order that proves it.
 *
 * Source     CKS20 proposition 12: eps = RDP + log(1 - 1/alpha) - log(delta alpha) / (alpha - 1), at the best alpha
 * Edge cases RDP zero at any order -> 0 | delta = 0 with a cost -> Infinity | never negative
 */
export function rdpToEpsilon(curve: RdpCurve, delta: number): { readonly epsilon: number; readonly order: number } {
  checkDelta(delta);
  let best = { epsilon: Infinity, order: curve.orders[0] };
  curve.orders.forEach((order, i) => {
    const rdp = curve.rdp[i];
    const epsilon = rdp === 0 ? 0 : rdp + Math.log1p(-1 / order) - Math.log(delta * order) / (order - 1);
    if (epsilon < best.epsilon) best = { epsilon: Math.max(0, epsilon), order };
  });
  return best;
}

/** The least delta that the curve proves at `epsilon`: the same proposition, the other way round. At most 1. */
export function rdpToDelta(curve: RdpCurve, epsilon: number): { readonly delta: number; readonly order: number } {
  if (!(epsilon >= 0)) throw invalid('epsilon must be at least 0.');
  let best = { delta: 1, order: curve.orders[0] };
  curve.orders.forEach((order, i) => {
    const rdp = curve.rdp[i];
    const logDelta = (order - 1) * (rdp - epsilon + Math.log1p(-1 / order)) - Math.log(order);
    const delta = rdp === 0 ? 0 : Math.exp(logDelta);
    if (delta < best.delta) best = { delta, order };
  });
  return best;
}

/**
 * Epsilon that steps have cost at `delta`, by this accountant, with the order that gave it.
 *
 * Guarantee  an upper bound on the true epsilon for adding or removing one unit; rounding is covered by a relative 1e-11
 * Edge cases nothing spent -> 0 | no noise -> Infinity | delta = 0 -> Infinity
 */
export function epsilonFor(
  events: readonly AccountedSteps[],
  delta: number,
  orders: readonly number[] = DEFAULT_ORDERS,
): { readonly epsilon: number; readonly order: number } {
  const { epsilon, order } = rdpToEpsilon(composeRdp(events, orders), delta);
  return { epsilon: epsilon * (1 + SAFETY), order };
}

/** Delta that steps have cost at `epsilon`, by this accountant. Guarantee and edge cases as for `epsilonFor`. */
export function deltaFor(
  events: readonly AccountedSteps[],
  epsilon: number,
  orders: readonly number[] = DEFAULT_ORDERS,
): { readonly delta: number; readonly order: number } {
  // The rounding of RDP is multiplied by alpha - 1 in the exponent: taken off epsilon instead.
  const { delta, order } = rdpToDelta(composeRdp(events, orders), epsilon * (1 - SAFETY));
  return { delta: Math.min(1, delta * (1 + 1e-9)), order };
}
