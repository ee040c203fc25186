/** Puts live events into what the pages of runs show. */

import type { OrganisationView, RoundView, RunView } from '@fedlora/shared';
import type { LiveEvent } from '../live/live-feed.js';
import { replaceIn } from '../live/merge.js';

export function mergeIntoRun(run: RunView, event: LiveEvent): RunView {
  if (event.name === 'run.changed' && event.value.id === run.id) return event.value;
  if (event.name === 'version.published' && event.value.runId === run.id && event.value.merge === null)
    return { ...run, version: event.value.id };
  return run;
}

/** Newest first. `all` says whether older ones are still to be loaded. */
export interface LoadedRounds {
  readonly runId: string;
  readonly rounds: readonly RoundView[];
  readonly hasOlder: boolean;
}

export function mergeIntoRounds(loaded: LoadedRounds, event: LiveEvent): LoadedRounds {
  if (event.name !== 'round.changed' || event.value.runId !== loaded.runId) return loaded;
  const rounds = replaceIn(loaded.rounds, event.value, (one) => one.id === event.value.id);
  return { ...loaded, rounds: rounds.toSorted((a, b) => b.number - a.number) };
}

export function mergeIntoOrganisations(
  organisations: readonly OrganisationView[],
  event: LiveEvent,
): readonly OrganisationView[] {
  if (event.name !== 'organisation.changed') return organisations;
  return replaceIn(organisations, event.value, (one) => one.name === event.value.name);
}
