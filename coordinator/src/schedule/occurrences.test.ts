import { describe, expect, it } from 'vitest';
import { cronProblem, instantOf, occurrencesOf } from './occurrences.js';

const at = (text: string): number => Date.parse(text);
const iso = (instant: number | undefined): string | undefined =>
  instant === undefined ? undefined : new Date(instant).toISOString().replace(':00.000Z', 'Z');

/** The first times after an instant. */
function times(cron: string, zone: string, after: string, count: number): (string | undefined)[] {
  const occurrences = occurrencesOf(cron, zone);
  const found: (string | undefined)[] = [];
  for (let instant: number | undefined = at(after); found.length < count && instant !== undefined;) {
    instant = occurrences.after(instant);
    found.push(iso(instant));
  }
  return found;
}

describe('times of a cron expression', () => {
  it('keep their place in the day when clocks go forward', () => {
    // Berlin goes from UTC+1 to UTC+2 on 29 March 2026 at 02:00.
    expect(times('0 3 * * *', 'Europe/Berlin', '2026-03-28T00:00Z', 3)).toEqual([
      '2026-03-28T02:00Z',
      '2026-03-29T01:00Z',
      '2026-03-30T01:00Z',
    ]);
  });

  it('that do not exist when clocks go forward come at the end of the gap, once', () => {
    expect(times('30 2 * * *', 'Europe/Berlin', '2026-03-28T00:00Z', 3)).toEqual([
      '2026-03-28T01:30Z',
      '2026-03-29T01:00Z',
      '2026-03-30T00:30Z',
    ]);
    expect(times('30 2 * * *', 'America/New_York', '2026-03-08T00:00Z', 1)).toEqual(['2026-03-08T07:00Z']);
  });

  it('that come twice when clocks go back count the first time only', () => {
    expect(times('30 2 * * *', 'Europe/Berlin', '2026-10-24T12:00Z', 2)).toEqual([
      '2026-10-25T00:30Z',
      '2026-10-26T01:30Z',
    ]);
    // Also one of several times of a day.
    expect(times('30 2,14 * * *', 'Europe/Berlin', '2026-10-24T13:00Z', 2)).toEqual([
      '2026-10-25T00:30Z',
      '2026-10-25T13:30Z',
    ]);
  });

  it('of every hour come every hour on the days that have 23 and 25', () => {
    expect(times('0 * * * *', 'Europe/Berlin', '2026-03-28T23:30Z', 3)).toEqual([
      '2026-03-29T00:00Z',
      '2026-03-29T01:00Z',
      '2026-03-29T02:00Z',
    ]);
    expect(times('0 * * * *', 'Europe/Berlin', '2026-10-24T23:30Z', 3)).toEqual([
      '2026-10-25T00:00Z',
      '2026-10-25T01:00Z',
      '2026-10-25T02:00Z',
    ]);
  });

  it('are found backwards from the instant itself on, to the millisecond', () => {
    const { after, lastUntil } = occurrencesOf('0 3 * * *', 'UTC');
    const three = at('2026-05-01T03:00:00.000Z');
    expect([lastUntil(three - 1), lastUntil(three), lastUntil(three + 1)].map(iso)).toEqual([
      '2026-04-30T03:00Z',
      '2026-05-01T03:00Z',
      '2026-05-01T03:00Z',
    ]);
    expect([after(three - 1), after(three), after(three - 500)].map(iso)).toEqual([
      '2026-05-01T03:00Z',
      '2026-05-02T03:00Z',
      '2026-05-01T03:00Z',
    ]);
  });
});

describe('what is wrong with a cron expression', () => {
  const now = at('2026-05-01T00:00Z');
  it.each([
    ['* * * * * *', 'five fields'],
    ['@daily', 'five fields'],
    ['2026-12-24T18:00:00', 'five fields'],
    ['60 * * * *', 'minute'],
    ['0 3 * * someday', 'cannot be read'],
    ['0 0 30 2 *', 'never comes'],
  ])('%s', (cron, said) => {
    expect(cronProblem(cron, 'UTC', now)).toContain(said);
  });

  it('is nothing with names of days, lists, ranges and steps', () => {
    for (const cron of ['0 3 * * mon-fri', '*/15 8-18 * * *', '0 0 1,15 * *', '0 4 29 2 *', '0 3 * * MON#2'])
      expect(cronProblem(cron, 'Europe/Berlin', now)).toBeUndefined();
  });
});

describe('a local date and time', () => {
  it('is an instant by the clock of its zone, also within the hour that is skipped and the one that is repeated', () => {
    expect(iso(instantOf('2026-12-24T18:00', 'Europe/Berlin'))).toBe('2026-12-24T17:00Z');
    expect(iso(instantOf('2026-03-29T02:30', 'Europe/Berlin'))).toBe('2026-03-29T01:30Z');
    expect(iso(instantOf('2026-10-25T02:30', 'Europe/Berlin'))).toBe('2026-10-25T00:30Z');
  });
});
