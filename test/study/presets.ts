/** How large the study is. What is not said here is the same for both. */

import type { WarmStart } from './warm-base.js';

export interface DatasetPreset {
  readonly name: DatasetName;
  readonly organisations: number;
  /** Rows of an organisation that are learned from; the data sets with fewer give all. */
  readonly rows: number;
  readonly testRows: number;
  /** Rows that are learned from in a round, over all organisations, as expected. */
  readonly recordsPerRound: number;
  readonly rounds: number;
  /** Whether all aggregation rules are compared, and not the default one alone. */
  readonly allRules: boolean;
  /** Test rows of an organisation for which a model is asked which of all labels it finds likeliest; 0 where answers are no labels. */
  readonly rankedRows: number;
  /** What the base learns first from public rows; without it, the base is the demo's as it is. */
  readonly warmStart?: WarmStart;
  /** Of private records, dearest last. */
  readonly epsilons: readonly number[];
  /** Whether noise against other threats is compared as well: of each organisation for itself, and of whole organisations. */
  readonly otherThreats: boolean;
  /** Ranks of an adapter beside the usual one, without noise and at epsilon 8. */
  readonly otherRanks: readonly number[];
  /** Numbers of organisations beside `organisations`, without noise and at epsilon 8. Each gives as many rows to a round as ever. */
  readonly otherNumbers: readonly number[];
}

export type DatasetName = 'demo' | 'clinc150' | 'medquad';

/** Organisations that any method trains with. */
export function mostOrganisations({ organisations, otherNumbers }: DatasetPreset): number {
  return Math.max(organisations, ...otherNumbers);
}

/** Organisations that every method trains with, whatever their number: what numbers of organisations are compared on. */
export function fewestOrganisations({ organisations, otherNumbers }: DatasetPreset): number {
  return Math.min(organisations, ...otherNumbers);
}

export interface Preset {
  readonly name: PresetName;
  readonly seeds: readonly number[];
  readonly datasets: readonly DatasetPreset[];
}

export const presetNames = ['reduced', 'full'] as const;
export type PresetName = (typeof presetNames)[number];

export const presets: Readonly<Record<PresetName, Preset>> = {
  reduced: {
    name: 'reduced',
    seeds: [1, 2],
    datasets: [
      {
        name: 'clinc150',
        organisations: 5,
        rows: 1500,
        testRows: 60,
        recordsPerRound: 1024,
        rounds: 30,
        allRules: false,
        rankedRows: 60,
        warmStart: { steps: 500, batchSize: 64 },
        epsilons: [8, 1],
        otherThreats: false,
        otherRanks: [],
        otherNumbers: [],
      },
    ],
  },
  full: {
    name: 'full',
    seeds: [1, 2],
    datasets: [
      {
        name: 'clinc150',
        organisations: 5,
        rows: 1500,
        testRows: 60,
        recordsPerRound: 1024,
        rounds: 30,
        allRules: true,
        rankedRows: 60,
        warmStart: { steps: 500, batchSize: 64 },
        epsilons: [8, 3, 1],
        otherThreats: true,
        otherRanks: [2, 16],
        otherNumbers: [3, 8],
      },
      {
        name: 'medquad',
        organisations: 5,
        rows: 1500,
        testRows: 80,
        recordsPerRound: 512,
        rounds: 30,
        allRules: true,
        rankedRows: 80,
        warmStart: { steps: 300, batchSize: 64 },
        epsilons: [8, 3, 1],
        otherThreats: true,
        otherRanks: [],
        otherNumbers: [],
      },
      {
        name: 'demo',
        organisations: 5,
        rows: 4000,
        testRows: 60,
        recordsPerRound: 500,
        rounds: 40,
        allRules: true,
        rankedRows: 0,
        epsilons: [8, 3, 1],
        otherThreats: true,
        otherRanks: [],
        otherNumbers: [],
      },
    ],
  },
};
