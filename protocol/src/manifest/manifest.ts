/**
 * The manifest: the signed terms of a run, and every rule that they must keep. Source: SPEC §13.
 *
 * It is declarative: no code ever travels to a client. Every participant verifies it, checks it against its owner's policy, and
 * hashes it into every key of every round (`secagg/session.ts`). Whatever would weaken privacy is fixed here, before the first
 * round, and cannot be changed during the run.
 */

import { canonicalJson } from '../bytes/canonical-json.js';
import { fromHex, toHex } from '../bytes/hex.js';
import { checkNoWrap, sensitivityInSteps } from '../encoding/quantize.js';
import { ProtocolError } from '../errors.js';
import { domains } from '../primitives/domains.js';
import { sha256 } from '../primitives/hash.js';
import type { AccountedSteps } from '../privacy/accountant/events.js';
import { ARITHMETIC_SLACK } from '../privacy/clip.js';
import { noiseShareStddev } from '../privacy/noise.js';
import type { GraphTerms } from '../secagg/graph.js';
import {
  canBeCut,
  checkGraphStrength,
  checkGraphTerms,
  MAXIMUM_COHORT,
  type CohortBounds,
  type SecaggTerms,
} from '../secagg/session.js';
import { aggregatedLength, type AdaptedModule, type TrainedFactor } from '../update/layout.js';
import {
  boundWithMetrics,
  LARGEST_WEIGHT_IN_BOUNDS,
  LEAST_LOSS_BOUND,
  readMetrics,
  type MeasuredUnit,
  type MetricEstimate,
  type MetricTerms,
} from '../update/metrics.js';
import { releasedNorm, type PrivateStepsTerms } from '../update/private-steps.js';
import type { Roster } from './roster.js';

/**
 * What one round protects, and by whose noise.
 *
 *   record        one training row, by the noise of all organisations together: as long as no more collude than was assumed
 *   record-local  one training row, by its own organisation's noise alone: against everyone, all other organisations included
 *   client        one organisation's whole update, by the noise of all together
 *   none          nothing
 */
export type PrivacyUnit = (typeof privacyUnits)[number];
export const privacyUnits = ['record', 'record-local', 'client', 'none'] as const;

/**
 * How rounds change the adapter, W + s B A with s = alpha / r: what each trains, the rest being the same everywhere.
 *
 *   ffa-svd    B. The mean of B times A is the mean of the products: exact. A is re-based now and then.
 *   alternate  A and B in turn: exact as well.
 *   fedavg     A and B together. The mean of A and B of local steps is not the mean of the products B A: inexact, for comparison.
 *   fed-sb     R [r, r] of s B R A, between A and B that the run id determines (`frozenDigest`): exact, and the shortest vector.
 *
 * Source     Sun et al. 2024, arXiv:2403.12313 (FFA-LoRA); Chen et al. 2025, arXiv:2502.01755 (RoLoRA); Zhang et al. 2023,
 *            arXiv:2305.05644 (FedIT); Singhal et al. 2025, arXiv:2502.15436 (Fed-SB)
 */
export type AggregationRule = (typeof aggregationRules)[number];
/** What a row is: an instruction with its answer, messages of a chat, or a text. */
export const dataFormats = ['alpaca', 'messages', 'text'] as const;
export type DataFormat = (typeof dataFormats)[number];

/**
 * The templates of each format: of `messages` the base model's own, by its digest, since it is no part of what the digest of the base
 * model is over; a `plain` text is all answer.
 */
const dataTemplates: Readonly<Record<DataFormat, RegExp>> = {
  alpaca: /^alpaca$/,
  messages: /^[0-9a-f]{64}$/,
  text: /^plain$/,
};

export const aggregationRules = ['ffa-svd', 'alternate', 'fedavg', 'fed-sb'] as const;

export interface ManifestPrivacy {
  readonly unit: PrivacyUnit;
  /** L2 norm that one unit's update is clipped to, in units of the update. */
  readonly l2Bound: number;
  /** Standard deviation of the noise that the accountant counts on, divided by the sensitivity. No unit. */
  readonly noiseMultiplier: number;
  readonly delta: number;
  /** Participants that may collude with the coordinator; at least 1, since each participant sees the sum. */
  readonly assumedColluders: number;
  /**
   * Fewest contributions that any sum may have which becomes readable: m. Without a graph there is one sum, with at least as many as
   * the threshold; a graph may let a lying coordinator cut off smaller pieces, and then this is for each of them (SPEC §10.6).
   */
  readonly minimumContributors: number;
}

