/**
 * How well single rows that were learned from can be told from others by an adapter's losses.
 *
 * Source     Yeom et al. 2018, arXiv:1709.01604 (loss threshold); Carlini et al. 2022, arXiv:2112.03570 (LiRA: section IV for the rate at
 *            few false positives and the logit, section VI for the offline test and the fixed variance)
 */

/** Members, and others of the same kind: larger scores speak for a member. */
export interface Separation {
  /** Chance that a member has a larger score than another row; 0.5 tells nothing. */
  readonly auc: number;
  /** Share of the members that are found with at most `FALSE_POSITIVE_RATE` of the others taken for members. */
  readonly truePositiveRate: number;
}

export const FALSE_POSITIVE_RATE = 0.01;

/**
 * How far the scores of members and of others are apart.
 *
 * Edge cases equal scores -> half | fewer than 100 others -> none of them may be taken for a member | none on a side -> tells nothing
 */
export function separationOf(members: readonly number[], others: readonly number[]): Separation {
  if (members.length === 0 || others.length === 0) return { auc: 0.5, truePositiveRate: 0 };
  const sorted = others.toSorted((a, b) => a - b);
  let pairs = 0;
  for (const score of members) pairs += (countBelow(sorted, score) + countBelow(sorted, score, true)) / 2;
  const allowed = Math.floor(FALSE_POSITIVE_RATE * others.length);
  const threshold = sorted[sorted.length - 1 - allowed];
  const found = members.filter((score) => score > threshold).length;
  return { auc: pairs / (members.length * others.length), truePositiveRate: found / members.length };
}

/** How many of sorted values are below a value, or with `orEqual` at most it. */
export function countBelow(sorted: readonly number[], value: number, orEqual = false): number {
  let [from, to] = [0, sorted.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if (sorted[middle] < value || (orEqual && sorted[middle] === value)) from = middle + 1;
    else to = middle;
  }
  return from;
}

/** Losses below this are counted as this, so that a row known by heart has a finite score. */
const LEAST_LOSS = 1e-7;

/** log(p / (1 - p)) of the geometric mean probability p = exp(-loss) of an answer's tokens: roughly normal, where losses are not. */
export function logitOf(loss: number): number {
  return -Math.log(Math.expm1(Math.max(loss, LEAST_LOSS)));
}

/** References from which on a row's own spread is better known than that of all rows together. */
const LEAST_FOR_OWN_SPREAD = 8;

/**
 * The offline likelihood ratio of each row: how far its score lies above those that models give which did not learn from it, in standard
 * deviations.
 *
 * Shapes     losses [n], references [k][n] -> [n]
 * Edge cases one reference -> no spread is known: the plain difference, which ranks rows alike | fewer than eight -> the spread of all
 *            rows together | no spread at all -> the plain difference
 */
export function likelihoodRatios(
  losses: readonly number[],
  references: readonly (readonly number[])[],
): readonly number[] {
  const others = references.map((one) => one.map(logitOf));
  const k = others.length;
  const mean = losses.map((_, row) => others.reduce((sum, one) => sum + one[row], 0) / k);
  const variance = losses.map(
    (_, row) => others.reduce((sum, one) => sum + (one[row] - mean[row]) ** 2, 0) / Math.max(1, k - 1),
  );
  const ofAll = variance.reduce((sum, one) => sum + one, 0) / losses.length;
  return losses.map((loss, row) => {
    const spread = Math.sqrt(k < LEAST_FOR_OWN_SPREAD ? ofAll : variance[row]);
    return (logitOf(loss) - mean[row]) / (spread > 0 ? spread : 1);
  });
}
