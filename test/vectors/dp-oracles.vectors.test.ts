/**
 * Answers that other accountants gave, row by row: `shared/vectors/dp_oracles.json`, beside the repository. Without that folder
 * the suite is skipped.
 *
 * Where a row's value is an upper bound of a looser or biased method, the test says what it demands instead of equality.
 */

import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { noiseMultiplierFor } from '../../protocol/src/privacy/accountant/calibrate.js';
import { sensitivityInSteps } from '../../protocol/src/encoding/quantize.js';
import { composePld, epsilonForPld } from '../../protocol/src/privacy/accountant/pld.js';
import {
  composeRdp,
  epsilonFor,
  rdpToDelta,
  rdpToEpsilon,
  subsampledGaussianRdp,
} from '../../protocol/src/privacy/accountant/rdp.js';
import { gaussianDelta, subsampledGaussianDelta } from '../../protocol/src/privacy/accountant/single-step.js';
import { normalAbove } from '../../protocol/src/privacy/accountant/special.js';
import { zcdpToEpsilon } from '../../protocol/src/privacy/accountant/zcdp.js';
import {
  discreteGaussianDelta,
  discreteGaussianLaw,
  discreteGaussianVariance,
} from '../../protocol/src/privacy/discrete-gaussian-law.js';
import { distributedGaussianTau } from '../../protocol/src/privacy/noise.js';

interface Row {
  readonly id: string;
  readonly kind: string;
  readonly accountant: string;
  readonly params: Record<string, number> & { readonly orders?: number[] | string; readonly adjacency?: string };
  readonly expected: number | number[];
  readonly tolerance: number;
  readonly tolerance_kind: 'abs' | 'rel';
  readonly exact_series_epsilon?: number;
  readonly note?: string;
}

const FILE = resolve(import.meta.dirname, '../../../shared/vectors/dp_oracles.json');
const present = existsSync(FILE);
const rows: readonly Row[] = present ? (JSON.parse(readFileSync(FILE, 'utf8')) as { rows: Row[] }).rows : [];

/** dp_accounting's default orders, for rows that depend on the list: 1.1 to 10.9 by tenths, 11 to 63, 128, 256, 512, 1024. */
const PEER_ORDERS = [
  ...Array.from({ length: 99 }, (_, i) => 1 + (i + 1) / 10),
  ...Array.from({ length: 53 }, (_, i) => i + 11),
  128,
  256,
  512,
  1024,
];

/** Where a row's value is exact, whatever tolerance the peer's own test had. */
const EXACT_RDP = 1e-9;

/** The peer's value here (0.00067058) is biased upwards by absolute values in its series; quadrature with mpmath, 30 digits. */
const ROW_005_AT_1_5 = { order: 1.5, exact: 0.00065007089718804 };

/** A PRV value is epsilon with an allowed error of 0.01, given as its upper end: the truth is up to this much below. */
const PRV_INTERVAL = 0.0205;

/** How far a PLD value on our grid may be above another pessimistic one, absolute. */
const PLD_GRID = 2e-4;

function near(actual: number, row: Row, expected = row.expected as number, tolerance = row.tolerance): void {
  const allowed = row.tolerance_kind === 'rel' ? tolerance * Math.abs(expected) : tolerance;
  expect(Math.abs(actual - expected), `${actual} against ${expected}`).toBeLessThanOrEqual(allowed);
}

function events({ params }: Row): { noiseMultiplier: number; samplingRate: number; steps: number }[] {
  const { q, steps, effective_noise_multiplier, noise_multiplier } = params;
  return [{ noiseMultiplier: effective_noise_multiplier ?? noise_multiplier, samplingRate: q ?? 1, steps }];
}

/** Rows 147, 149 and 150: the peer's accountant for the continuous Gaussian without rounding, from the notes of 147 and 149. */
const CONTINUOUS_GAUSSIAN_UNROUNDED: Readonly<Record<string, number>> = {
  '147': 20.94764781,
  '149': 0.93921605,
  '150': 0.93921605,
};

/** Integer noise orders of google-research/federated: 2 to 128 and 256. */
const DISTRIBUTED_ORDERS = [...Array.from({ length: 127 }, (_, i) => i + 2), 256];

/** Kairouz et al. 2021, proposition 22: L2 sensitivity after conditional stochastic rounding of a vector of norm `length`. */
function conditionalRoundingBound(length: number, beta: number, dim: number): number {
  const spread = Math.sqrt(2 * Math.log(1 / beta)) * (length + Math.sqrt(dim) / 2);
  return Math.sqrt(Math.min(length ** 2 + dim / 4 + spread, (length + Math.sqrt(dim)) ** 2));
}

