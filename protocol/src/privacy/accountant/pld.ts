/**
 * The second accountant: the privacy loss distribution of Poisson-subsampled Gaussian steps, composed numerically.
 *
 * It is tighter than RDP, by some five to twenty per cent of epsilon for training and more for few steps, and independent of it.
 * Every approximation errs upwards: each loss is split onto the two grid points around it so that the pair stays dominating
 * ("connect the dots"), what is cut off at the top becomes an infinite loss, and what the Fourier transform may wrap around or
 * round is added to delta.
 *
 * Source     Koskela, Jalko, Honkela 2020, arXiv:1906.03049 (Fourier composition);
 *            Doroshenko et al. 2022, arXiv:2207.04380 (connect the dots); Zhu, Dong, Wang 2022, arXiv:2106.08567 (a dominating
 *            pair for "remove" and one for "add" each compose; the larger result counts)
 * Legend     P, Q = the dominating pair; L = log(P/Q) = loss; h = grid spacing; q, z as in `rdp.ts`; p = mass under P
 *            remove: P = (1-q) N(0, z^2) + q N(1, z^2), Q = N(0, z^2);   add: the same two exchanged
 */

import { type AccountedSteps, checkDelta, checkSteps, costly, invalid } from './events.js';
import { type FourierPlan, fourierPlan, transformInto } from './fft.js';
import { logAdd, normalAbove, normalBelow, normalBetween } from './special.js';

/** The finest grid: epsilon is then good to some 1e-4. It is doubled while a table would be longer than MOST_POINTS. */
const FINEST_SPACING = 1e-4;
const MOST_POINTS = 2 ** 20;

/** Probability that may be cut off each end of a single step, divided by the number of steps, and of the composition. */
const STEP_TAIL = 1e-15;
const WINDOW_TAIL = 1e-15;

/** Rounding of the transforms, per step: |F| <= 1 is raised to the power `steps`, each factor with some units of 2^-53. */
const ROUNDING_PER_STEP = 2 ** -50;

/** Relative error of a cell's masses, put on the side of the larger loss. See `splitCell`. */
const CELL_MARGIN = 1e-8;

type Direction = 'remove' | 'add';

/** Losses on a grid: `mass[i]` is the probability under P of the loss (offset + i) h; `infinite` that of an infinite loss. */
interface LossGrid {
  readonly offset: number;
  readonly mass: Float64Array;
  readonly infinite: number;
}

/** A composed distribution, ready for questions. `surplus` is delta beyond what the grid says. */
interface ComposedLoss extends LossGrid {
  readonly spacing: number;
  readonly surplus: number;
}

/** What the accountant knows after composition. */
export interface PrivacyLoss {
  /** An upper bound on delta at epsilon >= 0. */
  deltaFor(epsilon: number): number;
  /** An upper bound on epsilon at delta. Infinity when delta is below what the approximation itself costs. */
  epsilonFor(delta: number): number;
}

/**
 * Composes steps of several kinds.
 *
 * Units      finestSpacing in nats of loss
 * Guarantee  upper bounds, for adding or removing one unit
 * Edge cases nothing spent -> delta 0 and epsilon 0 | a step without noise -> delta 1 and epsilon Infinity
 * Cost       up to some seconds and 100 MiB for tables of 2^20 points; typically a tenth
 */
export function composePld(events: readonly AccountedSteps[], finestSpacing = FINEST_SPACING): PrivacyLoss {
  checkSteps(events);
  if (!(finestSpacing >= 1e-6 && finestSpacing <= 1)) throw invalid('finestSpacing must be from 1e-6 to 1.');
  const paid = costly(events);
  if (paid.length === 0) return { deltaFor: () => 0, epsilonFor: () => 0 };
  if (paid.some((event) => event.noiseMultiplier === 0)) return { deltaFor: () => 1, epsilonFor: () => Infinity };
  const directions = [compose(paid, 'remove', finestSpacing), compose(paid, 'add', finestSpacing)];
  return {
    deltaFor: (epsilon) => {
      if (!(epsilon >= 0)) throw invalid('epsilon must be at least 0.');
      return Math.max(...directions.map((loss) => deltaOf(loss, epsilon)));
    },
    epsilonFor: (delta) => {
      checkDelta(delta);
      return Math.max(...directions.map((loss) => epsilonOf(loss, delta)));
    },
  };
}

