/**
 * The numbers besides the update that leave an organisation, and only inside the masked vector, under noise of their own: sums of
 * losses and counts; how many gradients were within the clip; loss and exact answers on rows that are held out from training.
 *
 * Each protected unit (a record, or a whole update) contributes a few more coordinates, each clipped to a weight at most:
 *
 *   always                       weight * min(loss, lossBound) / lossBound, and weight
 *   with `clipping`              weight / 2 where its gradient's norm is within the bound, else -weight / 2, and a ramp between
 *   with `evaluation`            of a held-out record: v * min(loss, lossBound) / lossBound, v where its answer is exact, v
 *
 * A unit's whole vector therefore has a bounded norm (`boundWithMetrics`), which is the sensitivity that the noise is calibrated to:
 * the charge of a round covers its metrics. With weight = l2Bound / 10 the losses cost one per cent of noise. Held-out records
 * cost none: a record is trained on or measured, never both, so that its numbers may weigh as much as a gradient (`heldOutWeight`)
 * and are read the more sharply. A whole update carries both, and v is `weight`.
 *
 * Source     SPEC §18; Andrew, Thakkar, McMahan, Ramaswamy 2021, arXiv:1905.03871, algorithm 1 (noisy quantile, halved indicator, geometric
 *            update of the bound)
 * Divergence The bound of a run never moves by itself: it is in the manifest, where everyone sees it. `suggestedBound` is for the
 *            manifest of the next run.
 *            The indicator is a ramp, 1 up to 7/8 of the bound, 0 from the bound on. A step would turn the last bit of a norm,
 *            which may depend on the records in the same call of the engine, into a whole weight; so what one record does to the
 *            numbers of others stays within `ARITHMETIC_SLACK`. The bound that is found is up to 1/7 larger.
 */

import { ProtocolError } from '../errors.js';

/**
 * Largest weight, and smallest bound of losses, that terms may have: where the numbers of a record move by rounding, because of the
 * records beside it, they then move its vector by no more than its clipped gradient does (line 3 of ARITHMETIC_SLACK's budget).
 */
export const LARGEST_WEIGHT_IN_BOUNDS = 1 / 8;
export const LEAST_LOSS_BOUND = 1;

/** Width of the ramp below the bound, relative to it: with the largest weight its slope is 1. */
const RAMP = 1 / 8;

/** What is protected. */
export interface MeasuredUnit {
  /** One record, which is trained on or measured, or an update, which carries all of its organisation's numbers. */
  readonly kind: 'record' | 'update';
  /** What its update is clipped to. */
  readonly l2Bound: number;
}

export interface MetricTerms {
  /** Length of one unit's metric coordinates, in units of the update. */
  readonly weight: number;
  /** Losses above this are counted as this; nats per answer token. */
  readonly lossBound: number;
  /** Counts the units whose gradient or update is within the bound, to choose the bound of the next run. */
  readonly clipping?: {
    /** Fraction of units that should be within the bound: gamma of the paper. */
    readonly quantile: number;
    /** How far from the bound of this run the suggestion moves at most, in powers of e: eta of the paper. */
    readonly learningRate: number;
  };
  /** Measures the adapter on rows that this run does not train on. */
  readonly evaluation?: {
    /** Expected fraction of the rows that is held out, chosen by a hash of the prompt. */
    readonly fraction: number;
  };
}

/** What one organisation releases in a round. Private until it is summed under noise. */
export interface ReleasedNumbers {
  /** Training loss of each unit, nats per answer token. */
  readonly losses: Iterable<number>;
  /** Norm of each unit's gradient or update before clipping; one for each loss. Needed with `clipping`. */
  readonly norms?: Iterable<number>;
  /** Of the held-out records that this round sampled, or their means for a whole update. Needed with `evaluation`. */
  readonly heldOut?: Iterable<{ readonly loss: number; readonly exact: number }>;
}

/** How many coordinates the metrics take. They stand last, in the order of the list above. */
export function metricCount({ clipping, evaluation }: Omit<MetricTerms, 'weight' | 'lossBound'>): number {
  return 2 + (clipping === undefined ? 0 : 1) + (evaluation === undefined ? 0 : 3);
}

/**
 * The L2 bound of one unit's whole vector, update and metrics together, in units of the update.
 *
 * Guarantee  an update of norm <= l2Bound with the metrics appended by `withMetrics` has norm <= the result, where the unit is
 *            `record`: one record with a loss and a norm, or without an update and with held-out numbers; `update`: all of them.
 */
export function boundWithMetrics(unit: MeasuredUnit, terms: MetricTerms): number {
  const trained = unit.l2Bound * unit.l2Bound + (terms.clipping === undefined ? 2 : 2 + 1 / 4) * terms.weight ** 2;
  if (terms.evaluation === undefined || unit.kind === 'record') return Math.sqrt(trained);
  return Math.sqrt(trained + 3 * terms.weight * terms.weight);
}

/** Weight of the three numbers of a held-out record, v: as much as its missing gradient leaves room for, or that of the others. */
function heldOutWeight(unit: MeasuredUnit, terms: MetricTerms): number {
  return unit.kind === 'record' ? boundWithMetrics(unit, terms) / Math.sqrt(3) : terms.weight;
}

/**
 * The update sum with its metrics appended.
 *
 * Shapes     sum [P], losses [units], norms [units], heldOut [held-out units] -> [P + metricCount] f64
 * Edge cases a training loss that is not finite -> update/not-finite | no units -> all metrics 0 | negative loss -> counted as 0 |
 *            a norm that is not a number -> not within the bound | a held-out loss that is not finite -> the largest, and not exact
 * @throws ProtocolError update/not-finite: local training diverged
 * @throws ProtocolError update/wrong-length: a norm is missing, or what the terms do not ask for is given
 */
