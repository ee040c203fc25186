/** Everything that is wrong with a schedule for a run: one rule for `PUT`, preview, plan and start. */

import type { Manifest } from '@fedlora/protocol';
import { FedloraError, type ErrorCode, type PlanProblem, type RunSchedule } from '@fedlora/shared';
import { cronProblem, instantOf, isTimeZone } from './occurrences.js';
import { neededOrganisations } from './needed-organisations.js';
import { timeZoneOf } from './schedule-terms.js';
import { leavesNoTime } from './windows.js';

/** What of the run's terms a schedule must fit. */
export interface RunTerms {
  readonly manifest: Manifest;
  readonly members: number;
}

/** One that is wrong, by path within the schedule. */
type Found = Pick<PlanProblem, 'message' | 'remedy'> & { readonly field: string };

const problem = (field: string, message: string, remedy: string): Found => ({ field, message, remedy });

/**
 * @param terms `undefined` while they are not known: what depends on them is not looked at
 * @param code of the error that using the schedule would give
 * @param prefix of fields, such as `schedule.` where it is part of a run description
 */
export function scheduleProblems(
  schedule: RunSchedule,
  terms: RunTerms | undefined,
  now: number,
  { code = 'schedule/invalid', prefix = '' }: { readonly code?: ErrorCode; readonly prefix?: string } = {},
): PlanProblem[] {
  const found = isTimeZone(timeZoneOf(schedule))
    ? [...ofTimes(schedule, now), ...ofWindows(schedule)]
    : [
        problem(
          'timeZone',
          'is no time zone that is known here.',
          'Take a name of the IANA list, such as Europe/Berlin.',
        ),
      ];
  const ofTerms = terms === undefined ? [] : [...ofQuorum(schedule, terms), ...ofStopRules(schedule, terms)];
  return [...found, ...ofRetries(schedule), ...ofTerms].map(({ field, ...said }) => ({
    field: `${prefix}${field}`,
    code,
    ...said,
    severity: 'error',
  }));
}

/** @throws FedloraError of the problems' code: names every field */
export function expectNone(problems: readonly PlanProblem[]): void {
  const [first] = problems;
  if (first === undefined) return;
  const all = problems.map(({ field, message }) => `${field ?? 'schedule'} ${message}`).join(' ');
  // Safe: whoever made the problems gave them a code of the catalogue.
  throw new FedloraError(first.code as ErrorCode, all, { details: { field: first.field ?? 'schedule' } });
}

function ofTimes(schedule: RunSchedule, now: number): Found[] {
  const { cron, startWithinMinutes } = schedule;
  if (cron === undefined) {
    return startWithinMinutes === undefined
      ? []
      : [problem('startWithinMinutes', 'says nothing without cron.', 'Give cron, or leave it out.')];
  }
  const wrong = cronProblem(cron, timeZoneOf(schedule), now);
  return wrong === undefined
    ? []
    : [problem('cron', wrong, 'Take, for example, "0 3 * * mon-fri": at 03:00 on working days.')];
}

function ofWindows(schedule: RunSchedule): Found[] {
  const zone = timeZoneOf(schedule);
  const found = (schedule.windows ?? []).flatMap((window, i) => {
    const at = { from: existing(window.from, zone), until: existing(window.until, zone) };
    const missing = (['from', 'until'] as const).filter((end) => at[end] === undefined);
    if (missing.length > 0)
      return missing.map((end) =>
        problem(`windows.${i}.${end}`, 'is a day that does not exist.', 'Correct the day of the month.'),
      );
    return Number(at.until) > Number(at.from)
      ? []
      : [problem(`windows.${i}.until`, 'is not after from.', 'Give the end of the window, in the same time zone.')];
  });
  if (!leavesNoTime(schedule)) return found;
  return [...found, problem('weeklyWindows', 'leave no time in which a round could start.', 'Shorten one of them.')];
}

/** The instant of a local time on a day that the calendar has. */
function existing(local: string, zone: string): number | undefined {
  const [year, month, day] = local.slice(0, 10).split('-').map(Number);
  const isDay = new Date(Date.UTC(year, month - 1, day)).getUTCDate() === day;
  return isDay ? instantOf(local, zone) : undefined;
}

function ofQuorum({ quorum }: RunSchedule, { manifest, members }: RunTerms): Found[] {
  const needed = neededOrganisations(manifest);
  const most = Math.max(0, members - needed);
  if ((quorum?.beyondThreshold ?? 0) <= most) return [];
  return [
    problem(
      'quorum.beyondThreshold',
      `is more than there are: the run has ${members} organisations, of which a round needs ${needed}.`,
      `Take at most ${most}.`,
    ),
  ];
}

function ofRetries({ cron, retries }: RunSchedule): Found[] {
  const found: Found[] = [];
  if (retries?.attempts !== undefined && cron === undefined)
    found.push(
      problem(
        'retries.attempts',
        'says nothing without cron: a run without times tries until maximumConsecutiveAborts.',
        'Give cron, or leave it out.',
      ),
    );
  const { firstPauseSeconds: first, longestPauseSeconds: longest } = retries ?? {};
  if (first !== undefined && longest !== undefined && longest < first)
    found.push(
      problem('retries.longestPauseSeconds', 'is shorter than the first pause.', 'Take at least firstPauseSeconds.'),
    );
  return found;
}

function ofStopRules({ stop = {} }: RunSchedule, { manifest }: RunTerms): Found[] {
  const found: Found[] = [];
  if (stop.rounds !== undefined && stop.rounds > manifest.rounds)
    found.push(
      problem(
        'stop.rounds',
        `is more than the ${manifest.rounds} rounds of the run, after which it ends in any case.`,
        'Take less, or leave it out.',
      ),
    );
  if (manifest.metrics.evaluation === undefined) {
    for (const rule of ['heldOutLoss', 'heldOutAccuracy', 'noProgress'] as const) {
      if (stop[rule] !== undefined)
        found.push(
          problem(
            `stop.${rule}`,
            'needs held-out rows, which this run does not measure.',
            'Leave it out, or start a run with metrics.evaluation.',
          ),
        );
    }
  }
  if (stop.epsilon !== undefined && manifest.privacy.unit === 'none')
    found.push(problem('stop.epsilon', 'counts nothing in a run without differential privacy.', 'Leave it out.'));
  return found;
}