/** One DP-SGD step: each organisation Poisson-samples its records. */
export interface RecordStep {
  readonly kind: 'record-step';
  /** Probability with which each record takes part in a round. */
  readonly samplingRate: number;
  /** Public expected number of records a round, over all organisations, those that are held out from training included. */
  readonly expectedRecords: number;
  /** Most records one organisation may contribute to a round; more than this is a chance below 2^-60 for honest sizes. */
  readonly maximumRecords: number;
}

/** Several local steps; the whole difference is one update. */
export interface LocalSteps {
  readonly kind: 'local-steps';
  readonly steps: number;
  readonly batchSize: number;
  readonly learningRate: number;
  readonly maximumGradientNorm: number;
}

/** Several DP-SGD steps in each organisation, which adds all of the noise to each itself; the whole difference is one update. */
export interface LocalRecordSteps {
  readonly kind: 'local-record-steps';
  readonly steps: number;
  /** Probability with which each record takes part in a step. */
  readonly samplingRate: number;
  /**
   * Public expected number of records in a step of one organisation, those that are held out from training included. The same for all,
   * whatever they have: how many rows an organisation has is private.
   */
  readonly expectedRecords: number;
  /** Most records in a step of one organisation; more than this is a chance below 2^-60 for honest sizes. */
  readonly maximumRecords: number;
  /** What descends along the noised mean gradients: plain gradient descent, or AdamW without weight decay. */
  readonly optimizer: 'sgd' | 'adamw';
  readonly learningRate: number;
  /** L2 norm that the difference is clipped to as a whole: what fits the ring. It protects nobody and costs nothing. */
  readonly updateBound: number;
  /** Integer steps per unit of a local step's sum, where its noise is added; a power of two. */
  readonly stepsPerUnit: number;
}

export type TrainingTerms = RecordStep | LocalSteps | LocalRecordSteps;

export interface ServerOptimizerTerms {
  readonly kind: 'sgd' | 'adam';
  readonly learningRate: number;
  /** The learning rate falls linearly to this fraction of itself at the last planned round. */
  readonly finalLearningRateFraction: number;
  readonly beta1: number;
  readonly beta2: number;
}

export interface Manifest {
  readonly version: 1;
  readonly runId: string;
  readonly title: string;
  /** Planned rounds; the run stops there. */
  readonly rounds: number;
  readonly base: {
    /** Name under which downstream services know the base model. */
    readonly name: string;
    /** Hex SHA-256 over its files. */
    readonly digest: string;
  };
  readonly adapter: {
    readonly rule: AggregationRule;
    readonly r: number;
    readonly loraAlpha: number;
    readonly targetModules: readonly string[];
    readonly modules: readonly AdaptedModule[];
    /** `ffa-svd`: rounds between re-basings; 0 never re-bases. */
    readonly rebaseEvery: number;
    /** `fed-sb`, and only there: hex SHA-256 over the frozen A and B, which follow from the run id. */
    readonly frozenDigest?: string;
  };
  readonly data: {
    readonly format: DataFormat;
    /** How a row becomes a prompt and an answer: see `dataTemplates`. */
    readonly template: string;
    readonly maximumLength: number;
  };
  readonly training: TrainingTerms;
  readonly privacy: ManifestPrivacy;
  readonly metrics: MetricTerms;
  readonly encoding: {
    readonly ringBits: 32;
    /** Integer steps per unit of the update; a power of two. */
    readonly stepsPerUnit: number;
  };
  readonly aggregation: {
    /** Participants that every phase needs: t. */
    readonly threshold: number;
    /** Exactly above 128 members: who shares secrets with whom. */
    readonly graph?: GraphTerms;
    /** How long each phase may last, in milliseconds. */
    readonly deadlinesMs: {
      readonly advertising: number;
      /** Exactly with a graph. */
      readonly revealing?: number;
      readonly sharing: number;
      readonly training: number;
      readonly checking: number;
      readonly unmasking: number;
    };
  };
  readonly server: ServerOptimizerTerms;
  readonly rosterHash: string;
}

