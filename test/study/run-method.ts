/** Makes an adapter by a method, with the clients' and the coordinator's own code, and measures it. */

import {
  createOnnxEngine,
  evaluateExamples,
  trainLocally,
  type BaseModel,
  type Engine,
  type RoundExample,
} from '@fedlora/client';
import { planRun } from '@fedlora/coordinator';
import { noiseMultiplierFor, type Manifest } from '@fedlora/protocol';
import { seededRandom } from '@fedlora/protocol/node';
import type { RunDescription } from '@fedlora/shared';
import { describeOpened, inventedRoster, trainFederated } from '../support/federated-training.js';
import { DELTA, type FederatedMethod, type Method } from './methods.js';
import { fewestOrganisations, type DatasetPreset } from './presets.js';
import { labelTree, rightlyRanked, type LabelTree } from './rank.js';
import { MAXIMUM_LENGTH, type StudyOrganisation } from './study-data.js';
import { TOKENS_PER_BATCH, TRAINING_ALONE } from './training-alone.js';

/** On the rows of one organisation that nobody learned from. */
export interface Result {
  readonly loss: number;
  readonly accuracy: number;
  /** Share of rows whose label is the likeliest of all labels of the data set's usual organisations; absent where answers are no closed set. */
  readonly ranked?: number;
}

export interface MethodTask {
  readonly method: Method;
  readonly preset: DatasetPreset;
  readonly organisations: readonly StudyOrganisation[];
  readonly base: BaseModel;
  readonly seed: number;
  readonly onProgress: (share: number) => void;
}

const RANK = 4;
/** So that another rank learns at the same pace. */
const ALPHA_PER_RANK = 2;
/** Of AdamW alone. */
const LEARNING_RATE_ALONE = 0.005;
/** Rows of an organisation in a step alone: without noise to share, many small steps teach most. */
const ROWS_ALONE = 32;
/** Of AdamW at home in a round, where there are several steps. */
const LEARNING_RATE = 0.005;
/** R between frozen factors is small, and moves the adapter less. */
const LEARNING_RATE_OF_R = 0.03;
/** Of the server's Adam on gradients. */
const SERVER_LEARNING_RATE = 0.02;
const STEPS_AT_HOME = 4;
/** Rounds in which whole updates are protected: each costs alike, however much was learned in it. */
const CLIENT_ROUNDS = 10;
const RECORD_BOUND = 0.5;
/** Ten standard deviations above the mean, as `samplingFor` has it. */
const mostRecords = (mean: number): number => Math.ceil(mean + 10 * Math.sqrt(mean) + 20);

/** Results by organisation. */
export async function runMethod(task: MethodTask): Promise<readonly Result[]> {
  const { method, preset, base, seed } = task;
  const isFederated = method.kind === 'federated';
  const organisations = task.organisations.slice(0, (isFederated && method.organisations) || preset.organisations);
  const manifest = await termsOf({ preset, organisations, base, seed }, isFederated ? method : undefined);
  const { r, loraAlpha, targetModules } = manifest.adapter;
  const engine = await createOnnxEngine({
    base,
    lora: { r, lora_alpha: loraAlpha, use_rslora: false, target_modules: targetModules },
    // A warm start is not on NF4's grid, as the demo's base is.
    quantization: preset.warmStart === undefined ? 'nf4' : 'none',
  });
  try {
    switch (method.kind) {
      case 'base':
        engine.setAdapter(nothingLearned(engine));
        break;
      case 'local':
        await alone(engine, organisations[method.organisation].training, task, 1);
        break;
      case 'centralised':
        await alone(
          engine,
          organisations.flatMap(({ training }) => training),
          task,
          organisations.length,
        );
        break;
      case 'federated':
        engine.setAdapter(
          await trainFederated({
            manifest,
            organisations: organisations.map(({ training }) => training.map(asRoundExample)),
            engine,
            random: seededRandom(`study/${seed}`),
            tokensPerBatch: TOKENS_PER_BATCH,
            onRound: (completed) => task.onProgress(completed / manifest.rounds),
          }),
        );
        break;
      default:
        method satisfies never;
    }
    // Other numbers of organisations are measured on what all numbers have learned of.
    const isOtherNumber = isFederated && method.organisations !== undefined;
    const measured = organisations.slice(0, isOtherNumber ? fewestOrganisations(preset) : undefined);
    // An adapter of all is asked among the labels of all, whoever asks.
    const labels = labelTree(task.organisations.slice(0, preset.organisations).flatMap(({ training }) => training));
    const ranked = await rankedShares(engine, preset, measured, labels);
    const results: Result[] = [];
    for (const [i, { test }] of measured.entries()) {
      const { loss, accuracy } = await evaluateExamples(engine, test);
      results.push({ loss, accuracy, ...(ranked && { ranked: ranked[i] }) });
    }
    return results;
  } finally {
    await engine.close();
  }
}

/** By organisation; nothing where answers are no labels. All rows are ranked at once, in fuller batches. */
async function rankedShares(
  engine: Engine,
  { rankedRows }: DatasetPreset,
  organisations: readonly StudyOrganisation[],
  labels: LabelTree,
): Promise<readonly number[] | undefined> {
  if (rankedRows === 0) return undefined;
  const asked = organisations.map(({ test }) => test.slice(0, rankedRows));
  const right = await rightlyRanked(engine, asked.flat(), labels);
  const shares: number[] = [];
  let begin = 0;
  for (const { length } of asked) {
    shares.push(right.slice(begin, begin + length).filter(Boolean).length / length);
    begin += length;
  }
  return shares;
}

