/** A run description to begin with: a base model's facts, sampling that suits the number of rows, and noise within a cap. */

import { readFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { epsilonFor, noiseMultiplierFor } from '@fedlora/protocol';
import { baseModelDigest } from '../engine/weights/digest.js';

export interface Draft {
  readonly title: string;
  /** Folder of the base model. */
  readonly base: string;
  readonly rounds: number;
  /** About how many rows each organisation has; one number each. */
  readonly rows: readonly number[];
  /** Most that all rounds together may spend, as every owner's policy has it. */
  readonly epsilonCap: number;
}

const DELTA = 1e-5;
/** More noise costs accuracy, less is hard to account for: what the demo has shown to work. */
const LEAST_NOISE_MULTIPLIER = 0.505;
/** Enough for a gradient that is worth its noise. */
const RECORDS_PER_ORGANISATION_AND_ROUND = 500 / 3;

/** A whole description with the terms of the demo: rows protected, by the noise of all together. */
export async function draftRun({ title, base, rounds, rows, epsilonCap }: Draft): Promise<object> {
  const training = samplingFor(rows);
  const { samplingRate } = training;
  const noiseMultiplier = noiseWithin(epsilonCap, LEAST_NOISE_MULTIPLIER, {
    samplingRate,
    steps: rounds,
    delta: DELTA,
  });
  return {
    title,
    rounds,
    base: await describeBase(base),
    adapter: { rule: 'ffa-svd', r: 8, lora_alpha: 16, target_modules: ['all-linear'], rebaseEvery: 0 },
    data: { format: 'alpaca', maximumLength: 128 },
    privacy: { unit: 'record', l2Bound: 0.2, noiseMultiplier, delta: DELTA, assumedColluders: 1 },
    training: { kind: 'record-step', ...training },
    server: { kind: 'adam', learningRate: 0.02, finalLearningRateFraction: 0.1, beta1: 0.9, beta2: 0.95 },
  };
}

const SHAPE = [
  'hidden_size',
  'intermediate_size',
  'num_hidden_layers',
  'num_attention_heads',
  'num_key_value_heads',
  'head_dim',
  'vocab_size',
  'tie_word_embeddings',
];

/** What a run says of its base model: its name, its digest and what its adapter and its need of memory depend on. */
export async function describeBase(
  folder: string,
): Promise<{ readonly name: string; readonly digest: string; readonly shape: object }> {
  const digest = await baseModelDigest(folder);
  const config = JSON.parse(await readFile(join(folder, 'config.json'), 'utf8')) as Record<string, unknown>;
  const shape = Object.fromEntries(SHAPE.flatMap((key) => (config[key] == null ? [] : [[key, config[key]]])));
  return { name: basename(resolve(folder)), digest, shape };
}

/** Which rows a round takes. `rows`: about how many each organisation has. */
export function samplingFor(rows: readonly number[]): {
  readonly samplingRate: number;
  readonly expectedRecords: number;
  readonly maximumRecords: number;
} {
  const total = rows.reduce((sum, count) => sum + count, 0);
  const expected = Math.min(RECORDS_PER_ORGANISATION_AND_ROUND * rows.length, total / 4);
  const samplingRate = expected / total;
  return {
    samplingRate,
    expectedRecords: Math.round(expected),
    maximumRecords: mostRecords(samplingRate, publicSize(Math.max(...rows))),
  };
}

/**
 * The noise multiplier that is wanted, or as much more as keeps all rounds within the cap at `delta`: small data sets are sampled at larger
 * rates.
 */
export function noiseWithin(
  epsilonCap: number,
  wanted: number,
  { samplingRate, steps, delta }: { readonly samplingRate: number; readonly steps: number; readonly delta: number },
): number {
  const { epsilon } = epsilonFor([{ noiseMultiplier: wanted, samplingRate, steps }], delta);
  return epsilon <= epsilonCap ? wanted : noiseMultiplierFor({ epsilon: epsilonCap, delta, samplingRate, steps });
}

/** Clients compare with the next power of two, so that accepting or declining tells no more than the order of magnitude. */
function publicSize(rows: number): number {
  return 2 ** Math.ceil(Math.log2(rows));
}

/** Ten standard deviations over the mean of a Poisson sample: more is a chance below 2^-60. */
function mostRecords(samplingRate: number, rows: number): number {
  const mean = samplingRate * rows;
  return Math.ceil(mean + 10 * Math.sqrt(mean) + 20);
}