/** How each unit is trained. Unit `none` has either kind without its noise; steps that are noised at home always have theirs. */
const trainingKinds: Readonly<Record<PrivacyUnit, readonly TrainingTerms['kind'][]>> = {
  record: ['record-step'],
  'record-local': ['local-record-steps'],
  client: ['local-steps'],
  none: ['record-step', 'local-steps'],
};

/**
 * Noise shares must be at least this wide, so that a sum of them is a discrete Gaussian for every practical purpose. A local step's
 * noise is one by itself, and as wide, so that it behaves like the Gaussian that the accountant has in mind.
 */
export const MINIMUM_SHARE_STDDEV_IN_STEPS = 8;

/** Hex SHA-256 over the canonical manifest. */
export function manifestHash(manifest: Manifest): string {
  return toHex(sha256(manifestMessage(manifest)));
}

/** The bytes that the coordinator signs and everyone hashes. */
export function manifestMessage(manifest: Manifest): Uint8Array {
  return canonicalJson({ domain: domains.manifest, manifest });
}

/** The factor that a round trains: `alternate` A in even rounds, B in odd ones (round numbers start at 1); the others always the same. */
export function trainedFactor(manifest: Manifest, completedRounds: number): TrainedFactor {
  const { rule } = manifest.adapter;
  switch (rule) {
    case 'ffa-svd':
      return 'B';
    case 'alternate':
      // With B = 0 at the start only B has a gradient, so the first round trains B.
      return completedRounds % 2 === 0 ? 'B' : 'A';
    case 'fedavg':
      return 'both';
    case 'fed-sb':
      return 'R';
    default:
      return rule satisfies never;
  }
}

/** Length d of the vector that a round aggregates. */
export function roundLength(manifest: Manifest, trained: TrainedFactor): number {
  return aggregatedLength(manifest.adapter.modules, manifest.adapter.r, trained, manifest.metrics);
}

/** What the numbers of a round are about, as `metrics.ts` takes it. */
export function measuredUnit({ training, privacy }: Pick<Manifest, 'training' | 'privacy'>): MeasuredUnit {
  return { kind: training.kind === 'local-steps' ? 'update' : 'record', l2Bound: privacy.l2Bound };
}

/** L2 bound of one unit's vector with its metrics, in units of the update. */
export function unitBound(manifest: Manifest): number {
  return boundWithMetrics(measuredUnit(manifest), manifest.metrics);
}

/**
 * Sensitivity in integer steps of the sum that noise is added to, with everything that rounding and f32 arithmetic add: a round's sum,
 * or with `local-record-steps` the sum of one step in one organisation.
 */
export function roundSensitivityInSteps(manifest: Manifest, trained: TrainedFactor): number {
  const { training, encoding } = manifest;
  return sensitivityInSteps(
    unitBound(manifest) * (1 + ARITHMETIC_SLACK),
    training.kind === 'local-record-steps' ? training.stepsPerUnit : encoding.stepsPerUnit,
    roundLength(manifest, trained),
  );
}

/**
 * Standard deviation of the noise that each participant adds to its rounded update, in steps. 0 for unit `none`, and for `record-local`,
 * whose updates are made of sums that have their noise (`stepStddevInSteps`).
 */
export function shareStddevInSteps(manifest: Manifest, trained: TrainedFactor): number {
  if (manifest.privacy.unit === 'none' || manifest.privacy.unit === 'record-local') return 0;
  return noiseShareStddev({
    noiseMultiplier: manifest.privacy.noiseMultiplier,
    l2SensitivityInSteps: roundSensitivityInSteps(manifest, trained),
    minimumContributors: manifest.privacy.minimumContributors,
    assumedColluders: manifest.privacy.assumedColluders,
  });
}

/**
 * `record-local`: standard deviation of the noise of each local step, in the steps of `training.stepsPerUnit`: all that the accountant
 * counts, from one organisation. Neither _m_ nor _c_ is in it.
 */
export function stepStddevInSteps(manifest: Manifest, trained: TrainedFactor): number {
  return manifest.privacy.noiseMultiplier * roundSensitivityInSteps(manifest, trained);
}

