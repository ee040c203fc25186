/**
 * The server's half of the story: from the masked contributions of a round to the next adapter.
 *
 * Until `unmask` nothing here is readable; after it there is only the noised sum. Everything that follows is post-processing.
 * Legend     P = trained values in layout order; d = P + metrics = words of a contribution
 */

import {
  dequantize,
  metricCount,
  planUnmasking,
  privateStepsTerms,
  readRoundMetrics,
  serverDivisor,
  shareStddevInSteps,
  stepStddevInSteps,
  sumParts,
  unmask,
  type CryptoProvider,
  type Manifest,
  type MaskedSum,
  type MetricEstimate,
  type NoisySum,
  type RoundView as SecaggView,
  type SecaggTerms,
  type StoredBytes,
  type TrainedFactor,
  type UnmaskingPlan,
} from '@fedlora/protocol';
import type { AdapterTensors, ModuleTensors } from '@fedlora/shared';
import { rebase } from './rebase.js';
import { applyOptimizer, learningRateAt, type OptimizerState } from './server-optimizer.js';

/** Everything that a round has collected when its last phase is over. */
export interface CollectedRound {
  readonly manifest: Manifest;
  readonly terms: SecaggTerms;
  readonly trained: TrainedFactor;
  /** Rounds of the run that ended well before this one. */
  readonly completedRounds: number;
  readonly view: SecaggView;
  /** ShareKeys messages of the sharers. */
  readonly shareKeys: readonly StoredBytes[];
  /** UnmaskShares messages. */
  readonly answers: readonly Uint8Array[];
  /** The sum of the stored contributions of survivors. [length] u32 mod 2^32. */
  readonly maskedSum: (survivors: readonly number[], length: number) => Promise<MaskedSum>;
}

/** The adapter of a run with the memory of its server optimizer. */
export interface TrainedState {
  readonly adapter: AdapterTensors;
  readonly optimizer: OptimizerState;
}

/** What a sum gave. */
export interface Applied {
  readonly next: TrainedState;
  readonly metrics: MetricEstimate;
  /** Expected norm of the noise in the sum over the norm of the sum, both of trained values; 0 without noise; `null`: not known. */
  readonly noiseToSignal: number | null;
}

export type Conclusion =
  | (Applied & { readonly kind: 'applied'; readonly plan: UnmaskingPlan })
  | {
      readonly kind: 'failed';
      readonly because: 'secagg/too-few-shares' | 'aggregation/sum-over-bound';
      readonly plan: UnmaskingPlan;
    };

/** How far beyond its expectation the noise of an honest sum may reach, in standard deviations: never, for all purposes. */
const NOISE_TAIL = 8;

/** @throws FedloraError upload/wrong-length: what is stored of a contribution is not what was received */
export async function conclude(round: CollectedRound, base: TrainedState, crypto: CryptoProvider): Promise<Conclusion> {
  const { terms, view } = round;
  const plan = planUnmasking(crypto, terms, view, round.shareKeys, round.answers);
  if (plan.kind === 'too-few') return { kind: 'failed', because: 'secagg/too-few-shares', plan };

  const maskedSum = await round.maskedSum(view.survivors, terms.length); // [d] u32 mod 2^32
  const noisySum = unmask(crypto, maskedSum, plan.outgoing.masks); // [d] i32 levels
  const applied = applySum(noisySum, view.survivors.length, round, base);
  return applied === 'over-bound'
    ? { kind: 'failed', because: 'aggregation/sum-over-bound', plan }
    : { kind: 'applied', ...applied, plan };
}

/** The server's step along a readable sum; `over-bound`: no honest contributions have such a sum. */
export function applySum(
  noisySum: NoisySum,
  survivors: number,
  { manifest, trained, completedRounds }: Pick<CollectedRound, 'manifest' | 'trained' | 'completedRounds'>,
  base: TrainedState,
): Applied | 'over-bound' {
  const sum = dequantize(noisySum, manifest.encoding.stepsPerUnit); // [d] f64, units of the update
  if (norm(sum) > longestHonestSum(manifest, trained, survivors, sum.length)) return 'over-bound';
  const divisor = serverDivisor(manifest);
  const metrics = readRoundMetrics(manifest, sum, survivors);
  // A gradient is descended, a difference of adapters followed.
  const sign = manifest.training.kind === 'record-step' ? 1 : -1;
  const gradient = sum.subarray(0, sum.length - metricCount(manifest.metrics)); // [P], in the place of the sum
  for (let i = 0; i < gradient.length; i += 1) gradient[i] = (sign * gradient[i]) / divisor;
  const noiseStddev = meanNoiseStddev(manifest, trained, survivors);
  const learningRate = learningRateAt(manifest.server, completedRounds, manifest.rounds);
  const stepped = applyOptimizer(manifest.server, flatten(base.adapter, trained), gradient, base.optimizer[trained], {
    learningRate,
    noiseStddev: noiseStddev ?? 0,
  });
  const next: TrainedState = {
    adapter: withFactor(base.adapter, trained, stepped.values),
    optimizer: { ...base.optimizer, [trained]: stepped.moments },
  };
  return {
    next: rebased(next, manifest, completedRounds + 1),
    metrics,
    noiseToSignal: noiseStddev === null ? null : noiseToSignal(gradient, noiseStddev),
  };
}

