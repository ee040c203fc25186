/** Puts a live event's value, which is always whole, into the overview. */

import type { OrganisationView, RoundView, RunView, VersionView } from '@fedlora/shared';
import type { OverviewState } from './api.js';

/** As many as the coordinator sends. */
const MOST_ROUNDS = 200;

export type Merge = (overview: OverviewState) => OverviewState;

export function newestRun(runs: readonly RunView[]): RunView | null {
  return runs.reduce<RunView | null>(
    (newest, run) => (newest === null || run.createdAt > newest.createdAt ? run : newest),
    null,
  );
}

export function mergeOrganisation(value: OrganisationView): Merge {
  return (overview) => ({
    ...overview,
    organisations: replace(overview.organisations, value, (one) => one.name === value.name),
  });
}

/** A new run takes the page over, so the rounds of the one before go. */
export function mergeRun(value: RunView): Merge {
  return (overview) => {
    const runs = replace(overview.runs, value, (one) => one.id === value.id);
    const shown = newestRun(runs);
    return { ...overview, runs, rounds: overview.rounds.filter((round) => round.runId === shown?.id) };
  };
}

export function mergeRound(value: RoundView): Merge {
  return (overview) => {
    const shown = newestRun(overview.runs);
    if (shown !== null && shown.id !== value.runId) return overview;
    const rounds = replace(overview.rounds, value, (one) => one.id === value.id);
    return { ...overview, rounds: rounds.toSorted((a, b) => b.number - a.number).slice(0, MOST_ROUNDS) };
  };
}

export function mergeVersion(value: VersionView): Merge {
  return (overview) => ({
    ...overview,
    runs: overview.runs.map((run) => (run.id === value.runId ? { ...run, version: value.id } : run)),
  });
}

function replace<T>(list: readonly T[], value: T, isSame: (one: T) => boolean): readonly T[] {
  return list.some(isSame) ? list.map((one) => (isSame(one) ? value : one)) : [...list, value];
}