/** Epsilon that steps have cost at `delta`, by this accountant. */
export function epsilonForPld(events: readonly AccountedSteps[], delta: number): number {
  return composePld(events).epsilonFor(delta);
}

/** Delta that steps have cost at `epsilon`, by this accountant. */
export function deltaForPld(events: readonly AccountedSteps[], epsilon: number): number {
  return composePld(events).deltaFor(epsilon);
}

function compose(events: readonly AccountedSteps[], direction: Direction, finestSpacing: number): ComposedLoss {
  const totalSteps = events.reduce((sum, event) => sum + event.steps, 0);
  for (let spacing = finestSpacing; ; spacing *= 2) {
    // Ranges first: the grid gets coarser until all tables fit.
    if (events.some((event) => stepRange(event, direction, totalSteps, spacing).points > MOST_POINTS)) continue;
    const grids = events.map((event) => discretize(event, direction, totalSteps, spacing));
    const window = composedWindow(grids, events, spacing);
    const points = window.last - window.first + 1;
    if (points > MOST_POINTS) continue;
    let length = 2;
    while (length < points) length *= 2;
    return convolve(grids, events, window, fourierPlan(length), spacing);
  }
}

// One step.

/** The outcomes x that a step's table covers, and the cells of loss they fall in: cell i is ((i-1) h, i h]. */
function stepRange(
  event: AccountedSteps,
  direction: Direction,
  totalSteps: number,
  spacing: number,
): { firstCell: number; lastCell: number; points: number } {
  const { noiseMultiplier: z, samplingRate: q } = event;
  // P[|N(0,1)| > t] < exp(-t^2/2) = STEP_TAIL / totalSteps.
  const reach = z * Math.sqrt(2 * Math.log(totalSteps / STEP_TAIL));
  // Where P has its mass: N(0) and, for "remove", N(1) as well.
  const right = direction === 'remove' ? 1 + reach : reach;
  const ends = [lossAt(-reach, q, z, direction), lossAt(right, q, z, direction)];
  const firstCell = Math.floor(Math.min(...ends) / spacing);
  const lastCell = Math.ceil(Math.max(...ends) / spacing);
  return { firstCell, lastCell, points: lastCell - firstCell + 1 };
}

/** L(x): log(1 - q + q exp((2x - 1) / (2 z^2))), negated for "add". */
function lossAt(x: number, q: number, z: number, direction: Direction): number {
  const exponent = (2 * x - 1) / (2 * z * z);
  let loss: number;
  if (q === 1) loss = exponent;
  else if (exponent > 1) loss = exponent + Math.log(q + (1 - q) * Math.exp(-exponent));
  else loss = Math.log1p(q * Math.expm1(exponent));
  return direction === 'remove' ? loss : -loss;
}

/** The x with L(x) = loss for "remove": -Infinity below the least loss log(1 - q). */
function outcomeAt(loss: number, q: number, z: number): number {
  if (q === 1) return z * z * loss + 0.5;
  const ratio = loss > 1 ? (1 - (1 - q) * Math.exp(-loss)) / q : (Math.expm1(loss) + q) / q;
  if (!(ratio > 0)) return -Infinity;
  return z * z * (Math.log(ratio) + (loss > 1 ? loss : 0)) + 0.5;
}

/**
 * The dominating pair of one step on the grid.
 *
 * Guarantee  the grid's pair dominates the step's: the hockey-stick curve of the grid is at or above the true one everywhere, up to
 *            CELL_MARGIN, which is on the safe side too
 */
