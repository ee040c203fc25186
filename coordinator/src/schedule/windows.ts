/** Maintenance windows as spans of time. */

import { weekdays, type RunSchedule, type WeeklyWindow } from '@fedlora/shared';
import { instantOf, occurrencesOf } from './occurrences.js';
import { timeZoneOf } from './schedule-terms.js';

/** Unix milliseconds, from inclusive to exclusive. */
export interface Span {
  readonly from: number;
  readonly until: number;
}

/** More links of windows than a schedule without `leavesNoTime` can have in a row. */
const MOST_LINKS = 1000;

/** The windows that overlap a range, by beginning; those that touch each other are one. */
export function windowsWithin(schedule: RunSchedule, { from, until }: Span): Span[] {
  const zone = timeZoneOf(schedule);
  const spans = [
    ...(schedule.weeklyWindows ?? []).flatMap((window) => weeklyWithin(window, zone, { from, until })),
    ...oneOffs(schedule).filter((window) => window.from < until && window.until > from),
  ];
  const joined: Span[] = [];
  for (const span of spans.sort((a, b) => a.from - b.from)) {
    const last = joined.at(-1);
    if (last === undefined || span.from > last.until) joined.push(span);
    else joined[joined.length - 1] = { from: last.from, until: Math.max(last.until, span.until) };
  }
  return joined;
}

/** When clocks change, a window may be so far from where the local time puts it. */
const CLOCK_CHANGE_MINUTES = 120;

/** When the windows that an instant lies in, and those that follow without a break, are over; `undefined` outside of windows. */
export function windowEnd(schedule: RunSchedule, instant: number): number | undefined {
  if ((schedule.windows ?? []).length === 0 && !isNearWeekly(schedule, instant)) return undefined;
  let end = instant;
  for (let links = 0; links < MOST_LINKS; links += 1) {
    const [here] = windowsWithin(schedule, { from: end, until: end + 1 });
    if (here === undefined) break;
    end = here.until;
  }
  return end === instant ? undefined : end;
}

/** Whether the weekly windows cover the whole week. */
export function leavesNoTime({ weeklyWindows }: RunSchedule): boolean {
  const isCovered = new Uint8Array(WEEK_MINUTES);
  for (const { start, length } of (weeklyWindows ?? []).flatMap(minutesOfWeek)) {
    for (let minute = start; minute < start + length; minute += 1) isCovered[minute % WEEK_MINUTES] = 1;
  }
  return isCovered.every((covered) => covered === 1);
}

const DAY_MINUTES = 24 * 60;
const WEEK_MINUTES = 7 * DAY_MINUTES;

/** A weekly window by the clock: beginnings in minutes since Monday, and the length. */
function minutesOfWeek({ days, from, until }: WeeklyWindow): { readonly start: number; readonly length: number }[] {
  const begins = minutesOf(from);
  const length = (minutesOf(until) - begins + DAY_MINUTES) % DAY_MINUTES || DAY_MINUTES;
  return days.map((day) => ({ start: weekdays.indexOf(day) * DAY_MINUTES + begins, length }));
}

/** Tells cheaply that an instant is in no weekly window; one that is near enough to be in one is looked at closely. */
function isNearWeekly(schedule: RunSchedule, instant: number): boolean {
  const windows = (schedule.weeklyWindows ?? []).flatMap(minutesOfWeek);
  if (windows.length === 0) return false;
  const minute = minuteOfWeek(instant, timeZoneOf(schedule));
  return windows.some(({ start, length }) => {
    const into = (minute - start + CLOCK_CHANGE_MINUTES + 2 * WEEK_MINUTES) % WEEK_MINUTES;
    return into < length + 2 * CLOCK_CHANGE_MINUTES;
  });
}

function minuteOfWeek(instant: number, timeZone: string): number {
  const parts = clockOf(timeZone).formatToParts(instant);
  const of = (type: Intl.DateTimeFormatPartTypes): string => parts.find((part) => part.type === type)?.value ?? '';
  const day = weekdays.findIndex((name) => name === of('weekday').toLowerCase());
  return day * DAY_MINUTES + 60 * Number(of('hour')) + Number(of('minute'));
}

const clocks = new Map<string, Intl.DateTimeFormat>();

function clockOf(timeZone: string): Intl.DateTimeFormat {
  let clock = clocks.get(timeZone);
  if (clock === undefined) {
    clock = new Intl.DateTimeFormat('en', {
      timeZone,
      weekday: 'short',
      hour: '2-digit',
      minute: '2-digit',
      hourCycle: 'h23',
    });
    clocks.set(timeZone, clock);
  }
  return clock;
}

function minutesOf(time: string): number {
  const [hours, minutes] = time.split(':').map(Number);
  return 60 * hours + minutes;
}

function weeklyWithin({ days, from, until }: WeeklyWindow, zone: string, range: Span): Span[] {
  const begins = occurrencesOf(`${minuteAndHour(from)} * * ${days.join(',')}`, zone);
  const ends = occurrencesOf(`${minuteAndHour(until)} * * *`, zone);
  const found: Span[] = [];
  // The first may have begun before the range.
  let start = begins.lastUntil(range.from) ?? begins.after(range.from);
  for (; start !== undefined && start < range.until; start = begins.after(start)) {
    const end = ends.after(start);
    if (end !== undefined && end > range.from) found.push({ from: start, until: end });
  }
  return found;
}

function minuteAndHour(time: string): string {
  const minutes = minutesOf(time);
  return `${minutes % 60} ${Math.floor(minutes / 60)}`;
}

function oneOffs(schedule: RunSchedule): Span[] {
  const zone = timeZoneOf(schedule);
  return (schedule.windows ?? []).flatMap(({ from, until }) => {
    const [start, end] = [instantOf(from, zone), instantOf(until, zone)];
    return start === undefined || end === undefined ? [] : [{ from: start, until: end }];
  });
}