export function withMetrics(
  sum: Float32Array | Float64Array,
  { losses, norms, heldOut }: ReleasedNumbers,
  terms: MetricTerms,
  unit: MeasuredUnit,
): Float64Array {
  const { weight, lossBound, clipping, evaluation } = terms;
  const values = new Float64Array(sum.length + metricCount(terms));
  values.set(sum);
  let lossSum = 0;
  let count = 0;
  for (const loss of losses) {
    if (!Number.isFinite(loss)) throw new ProtocolError('update/not-finite', 'A training loss is not a finite number.');
    lossSum += clippedLoss(loss, lossBound);
    count += 1;
  }
  let at = sum.length;
  values[at++] = weight * lossSum;
  values[at++] = weight * count;
  if ((clipping === undefined) !== (norms === undefined) || (evaluation === undefined) !== (heldOut === undefined)) {
    throw new ProtocolError('update/wrong-length', 'The metrics are not those that the terms of the run ask for.');
  }
  if (norms !== undefined) {
    let balance = 0;
    let counted = 0;
    for (const norm of norms) {
      balance += withinBound(norm, unit.l2Bound) - 0.5;
      counted += 1;
    }
    if (counted !== count) throw new ProtocolError('update/wrong-length', 'There is not one norm for each loss.');
    values[at++] = weight * balance;
  }
  if (heldOut !== undefined) {
    const ofHeldOut = heldOutWeight(unit, terms);
    for (const { loss, exact } of heldOut) {
      const isFinite = Number.isFinite(loss);
      values[at] += ofHeldOut * (isFinite ? clippedLoss(loss, lossBound) : 1);
      values[at + 1] += isFinite && exact > 0 ? ofHeldOut * Math.min(exact, 1) : 0;
      values[at + 2] += ofHeldOut;
    }
  }
  return values;
}

/** 1 up to 7/8 of the bound, 0 from the bound on and for what is not a number, a straight line between. */
function withinBound(norm: number, l2Bound: number): number {
  return norm < l2Bound ? Math.min(1, (l2Bound - norm) / (RAMP * l2Bound)) : 0;
}

/** A loss in [0, 1]: the fraction of the bound. */
function clippedLoss(loss: number, lossBound: number): number {
  return Math.min(Math.max(loss, 0), lossBound) / lossBound;
}

/** What the coordinator reads from a noisy sum: estimates, as wrong as the noise makes them. */
export interface MetricEstimate {
  /** Mean clipped loss, nats per answer token; `undefined` when the noisy count is too small to divide by. */
  readonly meanLoss: number | undefined;
  /** Estimated number of records (or updates) summed. */
  readonly count: number;
  /** Fraction of units whose gradient was within the bound, from 0 to 1. With `clipping`. */
  readonly fractionWithin?: number;
  /** On held-out rows. With `evaluation`. */
  readonly heldOut?: {
    readonly meanLoss: number | undefined;
    /** Fraction of exact answers. */
    readonly accuracy: number | undefined;
    readonly count: number;
  };
}

/**
 * Reads the metrics back from the dequantized noisy sum (not yet divided).
 *
 * Shapes     sum [P + metricCount] in units of the update
 * Note       post-processing of the noised sum: spends no privacy.
 * @param expectedUnits public expected number of units that are trained on: the fraction within the bound is divided by it
 */
export function readMetrics(
  sum: Float64Array,
  terms: MetricTerms,
  unit: MeasuredUnit,
  expectedUnits: number,
): MetricEstimate {
  const { weight, lossBound, clipping, evaluation } = terms;
  const ofHeldOut = heldOutWeight(unit, terms);
  let at = sum.length - metricCount(terms);
  const next = (of: number): number => sum[at++] / of;
  const lossSum = next(weight);
  const count = next(weight);
  return {
    meanLoss: meanOf(lossSum, count, lossBound),
    count,
    ...(clipping === undefined ? {} : { fractionWithin: within(0.5 + next(weight) / expectedUnits, 1) }),
    ...(evaluation === undefined
      ? {}
      : { heldOut: readHeldOut(next(ofHeldOut), next(ofHeldOut), next(ofHeldOut), lossBound) }),
  };
}

function readHeldOut(lossSum: number, exactSum: number, count: number, lossBound: number): MetricEstimate['heldOut'] {
  const accuracy = count >= 1 ? within(exactSum / count, 1) : undefined;
  return { meanLoss: meanOf(lossSum, count, lossBound), accuracy, count };
}

function meanOf(lossSum: number, count: number, lossBound: number): number | undefined {
  return count >= 1 ? within((lossSum * lossBound) / count, lossBound) : undefined;
}

function within(value: number, largest: number): number {
  return Math.min(Math.max(value, 0), largest);
}

/**
 * The bound that would bring the fraction of units within it nearer to the quantile: C exp(-eta (fraction - gamma)).
 *
 * Source     arXiv:1905.03871, section 2.2: the geometric update, which covers orders of magnitude in few rounds
 * @throws ProtocolError privacy/invalid-parameter: a fraction outside [0, 1]
 */
export function suggestedBound(
  l2Bound: number,
  fractionWithin: number,
  { quantile, learningRate }: NonNullable<MetricTerms['clipping']>,
): number {
  if (!(fractionWithin >= 0 && fractionWithin <= 1)) {
    throw new ProtocolError('privacy/invalid-parameter', 'fractionWithin must be from 0 to 1.');
  }
  return l2Bound * Math.exp(-learningRate * (fractionWithin - quantile));
}
