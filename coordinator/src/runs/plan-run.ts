/** From what an operator describes to the terms that everyone verifies: a run description becomes a manifest. */

import { setImmediate as pause } from 'node:timers/promises';
import {
  checkManifest,
  largestStepsPerUnit,
  leastThreshold,
  MAXIMUM_COHORT,
  ProtocolError,
  rosterHash,
  roundLength,
  privateStepsTerms,
  stepStddevInSteps,
  trainedFactor,
  unitBound,
  ARITHMETIC_SLACK,
  type AdaptedModule,
  type GraphTerms,
  type LocalRecordSteps,
  type Manifest,
  type MetricTerms,
  type Roster,
  type TrainingTerms,
} from '@fedlora/protocol';
import { publicRandom } from '@fedlora/protocol/node';
import {
  adaptedModules,
  expandTargetModules,
  FedloraError,
  frozenFactorsOfRun,
  type AdapterDescription,
  type DataDescription,
  type RunDescription,
  type TrainingDescription,
} from '@fedlora/shared';
import { planGraph } from './plan-graph.js';

/** How long each phase may last where the description does not say. Training is the operator's to know. */
const DEFAULT_DEADLINES_MS = {
  advertising: 30_000,
  sharing: 30_000,
  training: 120_000,
  checking: 30_000,
  unmasking: 30_000,
};

/** Metric coordinates this long, relative to the bound, cost one per cent of noise. */
const METRIC_WEIGHT_IN_BOUNDS = 0.1;
/** Losses above this are counted as this; nats per answer token. */
const LOSS_BOUND = 8;
/** Of the suggested bound, where the description does not say: a whole run was watched, so that it may be trusted that far. */
const CLIPPING_LEARNING_RATE = 1;

/** Scales are tried from this power of two down. */
const LARGEST_SCALE_EXPONENT = 30;

/**
 * The manifest of a run for a roster.
 *
 * Guarantee  `checkManifest` accepts it, and no larger power of two as `stepsPerUnit` would pass.
 * Cost       For `fed-sb` the frozen factors are made to be hashed: see shared's `orthonormalRows`. A plan passes another `frozenDigest`.
 * @throws FedloraError run/invalid-description: names what is missing or unknown
 * @throws ProtocolError manifest/invalid: names the field that breaks a rule
 */
export async function planRun(
  description: RunDescription,
  runId: string,
  roster: Roster,
  frozenDigest = digestOfFrozen,
): Promise<Manifest> {
  const { adapter, base, privacy, server } = description;
  const members = roster.members.length;
  const expanded = expandTargetModules(adapter.target_modules);
  if ('unknown' in expanded) {
    throw new FedloraError(
      'run/invalid-description',
      `adapter.target_modules: unknown ${expanded.unknown.join(', ')}.`,
      { details: { field: 'adapter.target_modules' } },
    );
  }
  const modules = adaptedModules(base.shape, expanded.names);
  checkRank(adapter, modules);
  const threshold = description.threshold ?? leastThreshold(members, privacy.assumedColluders);
  const { graph, minimumContributors } = contributorsAndGraph(description, members, threshold);
  const draft: Manifest = {
    version: 1,
    runId,
    title: description.title,
    rounds: description.rounds,
    base: { name: base.name, digest: base.digest },
    adapter: {
      rule: adapter.rule,
      r: adapter.r,
      loraAlpha: adapter.lora_alpha,
      targetModules: expanded.names,
      modules,
      rebaseEvery: adapter.rebaseEvery,
      ...(adapter.rule === 'fed-sb' ? { frozenDigest: await frozenDigest(runId, { modules, r: adapter.r }) } : {}),
    },
    data: dataTerms(description.data),
    training: trainingTerms(description.training),
    privacy: {
      unit: privacy.unit,
      l2Bound: privacy.l2Bound,
      noiseMultiplier: privacy.noiseMultiplier,
      delta: privacy.delta,
      assumedColluders: privacy.assumedColluders,
      minimumContributors,
    },
    metrics: metricTerms(description),
    encoding: { ringBits: 32, stepsPerUnit: 1 },
    aggregation: {
      threshold,
      ...(graph === undefined ? {} : { graph }),
      deadlinesMs: deadlinesOf(description, graph !== undefined),
    },
    server: {
      kind: server.kind,
      learningRate: server.learningRate,
      finalLearningRateFraction: server.finalLearningRateFraction,
      beta1: server.beta1,
      beta2: server.beta2,
    },
    rosterHash: rosterHash(roster),
  };
  return withLargestScale(withLocalTerms(draft, description.training), members);
}