/** The noise multiplier of a distributed setting of the peer, whose rounding is conditional. */
function distributedNoiseMultiplier({ params }: Row): number {
  const { num_clients, local_stddev, scale, l2_clip, beta, dim } = params;
  return (Math.sqrt(num_clients) * local_stddev * scale) / conditionalRoundingBound(scale * l2_clip, beta, dim);
}

/** Our discrete Gaussian, given that |x| <= bound. */
function truncatedLaw(sigma: number, bound: number): (x: number) => number {
  const law = discreteGaussianLaw(sigma);
  const inside = law.probability.slice(law.bound - bound, law.bound + bound + 1);
  const total = inside.reduce((sum, p) => sum + p, 0);
  return (x) => (Math.abs(x) <= bound ? inside[x + bound] / total : 0);
}

/** sup_S P(S) - e^epsilon Q(S) for one step whose noise is truncated, one unit added or removed. */
function truncatedDelta({ sigma, sensitivity, truncation_bound: bound, q, epsilon, adjacency }: Row['params']): number {
  const law = truncatedLaw(sigma, bound);
  let sum = 0;
  for (let x = -bound; x <= bound + sensitivity; x++) {
    const without = law(x);
    const mixed = (1 - q) * without + q * law(x - sensitivity);
    const [p, other] = adjacency === 'ADD' ? [without, mixed] : [mixed, without];
    sum += Math.max(0, p - Math.exp(epsilon) * other);
  }
  return sum;
}

/** The t with P[N(0, 1) > t] = probability, by bisection. */
function normalQuantileAbove(probability: number): number {
  let [low, high] = [-40, 40];
  for (let i = 0; i < 100; i++) {
    const middle = (low + high) / 2;
    if (normalAbove(middle) > probability) low = middle;
    else high = middle;
  }
  return low;
}