function discretize(event: AccountedSteps, direction: Direction, totalSteps: number, spacing: number): LossGrid {
  const { noiseMultiplier: z, samplingRate: q } = event;
  const { firstCell, lastCell, points } = stepRange(event, direction, totalSteps, spacing);
  const mass = new Float64Array(points);
  const rise = Math.expm1(spacing);

  // Outcomes between which the loss is in cell i; for "add" the loss falls with x.
  const edge = (cell: number): number =>
    direction === 'remove' ? outcomeAt(cell * spacing, q, z) : outcomeAt(-cell * spacing, q, z);
  let previous = edge(firstCell);
  // All below the first point is moved up to it.
  mass[0] = direction === 'remove' ? mixtureBelow(previous, q, z) : normalAbove(previous / z);
  for (let cell = firstCell + 1; cell <= lastCell; cell++) {
    const next = edge(cell);
    const [from, to] = direction === 'remove' ? [previous, next] : [next, previous];
    previous = next;
    const zero = normalBetween(from / z, to / z);
    const one = normalBetween((from - 1) / z, (to - 1) / z);
    const mixture = (1 - q) * zero + q * one;
    const [underP, underQ] = direction === 'remove' ? [mixture, zero] : [zero, mixture];
    if (underP === 0) continue;
    const lower = splitCell(underP, underQ, cell * spacing, rise);
    mass[cell - 1 - firstCell] += lower;
    mass[cell - firstCell] += underP - lower;
  }
  const infinite = direction === 'remove' ? mixtureAbove(previous, q, z) : normalBelow(previous / z);
  return { offset: firstCell, mass, infinite };
}

function mixtureBelow(x: number, q: number, z: number): number {
  return (1 - q) * normalBelow(x / z) + q * normalBelow((x - 1) / z);
}

function mixtureAbove(x: number, q: number, z: number): number {
  return (1 - q) * normalAbove(x / z) + q * normalAbove((x - 1) / z);
}

/**
 * How much of a cell's mass goes to its lower end, when its masses under P and Q are both kept.
 *
 * With a = b + c under P and the ratios exp(-loss) under Q: b exp(-(l - h)) + c exp(-l) = underQ gives
 * b = (underQ exp(l) - a) / (exp(h) - 1). Replacing a distribution on an interval by one on its ends with the same mean of
 * exp(-loss) raises every convex function of it, so the hockey-stick divergences too. The cancellation in b leaves an error of
 * about 1e-15 a / h; the margin moves more than that to the upper end.
 */
function splitCell(underP: number, underQ: number, upperLoss: number, rise: number): number {
  const lower = (underQ * Math.exp(upperLoss) - underP) / rise;
  if (!Number.isFinite(lower)) return 0; // exp out of range: all to the upper end
  return Math.min(Math.max(0, lower - CELL_MARGIN * underP), underP);
}

// Many steps.

interface Window {
  readonly first: number;
  readonly last: number;
}

/**
 * Grid points outside of which the composed (finite) loss has a probability of at most WINDOW_TAIL on each side, by Chernoff:
 * log P[sum >= u] <= sum_k steps_k K_k(t) - t u, for every t > 0; K the cumulant generating function; and likewise below.
 */
function composedWindow(grids: readonly LossGrid[], events: readonly AccountedSteps[], spacing: number): Window {
  let [first, last] = [0, 0];
  grids.forEach((grid, k) => {
    first += events[k].steps * grid.offset;
    last += events[k].steps * (grid.offset + grid.mass.length - 1);
  });
  const cumulants = (t: number): number =>
    grids.reduce((sum, grid, k) => sum + events[k].steps * cumulantAt(grid, t * spacing), 0);
  for (let exponent = -6; exponent <= 9; exponent += 0.5) {
    const t = 2 ** exponent;
    if (t * spacing * BLOCK > 300) break; // powers in `cumulantAt` would leave the range of f64; any set of t is valid
    const up = (cumulants(t) - Math.log(WINDOW_TAIL)) / t;
    if (up / spacing < last) last = Math.ceil(up / spacing);
    const down = (cumulants(-t) - Math.log(WINDOW_TAIL)) / -t;
    if (down / spacing > first) first = Math.floor(down / spacing);
  }
  return { first, last: Math.max(last, first + 1) };
}

/** Products of exp(t h) are taken over this many points before the next exp. */
const BLOCK = 64;

/** log sum_i mass_i exp(t (offset + i)), t per grid point: block by block, so that one exp and one log serve 64 points. */
function cumulantAt(grid: LossGrid, t: number): number {
  const { mass, offset } = grid;
  const ratio = Math.exp(t);
  let total = -Infinity;
  for (let start = 0; start < mass.length; start += BLOCK) {
    const end = Math.min(start + BLOCK, mass.length);
    let power = 1;
    let sum = 0;
    for (let i = start; i < end; i++) {
      sum += mass[i] * power;
      power *= ratio;
    }
    if (sum > 0) total = logAdd(total, t * (offset + start) + Math.log(sum));
  }
  // Rounded up a little: 64 products a block, one rounding a block.
  return total + 1e-11;
}

