/** Cells of several seeds as one line a method. */

import type { Cell } from './cells.js';

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