/** Standard deviation of the noise that was added to each coordinate of the sum, in units of the update: each survivor its share. */
function sumNoiseStddev(manifest: Manifest, trained: TrainedFactor, survivors: number): number {
  return (shareStddevInSteps(manifest, trained) * Math.sqrt(survivors)) / manifest.encoding.stepsPerUnit;
}

/**
 * Standard deviation of the noise on each trained value of the mean, in units of the update. Each step of plain local descent moves by
 * the learning rate times its own noise, independent of the others'; what AdamW makes of noise is not known: `null`.
 */
function meanNoiseStddev(manifest: Manifest, trained: TrainedFactor, survivors: number): number | null {
  const { training } = manifest;
  const divisor = serverDivisor(manifest);
  if (training.kind !== 'local-record-steps') return sumNoiseStddev(manifest, trained, survivors) / divisor;
  if (training.optimizer === 'adamw') return null;
  const { stepsPerUnit, expectedRecords } = privateStepsTerms(manifest, training);
  const ofStep = (training.learningRate * stepStddevInSteps(manifest, trained)) / stepsPerUnit / expectedRecords;
  return (ofStep * Math.sqrt(training.steps * survivors)) / divisor;
}

function noiseToSignal(noisy: Float64Array, noiseStddev: number): number {
  const length = norm(noisy);
  return length > 0 ? (noiseStddev * Math.sqrt(noisy.length)) / length : 0;
}

/** No sum of bounded parts and honest noise is longer than this, in units of the update. */
function longestHonestSum(manifest: Manifest, trained: TrainedFactor, survivors: number, length: number): number {
  const { l2Norm, perParticipant } = sumParts(manifest);
  const rounding = (survivors * Math.sqrt(length)) / manifest.encoding.stepsPerUnit;
  const noise = sumNoiseStddev(manifest, trained, survivors) * (Math.sqrt(length) + NOISE_TAIL);
  return l2Norm * perParticipant * survivors + rounding + noise;
}

function rebased(state: TrainedState, manifest: Manifest, completedRounds: number): TrainedState {
  const { rule, rebaseEvery, modules, r } = manifest.adapter;
  if (rule !== 'ffa-svd' || rebaseEvery === 0 || completedRounds % rebaseEvery !== 0) return state;
  const { adapter, moments } = rebase(modules, r, state.adapter, state.optimizer.B);
  return { adapter, optimizer: moments === undefined ? state.optimizer : { ...state.optimizer, B: moments } };
}

/** The factors that a round trains, in layout order. */
function factorsOf(trained: TrainedFactor): readonly (keyof ModuleTensors)[] {
  return trained === 'both' ? ['A', 'B'] : [trained];
}

/** The values of the trained factors in layout order. [P] f32 */
function flatten(adapter: AdapterTensors, trained: TrainedFactor): Float32Array {
  // Safe: R is trained by `fed-sb`, whose adapters have it from the first on.
  const parts = adapter.modules.flatMap((module) => factorsOf(trained).map((factor) => module[factor]!));
  const values = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    values.set(part, at);
    at += part.length;
  }
  return values;
}

/** The adapter with the trained factors replaced by values in layout order. */
function withFactor(adapter: AdapterTensors, trained: TrainedFactor, values: Float32Array): AdapterTensors {
  let at = 0;
  return {
    modules: adapter.modules.map((module) => {
      const parts = factorsOf(trained).map((factor) => {
        const part = values.slice(at, at + module[factor]!.length); // Safe: as above.
        at += part.length;
        return [factor, part] as const;
      });
      return { ...module, ...Object.fromEntries(parts) };
    }),
  };
}

function norm(values: Float64Array): number {
  let squares = 0;
  for (const value of values) squares += value * value;
  return Math.sqrt(squares);
}
