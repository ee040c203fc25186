/** Cells of several seeds as one line a method. */

import type { Cell } from './cells.js';
import { methodsOf, RECORD_EPSILON_8, titleOf, WITHOUT_NOISE } from './methods.js';
import { fewestOrganisations, type DatasetPreset } from './presets.js';

/** Mean and standard deviation over seeds; a single seed has no deviation. */
export interface Spread {
  readonly mean: number;
  readonly stddev: number;
}

export interface MethodSummary {
  readonly title: string;
  readonly seeds: number;
  /** Each organisation's test counts the same. */
  readonly macroLoss: Spread;
  readonly macroAccuracy: Spread;
  /** Of ranked labels; absent where a cell has none. */
  readonly macroRanked?: Spread;
  /** Mean over seeds, by organisation. */
  readonly losses: readonly number[];
  /** As `losses`; absent as `macroRanked` is. */
  readonly ranked?: readonly number[];
  readonly seconds: number;
}

/** What is known of a data set before anything is computed. */
export interface DatasetFacts {
  readonly preset: DatasetPreset;
  /** Those of most methods. */
  readonly organisations: readonly string[];
  /** Of these organisations, learned from. */
  readonly rows: number;
  /** Share of ranked test rows that have the commonest answer of the training rows; absent where answers are no labels. */
  readonly commonest?: number;
}

export interface DatasetSummary extends DatasetFacts {
  /** Of the usual number of organisations. */
  readonly methods: readonly MethodSummary[];
  /** By number of organisations, on the test rows of those that are there with every number; empty where one number is compared. */
  readonly numbers: readonly NumberSummary[];
}

export interface NumberSummary {
  readonly organisations: number;
  /** Absent while they are not done. */
  readonly withoutNoise?: MethodSummary;
  readonly record?: MethodSummary;
}

/** @param cells of any data set */
export function summariseDataset(
  { preset, organisations, rows, commonest }: DatasetFacts,
  cells: readonly Cell[],
): DatasetSummary {
  const own = cells.filter(({ dataset }) => dataset === preset.name);
  const usual = methodsOf(preset).filter((method) => method.kind !== 'federated' || method.organisations === undefined);
  const fewest = fewestOrganisations(preset);
  const shared = own.map((cell) => ({ ...cell, results: cell.results.slice(0, fewest) }));
  const numbers = [preset.organisations, ...preset.otherNumbers].sort((one, other) => one - other);
  return {
    preset,
    organisations,
    rows,
    ...(commonest !== undefined && { commonest }),
    methods: summarise(
      own,
      usual.map((method) => titleOf(method, organisations)),
    ),
    numbers:
      numbers.length === 1
        ? []
        : numbers.map((number) => {
            const change = number === preset.organisations ? {} : { organisations: number };
            const [withoutNoise] = summarise(shared, [titleOf({ ...WITHOUT_NOISE, ...change })]);
            const [record] = summarise(shared, [titleOf({ ...RECORD_EPSILON_8, ...change })]);
            return { organisations: number, ...(withoutNoise && { withoutNoise }), ...(record && { record }) };
          }),
  };
}

/** One line for each title that has cells, in the order of the titles. */
export function summarise(cells: readonly Cell[], titles: readonly string[]): readonly MethodSummary[] {
  return titles.flatMap((title) => {
    const some = cells.filter((cell) => cell.title === title);
    if (some.length === 0) return [];
    const ranked = some.flatMap(({ results }) => {
      const shares = results.flatMap((result) => result.ranked ?? []);
      return shares.length === results.length ? mean(shares) : [];
    });
    return {
      title,
      seeds: some.length,
      macroLoss: spreadOf(some.map(({ results }) => mean(results.map(({ loss }) => loss)))),
      macroAccuracy: spreadOf(some.map(({ results }) => mean(results.map(({ accuracy }) => accuracy)))),
      losses: some[0].results.map((_, i) => mean(some.map(({ results }) => results[i].loss))),
      ...(ranked.length === some.length && {
        macroRanked: spreadOf(ranked),
        // Safe: none is missing, or there would be fewer means than cells.
        ranked: some[0].results.map((_, i) => mean(some.map(({ results }) => results[i].ranked!))),
      }),
      seconds: mean(some.map(({ seconds }) => seconds)),
    };
  });
}

function spreadOf(values: readonly number[]): Spread {
  const middle = mean(values);
  const squares = values.reduce((sum, value) => sum + (value - middle) ** 2, 0);
  return { mean: middle, stddev: values.length < 2 ? 0 : Math.sqrt(squares / (values.length - 1)) };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