/** @throws FedloraError run/invalid-description: a chat without its template's digest, or the digest without a chat */
function dataTerms({ format, chatTemplate, maximumLength }: DataDescription): Manifest['data'] {
  if ((format === 'messages') !== (chatTemplate != null)) {
    throw new FedloraError(
      'run/invalid-description',
      format === 'messages'
        ? 'data.chatTemplate: is missing, without which rows of messages have no form.'
        : `data.chatTemplate: has no meaning for rows of format ${format}.`,
      { details: { field: 'data.chatTemplate' } },
    );
  }
  const template = { alpaca: 'alpaca', text: 'plain', messages: chatTemplate ?? '' }[format];
  return { format, template, maximumLength };
}

/**
 * Frozen factors are r orthonormal rows of a layer's inputs, and for B of its outputs: so many must exist.
 *
 * @throws FedloraError run/invalid-description
 */
function checkRank({ rule, r }: AdapterDescription, modules: readonly AdaptedModule[]): void {
  const refuse = (name: string, limit: string): never => {
    throw new FedloraError('run/invalid-description', `adapter.r is ${r}, but ${name} has only ${limit}.`, {
      details: { field: 'adapter.r' },
    });
  };
  for (const { name, inFeatures, outFeatures } of modules) {
    if ((rule === 'ffa-svd' || rule === 'fed-sb') && r > inFeatures) refuse(name, `${inFeatures} inputs`);
    if (rule === 'fed-sb' && r > outFeatures) refuse(name, `${outFeatures} outputs`);
  }
}

async function digestOfFrozen(runId: string, adapter: Pick<Manifest['adapter'], 'modules' | 'r'>): Promise<string> {
  return (await frozenFactorsOfRun(runId, adapter, { publicRandom, pause })).digest;
}

/** The fewest contributors of a sum and, above 128 organisations, the graph that goes with them. */
function contributorsAndGraph(
  { privacy, graph }: RunDescription,
  members: number,
  threshold: number,
): { readonly minimumContributors: number; readonly graph?: GraphTerms } {
  const { assumedColluders, minimumContributors } = privacy;
  if (members > MAXIMUM_COHORT) {
    return planGraph({ members, threshold, assumedColluders, minimumContributors, graph: plain(graph) });
  }
  return {
    minimumContributors: minimumContributors ?? Math.max(threshold, assumedColluders + 1),
    // Too few for it: `checkManifest` says so.
    ...(graph == null ? {} : { graph: { ...graph } }),
  };
}

function deadlinesOf({ deadlinesMs }: RunDescription, hasGraph: boolean): Manifest['aggregation']['deadlinesMs'] {
  const all = { ...DEFAULT_DEADLINES_MS, ...givenOf(deadlinesMs ?? {}) };
  return hasGraph ? { revealing: all.advertising, ...all } : all;
}

/**
 * For `local-record-steps` what follows from the other terms: the finest rounding of a step that cannot wrap, and, where the
 * description gives none, a bound that the difference is not expected to pass.
 */
function withLocalTerms(draft: Manifest, { updateBound }: TrainingDescription): Manifest {
  const { training, privacy } = draft;
  if (training.kind !== 'local-record-steps') return draft;
  // Two rounds in a row train every factor that the rule ever trains.
  const length = Math.max(...[0, 1].map((round) => roundLength(draft, trainedFactor(draft, round))));
  const stepsPerUnit = largestStepsPerUnit({
    maximumUnits: training.maximumRecords,
    l2SensitivityPerUnit: unitBound(draft) * (1 + ARITHMETIC_SLACK),
    noiseMultiplier: privacy.noiseMultiplier,
    length,
    participants: 1,
    minimumContributors: 1,
    assumedColluders: 0,
  });
  const local = { ...training, stepsPerUnit };
  return {
    ...draft,
    training: { ...local, updateBound: updateBound ?? likelyLength({ ...draft, training: local }, length) },
  };
}

