/** What happened and what is planned in a range of time. */

import type { CalendarRound, CalendarView, RoundView } from '@fedlora/shared';
import { isUnended, type Run } from '../runs/runs.repository.js';
import { plannedRounds } from './planned-rounds.js';
import { timeZoneOf } from './schedule-terms.js';
import { windowsWithin, type Span } from './windows.js';

/** Rounds, planned rounds and windows of one answer, each. */
export const MOST_ENTRIES = 500;

export interface CalendarParts {
  readonly range: Span;
  readonly runs: readonly Run[];
  /** Of these runs within the range, newest first. */
  readonly rounds: readonly RoundView[];
  readonly now: number;
}

/** Where there is more than an answer holds, the newest rounds are kept, and what is planned soonest. */
export function calendarOf({ range, runs, rounds, now }: CalendarParts): CalendarView {
  const scheduled = runs.filter((run) => run.schedule !== null && isUnended(run));
  const planned = scheduled
    .flatMap(({ id, schedule }) =>
      plannedRounds(schedule, { ...range, from: Math.max(range.from, now) }, MOST_ENTRIES + 1).map((one) => ({
        runId: id,
        ...one,
      })),
    )
    .sort((a, b) => a.at - b.at);
  const windows = scheduled
    .flatMap(({ id, schedule }) =>
      schedule === null ? [] : windowsWithin(schedule, range).map((window) => ({ runId: id, ...window })),
    )
    .sort((a, b) => a.from - b.from);
  const shown = {
    rounds: rounds.slice(0, MOST_ENTRIES),
    planned: planned.slice(0, MOST_ENTRIES),
    windows: windows.slice(0, MOST_ENTRIES),
  };
  const mentioned = new Set([...shown.rounds, ...shown.planned, ...shown.windows].map(({ runId }) => runId));
  return {
    from: range.from,
    to: range.until,
    runs: runs
      .filter(({ id }) => mentioned.has(id))
      .map(({ id, manifest, status, schedule }) => ({
        id,
        title: manifest.title,
        status,
        timeZone: schedule === null ? null : timeZoneOf(schedule),
      })),
    rounds: shown.rounds.map(calendarRound).sort((a, b) => a.startedAt - b.startedAt),
    planned: shown.planned,
    windows: shown.windows,
    isCut: [rounds, planned, windows].some((all) => all.length > MOST_ENTRIES),
  };
}

function calendarRound(round: RoundView): CalendarRound {
  const { id, runId, number, phase, cause, startedAt, endedAt, scheduledFor } = round;
  return { id, runId, number, phase, cause, startedAt, endedAt, scheduledFor };
}