/** The check of a row, or nothing when none of our functions answers it. */
function checkOf(row: Row): (() => void) | undefined {
  const { kind, accountant, params } = row;
  const expected = row.expected as number;

  if (kind === 'rdp_at_orders') {
    return () => {
      const noiseMultiplier = params.noise_multiplier ?? params.sigma / params.sensitivity;
      const orders = params.orders as number[];
      const { rdp } = composeRdp([{ noiseMultiplier, samplingRate: params.q ?? 1, steps: params.steps ?? 1 }], orders);
      const exact = accountant.includes('exact quadrature');
      rdp.forEach((value, i) => {
        const biased = row.id === '005' && orders[i] === ROW_005_AT_1_5.order;
        near(
          value,
          row,
          biased ? ROW_005_AT_1_5.exact : (row.expected as number[])[i],
          exact || biased ? EXACT_RDP : row.tolerance,
        );
        expect(value).toBeLessThanOrEqual((row.expected as number[])[i] * (1 + row.tolerance));
      });
    };
  }
  if (kind === 'log_A_alpha') {
    return () => {
      const rdp = subsampledGaussianRdp(params.q, params.noise_multiplier, params.order);
      near(rdp * (params.order - 1), row, expected, EXACT_RDP);
    };
  }
  if (kind === 'rdp_to_epsilon' || kind === 'rdp_to_delta') {
    const orders = Array.from({ length: 31 }, (_, i) => i + 2);
    const curve = { orders, rdp: orders.map(() => params.rdp_all) };
    return () => {
      const result = kind === 'rdp_to_epsilon' ? rdpToEpsilon(curve, params.delta) : rdpToDelta(curve, params.epsilon);
      near('epsilon' in result ? result.epsilon : result.delta, row);
      expect(result.order).toBe(params.optimal_order);
    };
  }
  if (kind === 'epsilon' && accountant.startsWith('RDP')) {
    return () => {
      // The exact series where the peer's fractional orders are biased; never above the published value.
      const value = epsilonFor(events(row), params.delta, PEER_ORDERS).epsilon;
      near(
        value,
        row,
        row.exact_series_epsilon ?? expected,
        row.exact_series_epsilon === undefined ? row.tolerance : EXACT_RDP * expected,
      );
      expect(value).toBeLessThanOrEqual(expected + row.tolerance * Math.max(1, expected));
      // Our own list of orders is longer: at most that, and at least what the tighter accountant proves.
      expect(epsilonFor(events(row), params.delta).epsilon).toBeLessThanOrEqual(value);
    };
  }
  if (kind === 'epsilon' && accountant.startsWith('PLD')) {
    return () => {
      const value = epsilonForPld(events(row), params.delta);
      near(value, row);
      expect(value).toBeLessThanOrEqual(epsilonFor(events(row), params.delta).epsilon);
    };
  }
  if (kind === 'epsilon' && accountant.startsWith('PRV')) {
    return () => {
      const value = epsilonForPld(events(row), params.delta);
      expect(value).toBeLessThanOrEqual(expected + row.tolerance);
      expect(value).toBeGreaterThanOrEqual(expected - PRV_INTERVAL);
      const google = Number(/google PLD here: ([\d.]+)/.exec(row.note ?? '')?.[1]);
      expect(Math.abs(value - google)).toBeLessThan(PLD_GRID + 2e-6 * google);
    };
  }
  if (kind === 'epsilon' && accountant.startsWith('distributed discrete Gaussian') && params.q === 1) {
    return () => {
      // Full participation only: for q < 1 the peer uses a looser amplification bound. Its sensitivity is that of conditional
      // rounding (Kairouz et al. 2021, proposition 22), which our deterministic rounding has no use for.
      const spent = [{ noiseMultiplier: distributedNoiseMultiplier(row), samplingRate: 1, steps: params.steps }];
      near(epsilonFor(spent, params.delta, DISTRIBUTED_ORDERS).epsilon, row);
    };
  }
  if (kind === 'epsilon' && accountant.startsWith('distributed')) {
    return () => {
      // Subsampled: the peer's amplification bound (Zhu and Wang 2019, theorem 5) is looser than ours, and its Skellam noise
      // costs a little more than the discrete Gaussian of the same width. Ours lies between the continuous Gaussian without
      // rounding, which the peer gives in a note, and the peer's value; and above what the tighter accountant proves.
      const { q: samplingRate, steps, delta, num_clients, local_stddev, l2_clip } = params;
      const at = (noiseMultiplier: number) => [{ noiseMultiplier, samplingRate, steps }];
      const unrounded = epsilonFor(
        at((Math.sqrt(num_clients) * local_stddev) / l2_clip),
        delta,
        DISTRIBUTED_ORDERS,
      ).epsilon;
      expect(Math.abs(unrounded - CONTINUOUS_GAUSSIAN_UNROUNDED[row.id])).toBeLessThan(1e-8 * unrounded + 5e-9);
      const spent = at(distributedNoiseMultiplier(row));
      const value = epsilonFor(spent, delta, DISTRIBUTED_ORDERS).epsilon;
      expect(value).toBeLessThan(expected);
      expect(value).toBeGreaterThan(unrounded);
      expect(value).toBeGreaterThan(epsilonForPld(spent, delta));
    };
  }
  if (kind === 'rounded_l2_norm_bound') {
    return () => {
      near(conditionalRoundingBound(params.l2_norm_bound, params.beta, params.dim), row);
      // Deterministic rounding cannot be better in the worst case, and ours does not claim it.
      expect(sensitivityInSteps(params.l2_norm_bound, 1, params.dim)).toBeGreaterThanOrEqual(expected);
    };
  }
  if (kind === 'delta' && accountant.startsWith('truncated')) return () => near(truncatedDelta(params), row);
  if (kind === 'discrete_gaussian_std') {
    return () => {
      const law = truncatedLaw(params.sigma, params.truncation_bound);
      let variance = 0;
      for (let x = 1; x <= params.truncation_bound; x++) variance += 2 * law(x) * x * x;
      near(Math.sqrt(variance), row);
    };
  }
  if (kind === 'discrete_gaussian_cdf') {
    return () => {
      const law = truncatedLaw(params.sigma, params.truncation_bound);
      let below = 0;
      for (let x = -params.truncation_bound; x <= params.x; x++) below += law(x);
      near(below, row);
    };
  }
  if (kind === 'tpr_at_fpr') {
    // The best attack on one Gaussian step of z = 1 / mu: a threshold on the outcome.
    return () => near(normalAbove(normalQuantileAbove(params.fpr) - params.mu), row);
  }
  if (kind === 'epsilon_interval') {
    return () => {
      // The central-limit approximation is too small: ours must be above it.
      expect(epsilonForPld(events(row), params.delta)).toBeGreaterThan((row.expected as number[])[1]);
    };
  }
  if (kind === 'delta' && accountant.startsWith('PLD')) {
    return () => near(composePld(events(row)).deltaFor(params.epsilon), row);
  }
  if (kind === 'delta' && accountant.startsWith('exact') && params.adjacency === 'REMOVE') {
    return () => {
      const noiseMultiplier = params.sigma / params.sensitivity;
      const exact = subsampledGaussianDelta(params.q, noiseMultiplier, params.epsilon);
      near(exact, row);
      const byPld = composePld([{ noiseMultiplier, samplingRate: params.q, steps: 1 }]).deltaFor(params.epsilon);
      near(byPld, row);
      expect(byPld).toBeGreaterThanOrEqual(exact);
    };
  }
  if (kind === 'delta' && accountant.startsWith('1-D discrete Gaussian')) {
    return () => near(discreteGaussianDelta(Math.sqrt(params.sigma2), params.sensitivity, params.epsilon), row);
  }
  if (kind === 'noise_calibration' && accountant.startsWith('PLD')) {
    return () => {
      // One step: the closed form gives the peer's digits (which are pessimistic too), our grid hardly more noise.
      const exact = (z: number) => subsampledGaussianDelta(params.q ?? 1, z, params.epsilon);
      expect(exact(expected + row.tolerance)).toBeLessThanOrEqual(params.delta);
      expect(exact(expected * (1 - 1e-6))).toBeGreaterThan(params.delta);
      const byPld = (z: number) =>
        epsilonForPld([{ noiseMultiplier: z, samplingRate: params.q ?? 1, steps: params.steps }], params.delta);
      expect(byPld(expected * 1.0002)).toBeLessThanOrEqual(params.epsilon);
      expect(byPld(expected * 0.9999)).toBeGreaterThan(params.epsilon);
    };
  }
  if (kind === 'noise_calibration' && accountant.startsWith('1-D discrete Gaussian')) {
    return () => {
      const at = (sigma: number) => discreteGaussianDelta(sigma, params.sensitivity, params.epsilon);
      expect(at(expected + row.tolerance)).toBeLessThanOrEqual(params.delta);
      expect(at(expected - 2 * row.tolerance)).toBeGreaterThan(params.delta);
    };
  }
  if (kind === 'noise_calibration' && accountant.startsWith('Opacus')) {
    return () => {
      // Opacus stops when epsilon is within 0.01 below the target: the least noise is at most its value, and near it.
      const { q: samplingRate, steps, delta, epsilon } = params;
      const at = (noiseMultiplier: number) => {
        const spent = [{ noiseMultiplier, samplingRate, steps }];
        return accountant.includes('prv') ? epsilonForPld(spent, delta) : epsilonFor(spent, delta).epsilon;
      };
      expect(at(expected + row.tolerance)).toBeLessThanOrEqual(epsilon);
      expect(at(expected - 0.006)).toBeGreaterThan(epsilon);
      if (!accountant.includes('prv')) {
        expect(noiseMultiplierFor({ epsilon, delta, samplingRate, steps })).toBeLessThanOrEqual(
          expected + row.tolerance,
        );
      }
    };
  }
  if (kind === 'noise_calibration' && accountant.startsWith('analytic Gaussian')) {
    return () => {
      const allowed = row.tolerance * expected;
      expect(gaussianDelta(expected + allowed, params.epsilon)).toBeLessThanOrEqual(params.delta);
      expect(gaussianDelta(expected - allowed, params.epsilon)).toBeGreaterThan(params.delta);
    };
  }
  if (kind === 'discrete_gaussian_variance') return () => near(discreteGaussianVariance(Math.sqrt(params.sigma2)), row);
  if (kind === 'zcdp_to_epsilon') return () => near(zcdpToEpsilon(params.rho, params.delta), row);
  if (kind === 'ddg_tau') return () => near(distributedGaussianTau(params.local_sigma, params.num_clients), row);
  return undefined;
}