/** What the private steps of a round work with: SPEC §16.6. */
export function privateStepsTerms(manifest: Manifest, training: LocalRecordSteps): PrivateStepsTerms {
  const { steps, maximumRecords, updateBound, stepsPerUnit, expectedRecords } = training;
  return {
    stepsPerUnit,
    expectedRecords: expectedRecords * (1 - heldOutFraction(manifest)),
    updateBound,
    // As many records as there can be, each with the longest numbers, in every step: with them all the norm is U.
    metricScale: updateBound / (steps * maximumRecords * unitBound(manifest)),
  };
}

/** What one round costs, as the accountant takes it. `undefined` for unit `none`: no promise at all. */
export function roundCharge(manifest: Manifest): AccountedSteps | undefined {
  const { privacy, training } = manifest;
  if (privacy.unit === 'none') return undefined;
  return {
    noiseMultiplier: privacy.noiseMultiplier,
    samplingRate: unitSamplingRate(manifest),
    steps: training.kind === 'local-record-steps' ? training.steps : 1,
  };
}

/** Probability with which a unit takes part in what is charged once: a record in a step; a whole update always. */
export function unitSamplingRate({ training }: Pick<Manifest, 'training'>): number {
  return training.kind === 'local-steps' ? 1 : training.samplingRate;
}

/** What the noisy sum of `contributors` participants tells beside the trained values. Post-processing: spends no privacy. */
export function readRoundMetrics(manifest: Manifest, sum: Float64Array, contributors: number): MetricEstimate {
  const { training, metrics } = manifest;
  const unit = measuredUnit(manifest);
  switch (training.kind) {
    case 'record-step':
      return readMetrics(sum, metrics, unit, serverDivisor(manifest));
    case 'local-steps':
      // Who took part is public; how many records they sampled is not.
      return readMetrics(sum, metrics, unit, contributors);
    case 'local-record-steps': {
      const { metricScale, expectedRecords } = privateStepsTerms(manifest, training);
      // Every weight of the metrics is a multiple of these two.
      const scaled = { ...metrics, weight: metrics.weight * metricScale };
      const ofScaled = { ...unit, l2Bound: unit.l2Bound * metricScale };
      return readMetrics(sum, scaled, ofScaled, expectedRecords * training.steps * contributors);
    }
    default:
      return training satisfies never;
  }
}

/** The parts of a round's sum: the norm of each in units of the update, f32 arithmetic included, and how many a participant adds at most. */
export function sumParts(manifest: Manifest): { readonly l2Norm: number; readonly perParticipant: number } {
  const { training } = manifest;
  switch (training.kind) {
    case 'record-step':
      return { l2Norm: unitBound(manifest) * (1 + ARITHMETIC_SLACK), perParticipant: training.maximumRecords };
    case 'local-steps':
      return { l2Norm: unitBound(manifest) * (1 + ARITHMETIC_SLACK), perParticipant: 1 };
    case 'local-record-steps':
      return { l2Norm: releasedNorm(training.updateBound), perParticipant: 1 };
    default:
      return training satisfies never;
  }
}

/**
 * The public constant that a sum is divided by: the expected number of records in it that are trained on, not held out; or the fewest
 * updates that a round goes on with.
 */
export function serverDivisor(manifest: Manifest): number {
  const { training, aggregation, privacy } = manifest;
  return training.kind === 'record-step'
    ? training.expectedRecords * (1 - heldOutFraction(manifest))
    : Math.max(aggregation.threshold, privacy.minimumContributors);
}

/** The terms of secure aggregation in a round of a run: the same for clients and coordinator. */
export function secaggTerms(
  manifest: Manifest,
  roster: Roster,
  round: { readonly sid: Uint8Array; readonly trained: TrainedFactor },
): SecaggTerms {
  const { aggregation, privacy } = manifest;
  return {
    sid: round.sid,
    threshold: aggregation.threshold,
    minContributors: privacy.minimumContributors,
    assumedColluders: privacy.assumedColluders,
    members: roster.members.map(({ identity }, index) => ({ index, identity: fromHex(identity) })),
    length: roundLength(manifest, round.trained),
    ...(aggregation.graph === undefined ? {} : { graph: aggregation.graph }),
  };
}

/** Expected fraction of the rows that the run holds out from training. */
export function heldOutFraction(manifest: Pick<Manifest, 'metrics'>): number {
  return manifest.metrics.evaluation?.fraction ?? 0;
}

