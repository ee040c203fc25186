/** A schedule while it is being edited, and how it is told in a line. */

import type { RunSchedule } from '@fedlora/shared';

/** The value with one part set, or without it. */
export function withPart<Whole extends object, Name extends keyof Whole>(
  whole: Whole,
  name: Name,
  value: Whole[Name] | undefined,
): Whole {
  const parts = Object.entries(whole).filter(([key]) => key !== name);
  // Safe: parts of a schedule may be left out.
  return Object.fromEntries(value === undefined ? parts : [...parts, [name, value]]) as unknown as Whole;
}

/** What of a schedule an operator wants to see first. */
export function summaryOf(schedule: RunSchedule | null): string {
  if (schedule === null) return 'No schedule: rounds follow each other.';
  const { cron, timeZone = 'UTC', weeklyWindows = [], windows = [], quorum, retries, stop } = schedule;
  const windowCount = weeklyWindows.length + windows.length;
  const others = [
    ...(windowCount === 0 ? [] : [`${windowCount} maintenance window${windowCount === 1 ? '' : 's'}`]),
    ...(quorum === undefined ? [] : ['quorum']),
    ...(retries === undefined ? [] : ['retries']),
    ...(stop === undefined ? [] : [`stops by ${Object.keys(stop).join(', ')}`]),
  ];
  const times = cron === undefined ? 'Rounds follow each other' : `${cron} (${timeZone})`;
  return [times, ...others].join('; ');
}