/** Rows that nothing in `privacy` or `encoding` answers, and why not. */
const NOT_OURS: readonly { readonly why: string; readonly is: (row: Row) => boolean }[] = [
  {
    why: 'the tree mechanism of DP-FTRL is another mechanism: no round of ours releases prefix sums',
    is: (row) => row.id === '025',
  },
  {
    why: 'every promise is for adding or removing one unit; no epsilon for exchanging one is ever printed',
    is: (row) => row.params.adjacency === 'REPLACE',
  },
  {
    why: 'Skellam noise is another mechanism with a curve of its own; ours is the discrete Gaussian',
    is: (row) => row.kind === 'skellam_rdp',
  },
  {
    why: 'a rule of thumb that lets a sum wrap with a small chance; ours is the largest scale that provably cannot',
    is: (row) => row.kind === 'scale_factor',
  },
  {
    why: 'secret sharing and graphs, not privacy accounting: their own tests are with protocol/src/sharing and secagg',
    is: (row) => row.kind === 'shamir_reconstruct' || row.kind === 'secagg_graph',
  },
];

describe.skipIf(!present)('answers of other accountants (shared/vectors/dp_oracles.json)', () => {
  for (const row of rows) {
    const check = checkOf(row);
    if (check !== undefined) it(`${row.id} ${row.kind}: ${row.accountant}`, check);
  }

  it('leaves no row out but those with a reason', () => {
    const unanswered = rows.filter((row) => checkOf(row) === undefined);
    expect(unanswered.filter((row) => !NOT_OURS.some(({ is }) => is(row))).map((row) => row.id)).toEqual([]);
    // And no reason excuses a row that is answered, or none at all.
    for (const { why, is } of NOT_OURS) {
      expect(unanswered.filter(is).length, why).toBeGreaterThan(0);
      expect(
        rows.filter(is).every((row) => unanswered.includes(row)),
        why,
      ).toBe(true);
    }
    expect(rows.length - unanswered.length).toBeGreaterThanOrEqual(98);
  });
});
