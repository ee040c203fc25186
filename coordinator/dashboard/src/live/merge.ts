/** Puts a live event's value, which is always whole, into the overview. */

import type { Overview, RunView } from '@fedlora/shared';
import type { LiveEvent } from './live-feed.js';

/** As many as the coordinator sends. */
const MOST_ROUNDS = 200;

export function newestRun(runs: readonly RunView[]): RunView | null {
  return runs.reduce<RunView | null>(
    (newest, run) => (newest === null || run.createdAt > newest.createdAt ? run : newest),
    null,
  );
}

export function mergeIntoOverview(overview: Overview, event: LiveEvent): Overview {
  switch (event.name) {
    case 'organisation.changed': {
      const { value } = event;
      return { ...overview, organisations: replaceIn(overview.organisations, value, (one) => one.name === value.name) };
    }
    case 'run.changed': {
      // A new run takes the page over, so the rounds of the one before go.
      const runs = replaceIn(overview.runs, event.value, (one) => one.id === event.value.id);
      const shown = newestRun(runs);
      return { ...overview, runs, rounds: overview.rounds.filter((round) => round.runId === shown?.id) };
    }
    case 'round.changed': {
      const shown = newestRun(overview.runs);
      if (shown !== null && shown.id !== event.value.runId) return overview;
      const rounds = replaceIn(overview.rounds, event.value, (one) => one.id === event.value.id);
      return { ...overview, rounds: rounds.toSorted((a, b) => b.number - a.number).slice(0, MOST_ROUNDS) };
    }
    case 'version.published': {
      const { runId, id, merge } = event.value;
      if (merge !== null) return overview;
      return { ...overview, runs: overview.runs.map((run) => (run.id === runId ? { ...run, version: id } : run)) };
    }
    case 'version.changed':
    case 'repository.changed':
      return overview;
    default:
      return event satisfies never;
  }
}

export function replaceIn<T>(list: readonly T[], value: T, isSame: (one: T) => boolean): readonly T[] {
  return list.some(isSame) ? list.map((one) => (isSame(one) ? value : one)) : [...list, value];
}