/** The smallest threshold that a client accepts among `participants`, with `assumedColluders`: more than (n + c) / 2. */
export function leastThreshold(participants: number, assumedColluders: number): number {
  return Math.floor((participants + assumedColluders) / 2) + 1;
}

/** Longest identifiers, titles and names in the terms, in UTF-16 units. */
const LONGEST_ID = 80;
const LONGEST_TEXT = 300;

/** A week. */
const LONGEST_DEADLINE_MS = 7 * 24 * 3600 * 1000;

/**
 * Checks every rule that the terms of a run must keep, for a roster of `members` organisations.
 *
 * Guarantee  for accepted terms: the ring cannot wrap, the threshold binds a lying coordinator, and each noise share is wide
 *            enough for the accountant's assumption.
 * @throws ProtocolError manifest/invalid: names the field
 */
export function checkManifest(manifest: Manifest, members: number): void {
  const refuse = (field: string, why: string): never => {
    throw new ProtocolError('manifest/invalid', `${field}: ${why}`, { field });
  };
  const oneOf = (field: string, value: unknown, choices: readonly string[]): void => {
    if (!choices.some((choice) => choice === value)) refuse(field, `must be one of ${choices.join(', ')}.`);
  };
  const text = (field: string, value: unknown, longest: number): void => {
    if (typeof value !== 'string' || value.length === 0 || value.length > longest) {
      refuse(field, `must be a text of 1 to ${longest} characters.`);
    }
  };
  const between = (field: string, value: number, least: number, most: number): void => {
    if (!(Number.isFinite(value) && value >= least && value <= most)) {
      refuse(field, `must be a number from ${least} to ${most}.`);
    }
  };
  const positive = (field: string, value: number): void => {
    if (!(Number.isFinite(value) && value > 0)) refuse(field, `must be a positive number, is ${value}.`);
  };
  const whole = (field: string, value: number, least: number, most: number): void => {
    if (!Number.isInteger(value) || value < least || value > most) {
      refuse(field, `must be a whole number from ${least} to ${most}, is ${value}.`);
    }
  };

  const wideEnough = (field: string, stddev: number): void => {
    if (stddev >= MINIMUM_SHARE_STDDEV_IN_STEPS) return;
    refuse(field, `gives noise of ${stddev.toFixed(2)} steps; at least ${MINIMUM_SHARE_STDDEV_IN_STEPS} are needed.`);
  };

  // The terms come from a stranger's JSON: first that each part is there, then each field's kind, then the rules between them.
  const parts = [
    'base',
    'adapter',
    'data',
    'training',
    'privacy',
    'metrics',
    'encoding',
    'aggregation',
    'server',
  ] as const;
  if (typeof manifest !== 'object' || manifest === null) refuse('manifest', 'is missing.');
  for (const part of parts) {
    if (typeof manifest[part] !== 'object' || manifest[part] === null) refuse(part, 'is missing.');
  }
  const { privacy, training, adapter, aggregation, encoding, metrics, server } = manifest;

  if (manifest.version !== 1) refuse('version', 'only version 1 is known.');
  text('runId', manifest.runId, LONGEST_ID);
  text('title', manifest.title, LONGEST_TEXT);
  text('base.name', manifest.base.name, LONGEST_TEXT);
  oneOf('adapter.rule', adapter.rule, aggregationRules);
  oneOf('data.format', manifest.data.format, dataFormats);
  if (typeof manifest.data.template !== 'string' || !dataTemplates[manifest.data.format].test(manifest.data.template))
    refuse('data.template', 'is not one of the format.');
  oneOf('training.kind', training.kind, ['record-step', 'local-steps', 'local-record-steps']);
  oneOf('privacy.unit', privacy.unit, privacyUnits);
  oneOf('server.kind', server.kind, ['sgd', 'adam']);
  if (typeof manifest.rosterHash !== 'string' || !/^[0-9a-f]{64}$/.test(manifest.rosterHash)) {
    refuse('rosterHash', 'must be 64 hex digits.');
  }
  whole('rounds', manifest.rounds, 1, 1_000_000);
  if (typeof manifest.base.digest !== 'string' || !/^[0-9a-f]{64}$/.test(manifest.base.digest))
    refuse('base.digest', 'must be 64 hex digits.');
  whole('adapter.r', adapter.r, 1, 1024);
  positive('adapter.loraAlpha', adapter.loraAlpha);
  whole('adapter.rebaseEvery', adapter.rebaseEvery, 0, 1_000_000);
  if (!Array.isArray(adapter.targetModules) || adapter.targetModules.length === 0)
    refuse('adapter.targetModules', 'is empty.');
  for (const name of adapter.targetModules) text('adapter.targetModules', name, LONGEST_TEXT);
  if (!Array.isArray(adapter.modules) || adapter.modules.length === 0) refuse('adapter.modules', 'is empty.');
  for (const module of adapter.modules) text('adapter.modules', module?.name, LONGEST_TEXT);
  if (new Set(adapter.modules.map((module) => module.name)).size !== adapter.modules.length) {
    refuse('adapter.modules', 'names a module twice.');
  }
  for (const module of adapter.modules) {
    whole(`adapter.modules.${module.name}.inFeatures`, module.inFeatures, 1, 1 << 20);
    whole(`adapter.modules.${module.name}.outFeatures`, module.outFeatures, 1, 1 << 20);
  }
  if (adapter.rule === 'fed-sb') {
    if (typeof adapter.frozenDigest !== 'string' || !/^[0-9a-f]{64}$/.test(adapter.frozenDigest))
      refuse('adapter.frozenDigest', 'must be 64 hex digits.');
    if (adapter.rebaseEvery !== 0) refuse('adapter.rebaseEvery', 'must be 0: "fed-sb" never changes A and B.');
    const narrow = adapter.modules.find(({ inFeatures, outFeatures }) => adapter.r > Math.min(inFeatures, outFeatures));
    if (narrow !== undefined) refuse('adapter.r', `is more than ${narrow.name} has inputs or outputs.`);
  } else if (adapter.frozenDigest !== undefined) refuse('adapter.frozenDigest', 'belongs to "fed-sb" only.');
  whole('data.maximumLength', manifest.data.maximumLength, 8, 1 << 17);

  whole('privacy.assumedColluders', privacy.assumedColluders, 1, members);
  whole('privacy.minimumContributors', privacy.minimumContributors, privacy.assumedColluders + 1, members);
  whole('aggregation.threshold', aggregation.threshold, leastThreshold(members, privacy.assumedColluders), members);
  const bounds: CohortBounds = {
    members,
    threshold: aggregation.threshold,
    minContributors: privacy.minimumContributors,
    assumedColluders: privacy.assumedColluders,
  };
  const { graph } = aggregation;
  if (graph !== undefined && (typeof graph !== 'object' || graph === null))
    refuse('aggregation.graph', 'must be terms.');
  if (graph === undefined && members > MAXIMUM_COHORT) {
    refuse('aggregation.graph', `is missing: a roster of ${members} needs it.`);
  }
  if (graph !== undefined) checkGraphTerms(bounds, graph);
  // No sum is smaller than the threshold unless a graph can be cut: a smaller m would only add noise.
  if (privacy.minimumContributors < aggregation.threshold && (graph === undefined || !canBeCut(bounds, graph))) {
    refuse('privacy.minimumContributors', `must not be below the threshold ${aggregation.threshold}.`);
  }
  positive('privacy.l2Bound', privacy.l2Bound);
  if (privacy.unit === 'none') {
    if (privacy.noiseMultiplier !== 0) refuse('privacy.noiseMultiplier', 'must be 0 for unit "none".');
    between('privacy.delta', privacy.delta, 0, 1);
  } else {
    positive('privacy.noiseMultiplier', privacy.noiseMultiplier);
    if (!(typeof privacy.delta === 'number' && privacy.delta > 0 && privacy.delta < 1))
      refuse('privacy.delta', 'must be between 0 and 1.');
  }
  positive('metrics.weight', metrics.weight);
  between('metrics.weight', metrics.weight, 0, LARGEST_WEIGHT_IN_BOUNDS * privacy.l2Bound);
  between('metrics.lossBound', metrics.lossBound, LEAST_LOSS_BOUND, 1e6);
  if (metrics.clipping !== undefined) {
    if (typeof metrics.clipping !== 'object' || metrics.clipping === null) refuse('metrics.clipping', 'must be terms.');
    positive('metrics.clipping.quantile', metrics.clipping.quantile);
    between('metrics.clipping.quantile', metrics.clipping.quantile, 0, 1);
    positive('metrics.clipping.learningRate', metrics.clipping.learningRate);
    between('metrics.clipping.learningRate', metrics.clipping.learningRate, 0, 10);
  }
  if (metrics.evaluation !== undefined) {
    if (typeof metrics.evaluation !== 'object' || metrics.evaluation === null)
      refuse('metrics.evaluation', 'must be terms.');
    positive('metrics.evaluation.fraction', metrics.evaluation.fraction);
    between('metrics.evaluation.fraction', metrics.evaluation.fraction, 0, 0.5);
  }

  const kinds = trainingKinds[privacy.unit];
  if (!kinds.includes(training.kind)) {
    refuse('training.kind', `unit "${privacy.unit}" needs ${kinds.map((kind) => `"${kind}"`).join(' or ')}.`);
  }
  if (training.kind !== 'local-steps') {
    positive('training.samplingRate', training.samplingRate);
    between('training.samplingRate', training.samplingRate, 0, 1);
    positive('training.expectedRecords', training.expectedRecords);
    whole('training.maximumRecords', training.maximumRecords, 1, 1 << 24);
  }
  if (training.kind !== 'record-step') {
    whole('training.steps', training.steps, 1, 1_000_000);
    positive('training.learningRate', training.learningRate);
  }
  if (training.kind === 'local-steps') {
    whole('training.batchSize', training.batchSize, 1, 65_536);
    positive('training.maximumGradientNorm', training.maximumGradientNorm);
  }
  if (training.kind === 'local-record-steps') {
    oneOf('training.optimizer', training.optimizer, ['sgd', 'adamw']);
    positive('training.updateBound', training.updateBound);
    positive('training.stepsPerUnit', training.stepsPerUnit);
  }
  positive('server.learningRate', server.learningRate);
  between('server.finalLearningRateFraction', server.finalLearningRateFraction, 0, 1);
  between('server.beta1', server.beta1, 0, 1);
  between('server.beta2', server.beta2, 0, 1);
  if (typeof aggregation.deadlinesMs !== 'object' || aggregation.deadlinesMs === null) {
    refuse('aggregation.deadlinesMs', 'is missing.');
  }
  const { deadlinesMs } = aggregation;
  for (const field of ['advertising', 'sharing', 'training', 'checking', 'unmasking'] as const) {
    whole(`aggregation.deadlinesMs.${field}`, deadlinesMs[field], 100, LONGEST_DEADLINE_MS);
  }
  if (graph !== undefined) {
    whole('aggregation.deadlinesMs.revealing', deadlinesMs.revealing ?? NaN, 100, LONGEST_DEADLINE_MS);
  } else if (deadlinesMs.revealing !== undefined) {
    refuse('aggregation.deadlinesMs.revealing', 'is for runs with a graph.');
  }

  if (encoding.ringBits !== 32) refuse('encoding.ringBits', 'only 32 is known.');
  positive('encoding.stepsPerUnit', encoding.stepsPerUnit);
  // Two rounds in a row train every factor that the rule ever trains.
  for (const trained of new Set([trainedFactor(manifest, 0), trainedFactor(manifest, 1)])) {
    const shareStddev = shareStddevInSteps(manifest, trained);
    if (training.kind === 'local-record-steps') {
      const stepStddev = stepStddevInSteps(manifest, trained);
      wideEnough('training.stepsPerUnit', stepStddev);
      const step = {
        maximumUnits: training.maximumRecords,
        l2SensitivityPerUnit: unitBound(manifest) * (1 + ARITHMETIC_SLACK),
        stepsPerUnit: training.stepsPerUnit,
        totalStddevInSteps: stepStddev,
      };
      checkNoWrap(step, 'training.stepsPerUnit');
    } else if (privacy.unit !== 'none') wideEnough('encoding.stepsPerUnit', shareStddev);
    const { l2Norm, perParticipant } = sumParts(manifest);
    checkNoWrap({
      maximumUnits: members * perParticipant,
      l2SensitivityPerUnit: l2Norm,
      stepsPerUnit: encoding.stepsPerUnit,
      totalStddevInSteps: shareStddev * Math.sqrt(members),
    });
  }
  // Last, since it is the one check that takes time.
  if (graph !== undefined) checkGraphStrength(bounds, graph);
}
