import type { RunSchedule } from '@fedlora/shared';
import { describe, expect, it } from 'vitest';
import { aManifest } from '../../../test/support/a-manifest.js';
import { expectNone, scheduleProblems } from './schedule-problems.js';

const NOW = Date.parse('2026-05-01T00:00Z');
const manifest = { ...aManifest({}), rounds: 20 };
const measured = { ...manifest, metrics: { ...manifest.metrics, evaluation: { fraction: 0.1 } } };
const needed = Math.max(manifest.aggregation.threshold, manifest.privacy.minimumContributors);
const members = needed + 2;

function fieldsOf(schedule: RunSchedule): (string | null)[] {
  return scheduleProblems(schedule, { manifest, members }, NOW).map(({ field }) => field);
}

const everything: RunSchedule = {
  timeZone: 'Europe/Berlin',
  cron: '0 3 * * mon-fri',
  startWithinMinutes: 90,
  weeklyWindows: [{ days: ['sun'], from: '00:00', until: '00:00' }],
  windows: [{ from: '2026-12-24T18:00', until: '2026-12-27T08:00' }],
  quorum: { beyondThreshold: 2, waitSeconds: 600 },
  retries: { attempts: 3, firstPauseSeconds: 60, longestPauseSeconds: 600 },
  stop: { rounds: 20, heldOutLoss: 1, heldOutAccuracy: 0.9, epsilon: 8, noProgress: { rounds: 5, by: 0.01 } },
};

describe('what is wrong with a schedule', () => {
  it('is nothing where it fits the run', () => {
    expect(scheduleProblems(everything, { manifest: measured, members }, NOW)).toEqual([]);
    expect(scheduleProblems({}, { manifest, members }, NOW)).toEqual([]);
  });

  it.each<[string, RunSchedule, string]>([
    ['a zone that is none', { timeZone: 'Mars/Olympus' }, 'timeZone'],
    ['an expression that cannot be read', { cron: '99 3 * * *' }, 'cron'],
    ['a day that never comes', { cron: '0 0 31 2 *' }, 'cron'],
    ['a lateness without times', { startWithinMinutes: 5 }, 'startWithinMinutes'],
    [
      'a day that does not exist',
      { windows: [{ from: '2026-02-30T00:00', until: '2026-03-01T00:00' }] },
      'windows.0.from',
    ],
    [
      'a window that ends before it begins',
      { windows: [{ from: '2026-03-02T00:00', until: '2026-03-01T00:00' }] },
      'windows.0.until',
    ],
    [
      'windows without a gap',
      {
        weeklyWindows: [
          { days: ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'], from: '08:00', until: '20:00' },
          { days: ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'], from: '19:00', until: '08:30' },
        ],
      },
      'weeklyWindows',
    ],
    ['a quorum of more than there are', { quorum: { beyondThreshold: 3 } }, 'quorum.beyondThreshold'],
    ['attempts without times', { retries: { attempts: 2 } }, 'retries.attempts'],
    [
      'pauses that get shorter',
      { retries: { firstPauseSeconds: 9, longestPauseSeconds: 8 } },
      'retries.longestPauseSeconds',
    ],
    ['more rounds than the run has', { stop: { rounds: 21 } }, 'stop.rounds'],
    ['a target that nobody measures', { stop: { heldOutLoss: 1 } }, 'stop.heldOutLoss'],
    ['progress that nobody measures', { stop: { noProgress: { rounds: 2, by: 1 } } }, 'stop.noProgress'],
  ])('%s', (_what, schedule, field) => {
    expect(fieldsOf(schedule)).toEqual([field]);
  });

  it('is a budget where nothing is counted', () => {
    const open = { ...manifest, privacy: { ...manifest.privacy, unit: 'none' as const } };
    const [problem] = scheduleProblems({ stop: { epsilon: 8 } }, { manifest: open, members }, NOW);
    expect(problem.field).toBe('stop.epsilon');
  });

  it('is said of every field at once, under the code and the path of whoever asks', () => {
    const wrong: RunSchedule = { cron: 'nonsense', quorum: { beyondThreshold: 99 }, stop: { rounds: 99 } };
    const as = { code: 'run/invalid-description', prefix: 'schedule.' } as const;
    const problems = scheduleProblems(wrong, { manifest, members }, NOW, as);
    expect(problems.map(({ field }) => field)).toEqual([
      'schedule.cron',
      'schedule.quorum.beyondThreshold',
      'schedule.stop.rounds',
    ]);
    for (const { message, remedy } of problems) expect([message, remedy].join()).toMatch(/^[a-z].*\.,[A-Z].*\.$/);
    expect(() => expectNone(problems)).toThrow(/schedule\.cron must .*schedule\.stop\.rounds is/);
    // Before the terms are known, only what does not depend on them.
    expect(scheduleProblems(wrong, undefined, NOW).map(({ field }) => field)).toEqual(['cron']);
  });
});