/**
 * How far the local steps of a round move at most, as far as the terms tell: plain descent by all gradients in one direction, as many as
 * are expected, and by noise as long as it is on average; AdamW by its learning rate in every value and step.
 */
function likelyLength(manifest: Manifest & { readonly training: LocalRecordSteps }, length: number): number {
  const { training, privacy } = manifest;
  const { steps, learningRate } = training;
  if (training.optimizer === 'adamw') return learningRate * steps * Math.sqrt(length);
  const { expectedRecords, stepsPerUnit } = privateStepsTerms(manifest, training);
  const noise = stepStddevInSteps(manifest, trainedFactor(manifest, 0)) / stepsPerUnit / expectedRecords;
  const signal = (privacy.l2Bound * training.expectedRecords) / expectedRecords;
  return learningRate * (steps * signal + noise * Math.sqrt(steps * length));
}

/** The terms with the largest power of two as scale that keeps every rule: the finest rounding that cannot wrap. */
function withLargestScale(draft: Manifest, members: number): Manifest {
  let refusal: unknown;
  for (let exponent = LARGEST_SCALE_EXPONENT; exponent >= -LARGEST_SCALE_EXPONENT; exponent -= 1) {
    const manifest: Manifest = { ...draft, encoding: { ringBits: 32, stepsPerUnit: 2 ** exponent } };
    try {
      checkManifest(manifest, members);
      return manifest;
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      // A rule that the scale has no part in refuses every scale alike: any of its refusals tells the operator.
      refusal = error;
    }
  }
  throw refusal;
}

/** What is optional may be null, which is absent. */
function metricTerms({ privacy, metrics }: RunDescription): MetricTerms {
  const { clipping, evaluation } = metrics ?? {};
  return {
    weight: METRIC_WEIGHT_IN_BOUNDS * privacy.l2Bound,
    lossBound: LOSS_BOUND,
    ...(clipping == null
      ? {}
      : { clipping: { quantile: clipping.quantile, learningRate: clipping.learningRate ?? CLIPPING_LEARNING_RATE } }),
    ...(evaluation == null ? {} : { evaluation: { fraction: evaluation.fraction } }),
  };
}

function trainingTerms(training: TrainingDescription): TrainingTerms {
  const needed = <Name extends keyof TrainingDescription>(name: Name): NonNullable<TrainingDescription[Name]> => {
    const value = training[name];
    if (value === undefined || value === null) {
      throw new FedloraError(
        'run/invalid-description',
        `training.${name} is missing: kind "${training.kind}" needs it.`,
        { details: { field: `training.${name}` } },
      );
    }
    return value;
  };
  switch (training.kind) {
    case 'record-step':
      return {
        kind: 'record-step',
        samplingRate: needed('samplingRate'),
        expectedRecords: needed('expectedRecords'),
        maximumRecords: needed('maximumRecords'),
      };
    case 'local-steps':
      return {
        kind: 'local-steps',
        steps: needed('steps'),
        batchSize: needed('batchSize'),
        learningRate: needed('learningRate'),
        maximumGradientNorm: needed('maximumGradientNorm'),
      };
    case 'local-record-steps':
      return {
        kind: 'local-record-steps',
        steps: needed('steps'),
        samplingRate: needed('samplingRate'),
        expectedRecords: needed('expectedRecords'),
        maximumRecords: needed('maximumRecords'),
        optimizer: training.optimizer ?? 'sgd',
        learningRate: needed('learningRate'),
        // Both follow from the other terms: `withLocalTerms`.
        updateBound: training.updateBound ?? 1,
        stepsPerUnit: 1,
      };
    default:
      return training.kind satisfies never;
  }
}

/** The parts that are neither absent nor null. */
function givenOf<T extends object>(parts: T): { [Name in keyof T]?: NonNullable<T[Name]> } {
  // Safe: what is dropped may be left out.
  return Object.fromEntries(Object.entries(parts).filter(([, value]) => value != null)) as {
    [Name in keyof T]?: NonNullable<T[Name]>;
  };
}

/** A validated object without its class, since canonical JSON takes plain objects only. A null is an absent one. */
function plain<T extends object>(value: T | null | undefined): T | undefined {
  return value == null ? undefined : { ...value };
}
