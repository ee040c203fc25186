/**
 * When a run's next round may start, as far as time has a say: `cron`, maintenance windows, and pauses after aborted rounds.
 *
 * A time of `cron` is one that a round is owed for. Only the last one counts: however many passed while the coordinator was down, the run
 * was paused, or a clock jumped, at most one round makes up for them, and only while it is not later than `startWithinMinutes`. A round
 * that was started for a time is never owed for an earlier one, so that a clock that is set back repeats nothing.
 */

import type { RunSchedule } from '@fedlora/shared';
import { localTime } from './local-time.js';
import { occurrencesOf } from './occurrences.js';
import { retryTerms, startWithinMs, timeZoneOf, type RetryTerms } from './schedule-terms.js';
import { windowEnd } from './windows.js';

/** The newest round of a run, which has ended. */
export interface LastRound {
  readonly scheduledFor: number | null;
  /** Rounds so far that were started for the same time. */
  readonly attempts: number;
  readonly isDone: boolean;
  readonly endedAt: number;
}

export interface RunInTime {
  readonly schedule: RunSchedule | null;
  /** Since when the schedule is this one: no earlier time is owed a round. */
  readonly since: number;
  readonly last: LastRound | undefined;
  /** Aborted rounds since the last that was done, or since an operator let the run go on. */
  readonly consecutiveAborts: number;
}

export type StartTime =
  /** `until`: when it is too late; `undefined` for never. */
  | { readonly kind: 'now'; readonly scheduledFor: number | null; readonly until?: number }
  | { readonly kind: 'wait'; readonly why: string; readonly forMs: number };

export function startTime(run: RunInTime, now: number): StartTime {
  const { schedule } = run;
  if (schedule?.cron === undefined) {
    const left =
      run.consecutiveAborts === 0 ? 0 : pauseLeft(run.last, run.consecutiveAborts, retryTerms(schedule), now);
    if (left > 0)
      return wait(`The last round was aborted; the next attempt begins in ${Math.ceil(left / 1000)} s.`, left);
    return outsideWindows(schedule, now, '') ?? { kind: 'now', scheduledFor: null };
  }
  return atItsTime({ ...run, schedule: { ...schedule, cron: schedule.cron } }, now);
}

function atItsTime(run: RunInTime & { readonly schedule: RunSchedule & { cron: string } }, now: number): StartTime {
  const { schedule, since, last } = run;
  const zone = timeZoneOf(schedule);
  const times = occurrencesOf(schedule.cron, zone);
  const at = times.lastUntil(now);
  const next = times.after(now);
  const untilNext = (before = ''): StartTime =>
    next === undefined
      ? wait(`${before}The schedule has no further time.`, Number.POSITIVE_INFINITY)
      : wait(`${before}The next round is due on ${localTime(next, zone)}.`, next - now);
  if (at === undefined || at <= since) return untilNext();

  const served = last?.scheduledFor ?? Number.NEGATIVE_INFINITY;
  if (last === undefined || at > served) {
    const until = at + startWithinMs(schedule);
    if (now > until) return untilNext(`The round of ${localTime(at, zone)} could not start in time and was left out. `);
    return outsideWindows(schedule, now, dueOn(at, zone)) ?? { kind: 'now', scheduledFor: at, until };
  }
  if (at < served || last.isDone) return untilNext();

  const terms = retryTerms(schedule);
  if (last.attempts >= terms.attempts) {
    const all = terms.attempts === 1 ? 'The attempt was aborted.' : `All ${terms.attempts} attempts were aborted.`;
    return untilNext(`${all} `);
  }
  const left = pauseLeft(last, last.attempts, terms, now);
  if (left > 0) {
    const attempt = `attempt ${last.attempts + 1} of ${terms.attempts}`;
    return wait(`The last round was aborted; ${attempt} begins in ${Math.ceil(left / 1000)} s.`, left);
  }
  return outsideWindows(schedule, now, dueOn(at, zone)) ?? { kind: 'now', scheduledFor: at };
}

/** What is left of the pause after some aborted rounds, milliseconds; never more than the pause, however clocks were set. */
function pauseLeft(last: LastRound | undefined, aborts: number, terms: RetryTerms, now: number): number {
  if (last === undefined) return 0;
  const pause = Math.min(terms.longestPauseMs, terms.firstPauseMs * 2 ** (aborts - 1));
  return Math.min(pause, last.endedAt + pause - now);
}

function outsideWindows(schedule: RunSchedule | null, now: number, before: string): StartTime | undefined {
  if (schedule === null) return undefined;
  const end = windowEnd(schedule, now);
  if (end === undefined) return undefined;
  return wait(
    `${before}No round starts in the maintenance window until ${localTime(end, timeZoneOf(schedule))}.`,
    end - now,
  );
}

function dueOn(at: number, zone: string): string {
  return `A round is due since ${localTime(at, zone)}. `;
}

function wait(why: string, forMs: number): StartTime {
  return { kind: 'wait', why, forMs };
}
