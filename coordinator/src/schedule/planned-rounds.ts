/** The times at which rounds of a schedule are due, and when they can really start. */

import type { PlannedRound, RunSchedule } from '@fedlora/shared';
import { occurrencesOf } from './occurrences.js';
import { startWithinMs, timeZoneOf } from './schedule-terms.js';
import { windowEnd, type Span } from './windows.js';

/** In a range, at most `limit`, soonest first. */
export function plannedRounds(schedule: RunSchedule | null, range: Span, limit: number): PlannedRound[] {
  if (schedule?.cron === undefined) return [];
  const times = occurrencesOf(schedule.cron, timeZoneOf(schedule));
  const found: PlannedRound[] = [];
  let at = times.after(range.from - 1);
  let startsAt = Number.NEGATIVE_INFINITY;
  while (at !== undefined && at < range.until && found.length < limit) {
    const next = times.after(at);
    // Several may be in one window.
    if (startsAt <= at) startsAt = windowEnd(schedule, at) ?? at;
    const isLeftOut = startsAt > at + startWithinMs(schedule) || (next !== undefined && startsAt >= next);
    found.push({ at, startsAt: isLeftOut ? null : startsAt });
    at = next;
  }
  return found;
}

/** The next time at which a round is due, wherever windows are. */
export function nextTime(schedule: RunSchedule | null, now: number): number | null {
  return schedule?.cron === undefined ? null : (occurrencesOf(schedule.cron, timeZoneOf(schedule)).after(now) ?? null);
}
