/** Schedules of runs, as operators read and change them, and the calendar of all runs. */

import {
  FedloraError,
  type CalendarQuery,
  type CalendarView,
  type RunSchedule,
  type SchedulePreview,
  type ScheduleView,
} from '@fedlora/shared';
import { seesRun, type Operator } from '../access/principal.js';
import { expectUnchanged } from '../api/entity-tag.js';
import type { AuditLog } from '../audit/audit-log.js';
import type { Origin } from '../audit/origin.js';
import type { Announcements } from '../observe/announcements.js';
import type { Log } from '../observe/log.js';
import type { RoundService } from '../rounds/round.service.js';
import type { RunService } from '../runs/run.service.js';
import { isUnended, type Run, type RunsRepository } from '../runs/runs.repository.js';
import { calendarOf, MOST_ENTRIES } from './calendar.js';
import { plannedRounds } from './planned-rounds.js';
import { expectNone, scheduleProblems } from './schedule-problems.js';
import { asAudited, givenParts } from './schedule-terms.js';

export interface ScheduleParts {
  readonly runs: RunsRepository;
  readonly runService: Pick<RunService, 'find' | 'lookAgain'>;
  readonly roundService: Pick<RoundService, 'viewsWithin'>;
  readonly audit: AuditLog;
  readonly announcements: Announcements;
  readonly log: Log;
  readonly now: () => number;
}

const PREVIEWED_ROUNDS = 5;
const DAY_MS = 24 * 3600_000;
const LONGEST_RANGE_MS = 100 * DAY_MS;

export class ScheduleService {
  constructor(private readonly parts: ScheduleParts) {}

  /** @throws FedloraError run/unknown */
  async of(runId: string): Promise<ScheduleView> {
    return viewOf(await this.parts.runService.find(runId));
  }

  /**
   * Replaces the schedule of a run that has not ended; one without parts takes it away. An open round goes on, and times before the change
   * are owed no round.
   *
   * @throws FedloraError run/unknown | run/not-running | request/changed | schedule/invalid
   */
  async replace(runId: string, wanted: RunSchedule, by: Origin, ifMatch?: string): Promise<ScheduleView> {
    const { runs, runService, audit, announcements, log, now } = this.parts;
    const schedule = givenParts(wanted);
    const changedAt = now();
    const changed = await audit.recording(async (trx) => {
      const run = await runs.byId(runId, trx);
      if (run === undefined) throw new FedloraError('run/unknown');
      if (!isUnended(run)) throw new FedloraError('run/not-running');
      expectUnchanged(ifMatch, viewOf(run));
      expectNone(problemsOf(run, schedule, changedAt));
      await runs.setSchedule(runId, schedule, changedAt, trx);
      const change = { before: { schedule: asAudited(run.schedule) }, after: { schedule: asAudited(schedule) } };
      const record = { event: 'run.schedule.changed', by, details: { runId }, ...change };
      return [record, { runId, schedule, changedAt }] as const;
    });
    log.info('run.schedule.changed', { runId, hasSchedule: schedule !== null });
    announcements.tell('run.changed', runId);
    runService.lookAgain(runId);
    return changed;
  }

  /** @throws FedloraError run/unknown */
  async preview(runId: string, wanted: RunSchedule): Promise<SchedulePreview> {
    const run = await this.parts.runService.find(runId);
    const now = this.parts.now();
    const schedule = givenParts(wanted);
    const problems = problemsOf(run, schedule, now);
    const range = { from: now, until: Number.MAX_SAFE_INTEGER };
    return { problems, next: problems.length > 0 ? [] : plannedRounds(schedule, range, PREVIEWED_ROUNDS) };
  }

  /** @throws FedloraError request/invalid */
  async calendar({ from, to, run: wanted }: CalendarQuery, seen: Pick<Operator, 'runs'>): Promise<CalendarView> {
    if (to <= from || to - from > LONGEST_RANGE_MS)
      throw new FedloraError('request/invalid', 'to must be after from, by at most 100 days.');
    const { runs, roundService, now } = this.parts;
    const all = (await runs.list()).filter(({ id }) => seesRun(seen, id) && (wanted == null || id === wanted));
    const range = { from, until: to };
    const ids = all.map(({ id }) => id);
    const rounds = await roundService.viewsWithin(ids, range, MOST_ENTRIES + 1);
    return calendarOf({ range, runs: all, rounds, now: now() });
  }
}

function viewOf(run: Run): ScheduleView {
  return { runId: run.id, schedule: run.schedule, changedAt: run.scheduleChangedAt };
}

function problemsOf(run: Run, schedule: RunSchedule | null, now: number): SchedulePreview['problems'] {
  const terms = { manifest: run.manifest, members: run.roster.members.length };
  return schedule === null ? [] : scheduleProblems(schedule, terms, now);
}
