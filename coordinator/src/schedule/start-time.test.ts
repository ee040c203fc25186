import * as fc from 'fast-check';
import type { RunSchedule } from '@fedlora/shared';
import { describe, expect, it } from 'vitest';
import { occurrencesOf } from './occurrences.js';
import { retryTerms, startWithinMs } from './schedule-terms.js';
import { startTime, type LastRound, type RunInTime, type StartTime } from './start-time.js';
import { windowEnd } from './windows.js';

const at = (text: string): number => Date.parse(text);
const nightly: RunSchedule = { timeZone: 'Europe/Berlin', cron: '0 3 * * *' };
/** 03:00 in Berlin. */
const THREE = at('2026-05-02T01:00Z');
const MINUTE = 60_000;

function aRun(schedule: RunSchedule | null, last?: Partial<LastRound>, consecutiveAborts = 0): RunInTime {
  return {
    schedule,
    since: at('2026-05-01T12:00Z'),
    last:
      last === undefined
        ? undefined
        : { scheduledFor: null, attempts: 1, isDone: true, endedAt: THREE - MINUTE, ...last },
    consecutiveAborts,
  };
}

const why = (time: StartTime): string => (time.kind === 'wait' ? time.why : 'now');

describe('a run without a schedule', () => {
  it('starts its next round at once', () => {
    expect(startTime(aRun(null), THREE)).toEqual({ kind: 'now', scheduledFor: null });
    expect(startTime(aRun(null, {}), THREE)).toEqual({ kind: 'now', scheduledFor: null });
  });

  it('pauses after aborted rounds: half a second, doubled for each in a row, up to half a minute', () => {
    const left = (aborts: number, ms: number): number => {
      const decision = startTime(aRun(null, { isDone: false, endedAt: THREE }, aborts), THREE + ms);
      return decision.kind === 'wait' ? decision.forMs : 0;
    };
    expect([left(1, 0), left(2, 0), left(3, 400), left(20, 0), left(1, 500)]).toEqual([500, 1000, 1600, 30_000, 0]);
  });
});

describe('a run with times', () => {
  it('waits for its next time, and says which', () => {
    expect(startTime(aRun(nightly), THREE - 1)).toEqual({
      kind: 'wait',
      why: 'The next round is due on Sat 2 May 2026, 03:00 (Europe/Berlin).',
      forMs: 1,
    });
  });

  it('starts a round for each time, and none twice', () => {
    expect(startTime(aRun(nightly), THREE)).toEqual({ kind: 'now', scheduledFor: THREE, until: THREE + 60 * MINUTE });
    expect(why(startTime(aRun(nightly, { scheduledFor: THREE }), THREE + 1))).toContain('Sun 3 May');
  });

  it('makes up for the last time that it missed, unless that is too long ago: then it is left out, and it says so', () => {
    // Away for three nights: the coordinator comes back at half past three, or at noon.
    const back = at('2026-05-05T01:30Z');
    expect(startTime(aRun(nightly), back)).toMatchObject({ kind: 'now', scheduledFor: at('2026-05-05T01:00Z') });
    const noon = startTime(aRun(nightly), at('2026-05-05T10:00Z'));
    expect(why(noon)).toBe(
      'The round of Tue 5 May 2026, 03:00 (Europe/Berlin) could not start in time and was left out. ' +
        'The next round is due on Wed 6 May 2026, 03:00 (Europe/Berlin).',
    );
    const patient = { ...nightly, startWithinMinutes: 12 * 60 };
    expect(startTime(aRun(patient), at('2026-05-05T10:00Z'))).toMatchObject({ kind: 'now' });
  });

  it('owes nothing for times before the schedule was set', () => {
    expect(why(startTime({ ...aRun(nightly), since: THREE }, THREE + MINUTE))).toContain('Sun 3 May');
  });

  it('repeats nothing when the clock is set back', () => {
    const run = aRun(nightly, { scheduledFor: THREE });
    expect(startTime(run, THREE - 24 * 60 * MINUTE)).toMatchObject({ kind: 'wait' });
  });

  it('starts nothing in a maintenance window, and afterwards if it is not too late', () => {
    const windows = [{ from: '2026-05-02T02:30', until: '2026-05-02T03:45' }];
    const run = aRun({ ...nightly, windows });
    expect(startTime(run, THREE)).toEqual({
      kind: 'wait',
      why:
        'A round is due since Sat 2 May 2026, 03:00 (Europe/Berlin). ' +
        'No round starts in the maintenance window until Sat 2 May 2026, 03:45 (Europe/Berlin).',
      forMs: 45 * MINUTE,
    });
    expect(startTime(run, THREE + 45 * MINUTE)).toMatchObject({ kind: 'now', scheduledFor: THREE });
  });

  it('tries an aborted round again after a pause, twice as long each time, as often as it may', () => {
    const schedule = { ...nightly, retries: { attempts: 3, firstPauseSeconds: 60, longestPauseSeconds: 90 } };
    const after = (attempts: number, ms: number): StartTime =>
      startTime(aRun(schedule, { scheduledFor: THREE, attempts, isDone: false, endedAt: THREE }, attempts), THREE + ms);
    expect(after(1, 0)).toEqual({
      kind: 'wait',
      why: 'The last round was aborted; attempt 2 of 3 begins in 60 s.',
      forMs: 60_000,
    });
    expect(after(1, 60_000)).toEqual({ kind: 'now', scheduledFor: THREE });
    expect(after(2, 60_000)).toMatchObject({ kind: 'wait', forMs: 30_000 });
    expect(after(2, 90_000)).toEqual({ kind: 'now', scheduledFor: THREE });
    expect(why(after(3, 90_000))).toBe(
      'All 3 attempts were aborted. The next round is due on Sun 3 May 2026, 03:00 (Europe/Berlin).',
    );
  });
});