/**
 * The composed distribution on the window, by powers of transforms on a circle of `plan.length` points.
 *
 * Guarantee  losses outside the window are wrapped into it, at places that may be too low; their probability, at most
 *            2 WINDOW_TAIL, is in `surplus`. So is an allowance for rounding: an a-priori term per step, and twice what came out
 *            negative where probabilities cannot be. The latter is a measurement of the error, not a proof; against closed forms
 *            (`pld.test.ts`) it is ample.
 */
function convolve(
  grids: readonly LossGrid[],
  events: readonly AccountedSteps[],
  window: Window,
  plan: FourierPlan,
  spacing: number,
): ComposedLoss {
  const n = plan.length;
  const productRe = new Float64Array(n).fill(1);
  const productIm = new Float64Array(n);
  let logFinite = 0;
  let offset = 0;
  let totalSteps = 0;
  grids.forEach((grid, k) => {
    const { steps } = events[k];
    const re = new Float64Array(n);
    const im = new Float64Array(n);
    for (let i = 0; i < grid.mass.length; i++) re[i & (n - 1)] += grid.mass[i];
    transformInto(plan, re, im);
    for (let i = 0; i < n; i++) {
      const size = Math.hypot(re[i], im[i]) ** steps;
      const angle = Math.atan2(im[i], re[i]) * steps;
      const [a, b] = [size * Math.cos(angle), size * Math.sin(angle)];
      const [c, d] = [productRe[i], productIm[i]];
      productRe[i] = a * c - b * d;
      productIm[i] = a * d + b * c;
    }
    logFinite += steps * Math.log1p(-grid.infinite);
    offset += steps * grid.offset;
    totalSteps += steps;
  });
  transformInto(plan, productIm, productRe);

  // Circle point i holds the loss offset + i (mod n); the window says which of them it is.
  const mass = new Float64Array(n);
  const shift = (((window.first - offset) % n) + n) % n;
  let negative = 0;
  for (let i = 0; i < n; i++) {
    const value = productRe[(i + shift) & (n - 1)] / n;
    if (value > 0) mass[i] = value;
    else negative -= value;
  }
  return {
    offset: window.first,
    mass,
    infinite: -Math.expm1(logFinite),
    spacing,
    surplus: 2 * WINDOW_TAIL + ROUNDING_PER_STEP * totalSteps + 2 * negative,
  };
}

/** delta(epsilon) = E_P[(1 - exp(epsilon - L))+] + P[L = infinity]. */
function deltaOf(loss: ComposedLoss, epsilon: number): number {
  const { mass, offset, spacing } = loss;
  let sum = loss.infinite + loss.surplus;
  for (let i = mass.length - 1; i >= 0; i--) {
    const over = (offset + i) * spacing - epsilon;
    if (over <= 0) break;
    sum += mass[i] * -Math.expm1(-over);
  }
  return Math.min(1, sum);
}

/** The least grid-exact epsilon >= 0 with delta(epsilon) <= delta: from the top down until the curve passes delta, then between. */
function epsilonOf(loss: ComposedLoss, delta: number): number {
  const { mass, offset, spacing } = loss;
  // delta(e) = fixed + above - exp(e) discounted, for e between two neighbouring points: linear in exp(e).
  let above = 0;
  let discounted = 0; // sum of mass exp(-(L - reference)), reference the present point
  const fixed = loss.infinite + loss.surplus;
  if (fixed > delta) return Infinity;
  const shrink = Math.exp(-spacing);
  for (let i = mass.length - 1; i >= 0; i--) {
    // At the point i itself, its own mass counts nothing.
    discounted *= shrink;
    const atPoint = fixed + above - discounted;
    if (atPoint > delta) {
      // Between this point and the next one: with d in units of the next point.
      const next = (offset + i + 1) * spacing;
      const inNext = discounted / shrink;
      return Math.max(0, next + Math.log((fixed + above - delta) / inNext));
    }
    above += mass[i];
    discounted += mass[i];
    if ((offset + i) * spacing <= 0) break;
  }
  // Not passed on the grid. If the grid ends above 0, the last piece of the curve goes on below it.
  const excess = fixed + above - delta;
  if (offset <= 0 || excess <= 0) return 0;
  return Math.max(0, offset * spacing + Math.log(excess / discounted));
}
