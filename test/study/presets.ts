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
}

export type DatasetName = 'demo' | 'clinc150';

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
      },
    ],
  },
  full: {
    name: 'full',
    seeds: [1, 2, 3, 4, 5],
    datasets: [
      {
        name: 'demo',
        organisations: 5,
        rows: 20_000,
        testRows: 200,
        recordsPerRound: 500,
        rounds: 120,
        allRules: true,
        rankedRows: 0,
        epsilons: [8, 3, 1],
        otherThreats: true,
      },
      {
        name: 'clinc150',
        organisations: 5,
        rows: 1500,
        testRows: 450,
        recordsPerRound: 1024,
        rounds: 60,
        allRules: true,
        rankedRows: 200,
        warmStart: { steps: 1000, batchSize: 64 },
        epsilons: [8, 3, 1],
        otherThreats: true,
      },
    ],
  },
};