/** A coordinator that asks now and then, by a clock that somebody sets, and whose rounds take their time and may be aborted. */
interface Step {
  /** How far the clock is when it asks again; negative when it was set back. */
  readonly byMs: number;
  readonly roundMs: number;
  readonly isDone: boolean;
}

const MOST_DAYS = 3;
const steps = fc.array(
  fc.record({
    byMs: fc.oneof(
      { weight: 8, arbitrary: fc.integer({ min: 1, max: 90 * MINUTE }) },
      fc.integer({ min: -MOST_DAYS * 1440 * MINUTE, max: MOST_DAYS * 1440 * MINUTE }),
    ),
    roundMs: fc.integer({ min: 1, max: 30 * MINUTE }),
    isDone: fc.boolean(),
  }),
  { minLength: 1, maxLength: 60 },
);
const schedules: fc.Arbitrary<RunSchedule & { cron: string }> = fc.record({
  timeZone: fc.constantFrom('UTC', 'Europe/Berlin', 'America/New_York'),
  cron: fc.constantFrom('0 3 * * *', '30 2 * * *', '*/20 * * * *', '0 */6 * * *', '15 1,2,13 * * mon-fri'),
  startWithinMinutes: fc.integer({ min: 1, max: 600 }),
  weeklyWindows: fc.constantFrom([], [{ days: ['sun' as const, 'wed' as const], from: '01:30', until: '03:10' }]),
  retries: fc.record({ attempts: fc.integer({ min: 1, max: 4 }) }),
});
/** Near the changes of the clock of 2026, and away from them. */
const beginnings = fc.constantFrom('2026-03-07', '2026-03-27', '2026-06-05', '2026-10-23', '2026-10-31').map(at);

interface Started {
  readonly at: number;
  readonly scheduledFor: number;
  readonly attempt: number;
}

function drive(schedule: RunSchedule, since: number, all: readonly Step[]): Started[] {
  const started: Started[] = [];
  let now = since;
  let last: LastRound | undefined;
  let aborts = 0;
  for (const { byMs, roundMs, isDone } of all) {
    now += byMs;
    const decision = startTime({ schedule, since, last, consecutiveAborts: aborts }, now);
    if (decision.kind === 'wait') {
      expect(decision.forMs).toBeGreaterThan(0);
      continue;
    }
    const scheduledFor = decision.scheduledFor ?? Number.NaN;
    const attempts = started.filter((one) => one.scheduledFor === scheduledFor).length + 1;
    started.push({ at: now, scheduledFor, attempt: attempts });
    now += roundMs;
    last = { scheduledFor, attempts, isDone, endedAt: now };
    aborts = isDone ? 0 : aborts + 1;
  }
  return started;
}

describe('however often it is asked, however clocks are set and rounds end, a run with times', () => {
  it('starts rounds for times of its expression that have come, in order, each as often as it may and not too late', () => {
    fc.assert(
      fc.property(schedules, beginnings, steps, (schedule, since, all) => {
        const times = occurrencesOf(schedule.cron, schedule.timeZone ?? '');
        const started = drive(schedule, since, all);
        started.forEach((one, i) => {
          expect(times.lastUntil(one.scheduledFor)).toBe(one.scheduledFor);
          expect(one.scheduledFor).toBeGreaterThan(since);
          expect(one.scheduledFor).toBeLessThanOrEqual(one.at);
          expect(one.attempt).toBeLessThanOrEqual(retryTerms(schedule).attempts);
          if (one.attempt === 1) expect(one.at - one.scheduledFor).toBeLessThanOrEqual(startWithinMs(schedule));
          if (i > 0) expect(one.scheduledFor).toBeGreaterThanOrEqual(started[i - 1].scheduledFor);
        });
      }),
    );
  });

  it('starts none in a maintenance window', () => {
    fc.assert(
      fc.property(schedules, beginnings, steps, (schedule, since, all) => {
        for (const one of drive(schedule, since, all)) expect(windowEnd(schedule, one.at)).toBeUndefined();
      }),
    );
  });

  it('starts one round, and no burst, after any gap', () => {
    fc.assert(
      fc.property(schedules, beginnings, fc.integer({ min: 1, max: 40 }), (schedule, since, days) => {
        const back: Step = { byMs: days * 1440 * MINUTE, roundMs: 1, isDone: true };
        const again: Step = { byMs: 1, roundMs: 1, isDone: true };
        const next = occurrencesOf(schedule.cron, schedule.timeZone ?? '').after(since + back.byMs) ?? 0;
        fc.pre(next > since + back.byMs + 100);
        expect(drive(schedule, since, [back, ...Array<Step>(20).fill(again)]).length).toBeLessThanOrEqual(1);
      }),
      { numRuns: 30 },
    );
  });

  it('starts a round at each time when it is asked at the end of each wait', () => {
    fc.assert(
      fc.property(schedules, beginnings, (schedule, since) => {
        let now = since;
        let last: LastRound | undefined;
        const until = since + MOST_DAYS * 1440 * MINUTE;
        const served: number[] = [];
        while (now < until) {
          const decision = startTime({ schedule, since, last, consecutiveAborts: 0 }, now);
          if (decision.kind === 'wait') now += decision.forMs;
          else {
            served.push(decision.scheduledFor ?? Number.NaN);
            last = { scheduledFor: decision.scheduledFor, attempts: 1, isDone: true, endedAt: now };
          }
        }
        const times = occurrencesOf(schedule.cron, schedule.timeZone ?? '');
        for (let time = times.after(since); time !== undefined && time < until; time = times.after(time)) {
          if (windowEnd(schedule, time) === undefined) expect(served).toContain(time);
        }
      }),
      { numRuns: 20 },
    );
  });
});
