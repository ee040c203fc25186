import * as fc from 'fast-check';
import { weekdays, type RunSchedule, type WeeklyWindow } from '@fedlora/shared';
import { describe, expect, it } from 'vitest';
import { leavesNoTime, windowEnd, windowsWithin } from './windows.js';

const at = (text: string): number => Date.parse(text);
const HOUR = 3600_000;

function spans(schedule: RunSchedule, from: string, until: string): string[] {
  return windowsWithin(schedule, { from: at(from), until: at(until) }).map(({ from: start, until: end }) =>
    [start, end].map((instant) => new Date(instant).toISOString().slice(0, 16)).join(' to '),
  );
}

const nights: RunSchedule = {
  timeZone: 'Europe/Berlin',
  weeklyWindows: [{ days: ['sat'], from: '22:00', until: '04:00' }],
};

describe('a maintenance window', () => {
  it('of every week lasts over midnight, and an hour less or more when clocks change in it', () => {
    expect(spans(nights, '2026-03-20T00:00Z', '2026-04-06T00:00Z')).toEqual([
      '2026-03-21T21:00 to 2026-03-22T03:00',
      '2026-03-28T21:00 to 2026-03-29T02:00',
      '2026-04-04T20:00 to 2026-04-05T02:00',
    ]);
    expect(spans(nights, '2026-10-24T00:00Z', '2026-10-26T00:00Z')).toEqual(['2026-10-24T20:00 to 2026-10-25T03:00']);
  });

  it('that has begun before a range is in it, and one that begins at its end is not', () => {
    expect(spans(nights, '2026-05-09T22:00Z', '2026-05-16T20:00Z')).toEqual(['2026-05-09T20:00 to 2026-05-10T02:00']);
  });

  it('ends where the next one leaves a gap: those that touch are one', () => {
    const schedule: RunSchedule = {
      weeklyWindows: [
        { days: ['mon'], from: '20:00', until: '00:00' },
        { days: ['tue'], from: '00:00', until: '02:00' },
      ],
      windows: [{ from: '2026-05-05T01:00', until: '2026-05-05T05:30' }],
    };
    expect(spans(schedule, '2026-05-04T12:00Z', '2026-05-06T00:00Z')).toEqual(['2026-05-04T20:00 to 2026-05-05T05:30']);
    expect(windowEnd(schedule, at('2026-05-04T20:00Z'))).toBe(at('2026-05-05T05:30Z'));
    expect(windowEnd(schedule, at('2026-05-04T19:59:59.999Z'))).toBeUndefined();
    expect(windowEnd(schedule, at('2026-05-05T05:30Z'))).toBeUndefined();
  });

  it('once is once, by the clock of the schedule’s zone', () => {
    const schedule: RunSchedule = {
      timeZone: 'Europe/Berlin',
      windows: [{ from: '2026-12-24T18:00', until: '2026-12-27T08:00' }],
    };
    expect(spans(schedule, '2026-01-01T00:00Z', '2028-01-01T00:00Z')).toEqual(['2026-12-24T17:00 to 2026-12-27T07:00']);
    expect(windowEnd(schedule, at('2026-12-25T00:00Z'))).toBe(at('2026-12-27T07:00Z'));
  });

  it('may not leave no time at all', () => {
    const all: WeeklyWindow = { days: [...weekdays], from: '06:00', until: '06:00' };
    expect(leavesNoTime({ weeklyWindows: [all] })).toBe(true);
    expect(leavesNoTime({ weeklyWindows: [{ ...all, days: ['mon', 'tue', 'wed', 'thu', 'fri', 'sat'] }] })).toBe(false);
    expect(leavesNoTime({ weeklyWindows: [{ ...all, until: '05:59' }] })).toBe(false);
    expect(leavesNoTime({})).toBe(false);
  });
});

const time = fc
  .integer({ min: 0, max: 24 * 60 - 1 })
  .map((minute) => `${String(Math.floor(minute / 60)).padStart(2, '0')}:${String(minute % 60).padStart(2, '0')}`);
const weekly = fc.record({ days: fc.subarray([...weekdays], { minLength: 1 }), from: time, until: time });
const zone = fc.constantFrom('UTC', 'Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'Asia/Kathmandu');
const schedules = fc
  .record({ timeZone: zone, weeklyWindows: fc.array(weekly, { minLength: 1, maxLength: 3 }) })
  .filter((schedule) => !leavesNoTime(schedule));
const instants = fc.integer({ min: at('2026-01-01T00:00Z'), max: at('2027-01-01T00:00Z') });

describe('the end of a window', () => {
  it('is after the instant, and itself in no window', () => {
    fc.assert(
      fc.property(schedules, instants, (schedule, instant) => {
        const end = windowEnd(schedule, instant);
        if (end === undefined) return;
        expect(end).toBeGreaterThan(instant);
        expect(windowEnd(schedule, end)).toBeUndefined();
      }),
      { numRuns: 200 },
    );
  });

  it('is there exactly where a window of the range is', () => {
    fc.assert(
      fc.property(schedules, instants, (schedule, instant) => {
        const here = windowsWithin(schedule, { from: instant - 48 * HOUR, until: instant + 48 * HOUR });
        const isIn = here.some(({ from, until }) => from <= instant && instant < until);
        expect(windowEnd(schedule, instant) !== undefined).toBe(isIn);
      }),
      { numRuns: 200 },
    );
  });

  it('away from changes of the clock is where the clock of the zone says', () => {
    // No zone of these changes its clock in June or July.
    const summer = fc.integer({ min: at('2026-06-01T00:00Z'), max: at('2026-07-31T00:00Z') });
    fc.assert(
      fc.property(zone, weekly, summer, (timeZone, window, instant) => {
        const clock = new Intl.DateTimeFormat('en-GB', { timeZone, weekday: 'short' });
        const local = new Date(instant).toLocaleTimeString('en-GB', { timeZone, hour: '2-digit', minute: '2-digit' });
        const day = weekdays.findIndex((name) => name === clock.format(instant).toLowerCase());
        const begins = (one: number): boolean => window.days.includes(weekdays[(one + 7) % 7]);
        const isOvernight = window.until <= window.from;
        const isIn = isOvernight
          ? (begins(day) && local >= window.from) || (begins(day - 1) && local < window.until)
          : begins(day) && local >= window.from && local < window.until;
        const schedule = { timeZone, weeklyWindows: [window] };
        if (!leavesNoTime(schedule)) expect(windowEnd(schedule, instant) !== undefined).toBe(isIn);
      }),
      { numRuns: 300 },
    );
  });
});
