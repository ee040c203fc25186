/** Schedules and the calendar as the HTTP API shows them; times as Unix milliseconds. */

import type { RunSchedule } from '../run/schedule.js';
import type { PlanProblem, RoundView, RunStatus } from './views.js';

/** The schedule of a run: what `If-Match` of a change is held against. */
export interface ScheduleView {
  readonly runId: string;
  /** `null`: rounds follow each other. */
  readonly schedule: RunSchedule | null;
  /** Since when it is this one; `null` if the run never had one. */
  readonly changedAt: number | null;
}

/** What a schedule would mean for a run, before it is set. */
export interface SchedulePreview {
  readonly problems: readonly PlanProblem[];
  /** The next times at which a round is due, at most five; empty without `cron`, and while there are problems. */
  readonly next: readonly PlannedRound[];
}

/** A time at which a round is due. */
export interface PlannedRound {
  readonly at: number;
  /** Later than `at` if a maintenance window is in the way; `null` if that keeps it for too long, so that it is left out. */
  readonly startsAt: number | null;
}

/** A range of time, as far as the asker sees the runs in it. */
export interface CalendarView {
  readonly from: number;
  readonly to: number;
  /** Runs with anything in the range. */
  readonly runs: readonly CalendarRun[];
  /** By start. */
  readonly rounds: readonly CalendarRound[];
  /** From now on, by time. */
  readonly planned: readonly (PlannedRound & { readonly runId: string })[];
  /** Maintenance windows, by beginning. */
  readonly windows: readonly { readonly runId: string; readonly from: number; readonly until: number }[];
  /** There is more than the answer holds: ask for a shorter range. */
  readonly isCut: boolean;
}

export interface CalendarRun {
  readonly id: string;
  readonly title: string;
  readonly status: RunStatus;
  /** Of its schedule; `null` without one. */
  readonly timeZone: string | null;
}

export type CalendarRound = Pick<
  RoundView,
  'id' | 'runId' | 'number' | 'phase' | 'cause' | 'startedAt' | 'endedAt' | 'scheduledFor'
>;
