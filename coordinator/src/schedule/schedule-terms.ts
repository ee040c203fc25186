/** A schedule's defaults, and its form without the parts that ask for nothing. */

import type { NoProgressRule, PlainObject, RunSchedule } from '@fedlora/shared';

const MINUTE_MS = 60_000;

export function timeZoneOf({ timeZone }: RunSchedule): string {
  return timeZone ?? 'UTC';
}

/** How late a round may start after its time, milliseconds. */
export function startWithinMs({ startWithinMinutes }: RunSchedule): number {
  return (startWithinMinutes ?? 60) * MINUTE_MS;
}

export interface RetryTerms {
  /** At each time of `cron`. */
  readonly attempts: number;
  readonly firstPauseMs: number;
  readonly longestPauseMs: number;
}

/** Of a run whose schedule says nothing about times and retries. */
const UNSCHEDULED: RetryTerms = { attempts: Number.POSITIVE_INFINITY, firstPauseMs: 500, longestPauseMs: 30_000 };

export function retryTerms(schedule: RunSchedule | null): RetryTerms {
  if (schedule?.cron === undefined && schedule?.retries === undefined) return UNSCHEDULED;
  const { attempts = 3, firstPauseSeconds = 30, longestPauseSeconds = 600 } = schedule.retries ?? {};
  return {
    attempts: schedule.cron === undefined ? Number.POSITIVE_INFINITY : attempts,
    firstPauseMs: 1000 * firstPauseSeconds,
    longestPauseMs: 1000 * Math.max(firstPauseSeconds, longestPauseSeconds),
  };
}

export function metricOf({ of }: NoProgressRule): 'loss' | 'accuracy' {
  return of ?? 'loss';
}

/** The parts that were given, as plain JSON; `null` if there are none. */
export function givenParts(schedule: RunSchedule | null | undefined): RunSchedule | null {
  // Safe: parts are only left out, and every part may be.
  return (given(schedule) as RunSchedule | undefined) ?? null;
}

/** As the audit log keeps it. */
export function asAudited(schedule: RunSchedule | null): PlainObject | null {
  // Safe: `givenParts` makes plain JSON.
  return schedule as unknown as PlainObject | null;
}

function given(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 0 ? undefined : value.map(given);
  if (typeof value !== 'object' || value === null) return value ?? undefined;
  const parts = Object.entries(value).flatMap(([name, part]: [string, unknown]) => {
    const kept = given(part);
    return kept === undefined ? [] : [[name, kept] as const];
  });
  return parts.length === 0 ? undefined : Object.fromEntries(parts);
}
