/**
 * The server's optimizer on the mean of a round: sgd with momentum, and Adam corrected for the noise that privacy adds.
 *
 * Source     Reddi et al. 2021, arXiv:2003.00295 (FedAdam, FedAvgM); Kingma and Ba 2015 for the bias correction; subtracting the
 *            known noise variance from the second moment: Tang, Shpilevskiy, Lecuyer 2024, arXiv:2312.14334 (DP-AdamBC)
 * Note       post-processing of a noised sum: spends no privacy.
 * Legend     P = trained values, in layout order
 */

import type { ServerOptimizerTerms, TrainedFactor } from '@fedlora/protocol';

/** What the optimizer of what a round trains remembers. [P] each. */
export interface Moments {
  /** Steps taken. */
  readonly step: number;
  readonly first: Float32Array;
  /** Adam's second moment; empty for sgd. */
  readonly second: Float32Array;
}

/** `alternate` trains two factors in turn, and each has its own memory. */
export type OptimizerState = Readonly<Partial<Record<TrainedFactor, Moments>>>;

/** Second moments below this count as this, where there is no noise to give a floor. */
const TINY_SECOND_MOMENT = 1e-12;

/** The second moment without the noise is kept at or above this many noise variances, so that what only noise moved stays slow. */
const FLOOR_IN_NOISE_VARIANCES = 1;

/** Learning rate of the round after `completedRounds`: falls linearly, to the final fraction in the last planned round. */
export function learningRateAt(server: ServerOptimizerTerms, completedRounds: number, plannedRounds: number): number {
  const progress = plannedRounds > 1 ? Math.min(1, completedRounds / (plannedRounds - 1)) : 0;
  return server.learningRate * (1 - (1 - server.finalLearningRateFraction) * progress);
}

/**
 * One step of the server's optimizer: the new values and what it remembers.
 *
 * Shapes     values [P] f32, gradient [P] f64 -> values [P] f32
 * Units      noiseStddev: standard deviation of the noise on each coordinate of `gradient`; 0 without noise
 * Edge cases no moments -> zeros at step 0 | a coordinate that never had a gradient and no noise -> unchanged
 */
export function applyOptimizer(
  server: ServerOptimizerTerms,
  values: Float32Array,
  gradient: Float64Array,
  moments: Moments | undefined,
  round: { readonly learningRate: number; readonly noiseStddev: number },
): { readonly values: Float32Array; readonly moments: Moments } {
  const before = moments ?? freshMoments(server, values.length);
  return server.kind === 'sgd'
    ? sgdStep(server, values, gradient, before, round.learningRate)
    : adamStep(server, values, gradient, before, round);
}

function freshMoments(server: ServerOptimizerTerms, length: number): Moments {
  return { step: 0, first: new Float32Array(length), second: new Float32Array(server.kind === 'adam' ? length : 0) };
}

/** m = beta1 m + g; value = value - learningRate m. */
function sgdStep(
  { beta1 }: ServerOptimizerTerms,
  values: Float32Array,
  gradient: Float64Array,
  { step, first }: Moments,
  learningRate: number,
): { values: Float32Array; moments: Moments } {
  const next = new Float32Array(values.length);
  const momentum = new Float32Array(values.length);
  for (let i = 0; i < values.length; i += 1) {
    momentum[i] = beta1 * first[i] + gradient[i];
    next[i] = values[i] - learningRate * momentum[i];
  }
  return { values: next, moments: { step: step + 1, first: momentum, second: new Float32Array(0) } };
}

/**
 * m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2; value = value - learningRate mHat / sqrt(vClean),
 * vClean = max(vHat - noiseVariance, floor): E[g^2] has the noise's variance on top of the signal's.
 */
function adamStep(
  { beta1, beta2 }: ServerOptimizerTerms,
  values: Float32Array,
  gradient: Float64Array,
  before: Moments,
  { learningRate, noiseStddev }: { learningRate: number; noiseStddev: number },
): { values: Float32Array; moments: Moments } {
  const step = before.step + 1;
  const noiseVariance = noiseStddev * noiseStddev;
  const floor = Math.max(noiseVariance * FLOOR_IN_NOISE_VARIANCES, TINY_SECOND_MOMENT);
  const firstCorrection = 1 - beta1 ** step;
  const secondCorrection = 1 - beta2 ** step;
  const next = new Float32Array(values.length);
  const first = new Float32Array(values.length);
  const second = new Float32Array(values.length);
  for (let i = 0; i < values.length; i += 1) {
    const g = gradient[i];
    const m = beta1 * before.first[i] + (1 - beta1) * g;
    const v = beta2 * before.second[i] + (1 - beta2) * g * g;
    first[i] = m;
    second[i] = v;
    const clean = Math.max(v / secondCorrection - noiseVariance, floor);
    next[i] = values[i] - (learningRate * (m / firstCorrection)) / Math.sqrt(clean);
  }
  return { values: next, moments: { step, first, second } };
}