/** Training without rounds, from as many rows as the organisations would give to the rounds, in smaller steps. */
async function alone(
  engine: Engine,
  examples: StudyOrganisation['training'],
  { preset, seed, onProgress }: MethodTask,
  organisations: number,
): Promise<void> {
  const rows = (preset.rounds * preset.recordsPerRound) / preset.organisations;
  await trainLocally(engine, examples, {
    ...TRAINING_ALONE,
    steps: Math.round(rows / ROWS_ALONE),
    batchSize: ROWS_ALONE * organisations,
    learningRate: LEARNING_RATE_ALONE,
    random: seededRandom(`study/${seed}`),
    onStep: ({ step, steps }) => onProgress(step / steps),
  });
}

function nothingLearned({ modules, lora }: Engine): Parameters<Engine['setAdapter']>[0] {
  return {
    modules: modules.map(({ inFeatures, outFeatures }) => ({
      A: new Float32Array(lora.r * inFeatures),
      B: new Float32Array(lora.r * outFeatures),
    })),
  };
}

function asRoundExample(example: StudyOrganisation['training'][number], row: number): RoundExample {
  return { ...example, row, isHeldOut: false };
}

/** The terms of a run of these organisations, as the coordinator makes them of a description. Without a method only the adapter counts. */
export function termsOf(
  { preset, organisations, base, seed }: Omit<MethodTask, 'method' | 'onProgress'>,
  method: FederatedMethod = { kind: 'federated', rule: 'ffa-svd', unit: 'none', epsilon: null, round: 'gradient' },
): Promise<Manifest> {
  const { rank = RANK } = method;
  const description: RunDescription = {
    title: 'Study',
    base: describeOpened(base),
    adapter: {
      rule: method.rule,
      r: rank,
      lora_alpha: ALPHA_PER_RANK * rank,
      target_modules: ['all-linear'],
      rebaseEvery: 0,
    },
    data: { format: 'alpaca', maximumLength: MAXIMUM_LENGTH },
    ...roundsOf(method, preset, organisations),
  };
  return planRun(description, `study-${seed}`, inventedRoster(organisations.length));
}

type RoundTerms = Pick<RunDescription, 'rounds' | 'privacy' | 'training' | 'server'>;

function roundsOf(
  method: FederatedMethod,
  preset: DatasetPreset,
  organisations: readonly StudyOrganisation[],
): RoundTerms {
  const { rounds } = preset;
  const recordsPerRound = Math.round((preset.recordsPerRound * organisations.length) / preset.organisations);
  const total = organisations.reduce((sum, { training }) => sum + training.length, 0);
  const samplingRate = recordsPerRound / total;
  const most = Math.max(...organisations.map(({ training }) => training.length));
  const batchAtHome = Math.round(recordsPerRound / organisations.length / STEPS_AT_HOME);
  const follows = { kind: 'sgd', learningRate: 1, finalLearningRateFraction: 1, beta1: 0, beta2: 0.95 } as const;
  const privacy = (l2Bound: number, steps: number, rate: number): RoundTerms['privacy'] =>
    method.epsilon === null
      ? { unit: method.unit, l2Bound, noiseMultiplier: 0, delta: 0, assumedColluders: 1 }
      : {
          unit: method.unit,
          l2Bound,
          noiseMultiplier: noiseMultiplierFor({ epsilon: method.epsilon, delta: DELTA, samplingRate: rate, steps }),
          delta: DELTA,
          assumedColluders: 1,
        };
  const recordStep = {
    samplingRate,
    expectedRecords: recordsPerRound,
    maximumRecords: mostRecords(samplingRate * most),
  };
  if (method.round === 'gradient')
    return {
      rounds,
      privacy: privacy(RECORD_BOUND, rounds, samplingRate),
      training: { kind: 'record-step', ...recordStep },
      server: {
        kind: 'adam',
        learningRate: SERVER_LEARNING_RATE,
        finalLearningRateFraction: 0.1,
        beta1: 0.9,
        beta2: 0.95,
      },
    };
  if (method.unit === 'record-local') {
    // As many noisy steps of every organisation as there would be rounds, in a quarter of the rounds.
    const fewer = Math.max(1, Math.round(rounds / STEPS_AT_HOME));
    return {
      rounds: fewer,
      privacy: privacy(RECORD_BOUND, fewer * STEPS_AT_HOME, samplingRate),
      training: {
        kind: 'local-record-steps',
        steps: STEPS_AT_HOME,
        samplingRate,
        expectedRecords: recordsPerRound / organisations.length,
        maximumRecords: mostRecords(samplingRate * most),
        optimizer: 'adamw',
        learningRate: LEARNING_RATE,
      },
      server: follows,
    };
  }
  const isClient = method.unit === 'client';
  const steps = {
    kind: 'local-steps',
    steps: isClient ? Math.round((STEPS_AT_HOME * rounds) / CLIENT_ROUNDS) : STEPS_AT_HOME,
    batchSize: batchAtHome,
    learningRate: method.rule === 'fed-sb' ? LEARNING_RATE_OF_R : LEARNING_RATE,
    maximumGradientNorm: 1,
  } as const;
  return {
    rounds: isClient ? CLIENT_ROUNDS : rounds,
    // A whole update is long; without noise nothing is gained by cutting it.
    privacy: isClient ? privacy(1, CLIENT_ROUNDS, 1) : privacy(100, rounds, 1),
    training: steps,
    server: follows,
  };
}
