/**
 * Runs: made from a description, driven round after round until they are complete, stopped or failed; paused in between, if asked.
 *
 * The driver never polls. It looks again when an organisation comes or changes state, when a round ends, when a schedule changes, and
 * when a wait is over; a long wait is looked at every minute, since clocks are set and machines sleep. What time, organisations and stop
 * rules say about the next round is decided in `schedule/`.
 */

import { randomBytes } from 'node:crypto';
import {
  canonicalJson,
  isCertified,
  manifestMessage,
  type CryptoProvider,
  type Manifest,
  type Roster,
} from '@fedlora/protocol';
import {
  FedloraError,
  type PlanProblem,
  type RunDescription,
  type RunPlanRequest,
  type RunPlanView,
  type RunSchedule,
  type RunStatus,
} from '@fedlora/shared';
import type { OptimizerStore } from '../adapters/optimizer-store.js';
import type { VersionStore } from '../adapters/version-store.js';
import type { VersionsRepository } from '../adapters/versions.repository.js';
import { firstAdapter } from '../aggregation/first-adapter.js';
import type { AuditLog } from '../audit/audit-log.js';
import { bySystem, type Origin } from '../audit/origin.js';
import type { OrganisationsRepository } from '../enrolment/organisations.repository.js';
import type { Revocations } from '../enrolment/revocations.js';
import type { Announcements } from '../observe/announcements.js';
import type { Log } from '../observe/log.js';
import type { RoundService } from '../rounds/round.service.js';
import type { RoundsRepository } from '../rounds/rounds.repository.js';
import { neededOrganisations } from '../schedule/needed-organisations.js';
import { quorumOf } from '../schedule/quorum.js';
import { expectNone, scheduleProblems } from '../schedule/schedule-problems.js';
import { asAudited, givenParts } from '../schedule/schedule-terms.js';
import { startTime, type LastRound, type StartTime } from '../schedule/start-time.js';
import { needsMeasurements, ruleThatStops } from '../schedule/stop-rules.js';
import type { Presence } from '../session/presence.js';
import type { CoordinatorKey } from '../storage/keys.js';
import type { Budget } from './budget.js';
import { budgetAdvice } from './declared-budgets.js';
import { forecast } from './forecast.js';
import { adviceOn, termsOrProblems, type Terms } from './plan-problems.js';
import { planRun } from './plan-run.js';
import { repositoryFor } from './repository-for.js';
import { isUnended, type Run, type RunsRepository } from './runs.repository.js';
import { Turns } from '../turns.js';

export interface RunParts {
  readonly runs: RunsRepository;
  readonly rounds: RoundsRepository;
  readonly roundService: RoundService;
  readonly organisations: OrganisationsRepository;
  readonly revocations: Revocations;
  readonly versions: VersionsRepository;
  readonly versionStore: VersionStore;
  readonly optimizerStore: OptimizerStore;
  readonly presence: Presence;
  readonly budget: Budget;
  readonly audit: AuditLog;
  readonly announcements: Announcements;
  readonly key: CoordinatorKey;
  readonly federationKey: string;
  readonly crypto: CryptoProvider;
  readonly log: Log;
  readonly now: () => number;
}

const PAUSED = 'An operator paused the run.';
/** Of a plan: the factors would be made for a run id that no run will have, and a large model's take long. */
const noDigest = (): Promise<string> => Promise.resolve('0'.repeat(64));
const MAXIMUM_CONSECUTIVE_ABORTS = 20;
/** A timer does not know that a clock was set, or that the machine slept. */
const LONGEST_WAIT_MS = 60_000;
/** After a look that failed, as on a full disk. */
const RETRY_MS = 10_000;
/** The key of the timer that looks at all runs again; no run has it as its id. */
const ALL_RUNS = '';

export class RunService {
  /** Why a run waits, in words for people. */
  private readonly waiting = new Map<string, string>();
  /** One pending look at each run. */
  private readonly timers = new Map<string, NodeJS.Timeout>();
  /** Since when a run has had a quorum without everyone. */
  private readonly quorumSince = new Map<string, number>();
  /** Looks at runs happen one after the other. */
  private readonly turns = new Turns();
  private isLookAtAllDue = false;
  private isClosing = false;

  constructor(private readonly parts: RunParts) {
    parts.presence.onChange = () => this.considerAll();
    parts.revocations.onChange = () => this.considerAll();
    parts.roundService.onEnded = (runId) => {
      // What is left of a paused run changes only here.
      parts.announcements.tell('run.changed', runId);
      this.consider(runId);
    };
  }

  /** Removes what a crash left behind. Before anything goes on: a resumed round writes to the same folders. */
  async tidy(): Promise<void> {
    const { runs, rounds, versionStore, optimizerStore, now } = this.parts;
    await versionStore.tidy(now());
    const newest = (await runs.unended()).map((run) => run.version);
    const bases = (await rounds.open()).map((round) => round.baseVersion);
    await optimizerStore.keepOnly(new Set([...newest, ...bases]));
  }

  /** Goes on with the runs that had not ended when the coordinator stopped. */
  async resume(): Promise<void> {
    const { organisations, presence } = this.parts;
    for (const { name, last_seen_at: seen } of await organisations.list())
      if (seen !== null) presence.remember(name, seen);
    this.considerAll();
  }

  /** Says what a description would become, and everything that is found wrong with it. */
  async plan({ epsilonCaps, ...description }: RunPlanRequest): Promise<RunPlanView> {
    const { terms, problems } = await termsOrProblems(description, (one) => this.termsOf(one, noDigest));
    const wrong = [...problems, ...this.problemsOfSchedule(givenParts(description.schedule), terms)];
    if (terms === undefined || wrong.length > 0) return { problems: wrong, plan: null };
    const { manifest, roster } = terms;
    const members = roster.members.map(({ name }) => name);
    const budgets = await this.parts.organisations.declaredBudgets();
    const plan = await forecast(manifest, description.base.shape, members, epsilonCaps ?? [], budgets);
    return { problems: [...adviceOn(manifest, members.length), ...budgetAdvice(plan)], plan };
  }

  /** @throws FedloraError run/invalid-description | ProtocolError manifest/invalid */
  private async termsOf(description: RunDescription, frozenDigest?: typeof noDigest): Promise<Terms> {
    const roster = await this.rosterOf(description.organisations);
    const runId = `run-${randomBytes(6).toString('hex')}`;
    const manifest = await planRun(description, runId, roster, frozenDigest);
    await repositoryFor(description, manifest, (name) => this.parts.runs.ofRepository(name));
    return { manifest, roster };
  }

  /** Starts a run: manifest signed, version 0 published, first round as soon as enough organisations are there. */
  async start(description: RunDescription, by: Origin): Promise<Run> {
    const { runs, rounds, versions, versionStore, optimizerStore, budget, audit, announcements, key, log, now } =
      this.parts;
    const terms = await this.termsOf(description);
    const { manifest, roster } = terms;
    const schedule = givenParts(description.schedule);
    expectNone(this.problemsOfSchedule(schedule, terms));
    const version = await versionStore.publish(manifest, await firstAdapter(manifest), {
      parent: null,
      roundId: null,
      completedRounds: 0,
      organisations: roster.members.length,
      epsilon: budget.epsilonAfter(manifest, 0),
      parentOnHeldOut: null,
      audits: [],
      createdAt: now(),
    });
    await optimizerStore.write(version.id, {});
    await rounds.transaction(async (trx) => {
      // Asked within the transaction: of two runs of one title that start at once, one takes another name.
      const repository = await repositoryFor(description, manifest, (name) => runs.ofRepository(name, trx));
      const run: Omit<Run, 'manifest' | 'roster' | 'manifestHash'> = {
        id: manifest.runId,
        manifestText: textOf(manifest),
        manifestSignature: key.sign(manifestMessage(manifest)),
        rosterText: textOf(roster),
        status: 'running',
        reason: null,
        createdAt: now(),
        endedAt: null,
        maximumConsecutiveAborts: description.maximumConsecutiveAborts ?? MAXIMUM_CONSECUTIVE_ABORTS,
        version: version.id,
        repository,
        completedRounds: 0,
        abortedRounds: 0,
        consecutiveAborts: 0,
        chargedRounds: 0,
        attempts: 0,
        previousSid: '0'.repeat(64),
        schedule,
        scheduleChangedAt: schedule === null ? null : now(),
      };
      await runs.add({ ...run, manifest, roster, manifestHash: version.manifestHash }, trx);
      await versions.add(version, trx);
      const { runId, title } = manifest;
      const details = { runId, title, repository, manifestHash: version.manifestHash };
      const after = { schedule: asAudited(schedule) };
      await audit.append({ event: 'run.started', by, details, ...(schedule === null ? {} : { after }) }, trx);
    });
    log.info('run.started', { runId: manifest.runId, rounds: manifest.rounds, organisations: roster.members.length });
    announcements.tell('version.published', version.id);
    announcements.tell('run.changed', manifest.runId);
    this.consider(manifest.runId);
    return this.find(manifest.runId);
  }

  /**
   * Pauses a run: no further round starts. The open one finishes, or with `abortRound` is aborted; asked of a paused run, the latter
   * still ends what goes on. A coordinator that stops in between may finish the round after all.
   *
   * @throws FedloraError run/unknown | run/not-running
   */
  async pause(runId: string, abortRound: boolean, by: Origin): Promise<Run> {
    // In turn with looks, so that none starts a round between the pause and its abort.
    await this.inTurn(async () => {
      const { runs, roundService, audit, log } = this.parts;
      const run = await this.find(runId);
      if (!isUnended(run)) throw new FedloraError('run/not-running');
      const aborts = abortRound && roundService.openRoundOf(runId) !== undefined;
      if (run.status === 'paused' && !aborts) return;
      await audit.recording(async (trx) => {
        // Unless it was paused already, or ended since.
        const isPaused = (await runs.pause(runId, PAUSED, trx)) || run.status === 'paused';
        if (!isPaused) throw new FedloraError('run/not-running');
        const change = { before: { status: run.status }, after: { status: 'paused' } };
        return [{ event: 'run.paused', by, details: { runId, abortsRound: aborts }, ...change }, undefined] as const;
      });
      this.waiting.delete(runId);
      this.quorumSince.delete(runId);
      this.clearTimer(runId);
      log.info('run.paused', { runId, abortsRound: aborts });
      if (aborts) await roundService.fail(runId, PAUSED);
    });
    this.parts.announcements.tell('run.changed', runId);
    return this.find(runId);
  }

  /** Lets a paused run go on. @throws FedloraError run/unknown | run/not-paused */
  async goOn(runId: string, by: Origin): Promise<Run> {
    const { runs, audit, announcements, log } = this.parts;
    await this.find(runId);
    await audit.recording(async (trx) => {
      if (!(await runs.resume(runId, trx))) throw new FedloraError('run/not-paused');
      const change = { before: { status: 'paused' }, after: { status: 'running' } };
      return [{ event: 'run.resumed', by, details: { runId }, ...change }, undefined] as const;
    });
    log.info('run.resumed', { runId });
    announcements.tell('run.changed', runId);
    this.consider(runId);
    return this.find(runId);
  }

  /** Looks at a run again, of which something changed that decides about its next round. */
  lookAgain(runId: string): void {
    this.consider(runId);
  }

  /** Stops a run: its open round is aborted, its newest version stays. @throws FedloraError run/unknown | run/not-running */
  async stop(runId: string, by: Origin): Promise<Run> {
    const run = await this.find(runId);
    if (!isUnended(run)) throw new FedloraError('run/not-running');
    await this.end(run, 'stopped', 'The operator stopped the run.', by);
    return this.find(runId);
  }

  /** @throws FedloraError run/unknown */
  async find(runId: string): Promise<Run> {
    const run = await this.parts.runs.byId(runId);
    if (run === undefined) throw new FedloraError('run/unknown');
    return run;
  }

  /** Why a run ended, or why it waits. */
  reasonOf(run: Run): string | null {
    return run.reason ?? this.waiting.get(run.id) ?? null;
  }

  close(): void {
    this.isClosing = true;
    for (const timer of this.timers.values()) clearTimeout(timer);
  }

  /** Looks at every run again, soon: one look that is still to come sees what every change before it made. */
  considerAll(): void {
    if (this.isLookAtAllDue) return;
    this.isLookAtAllDue = true;
    this.queue(async () => {
      this.isLookAtAllDue = false;
      try {
        for (const run of await this.parts.runs.unended()) await this.lookOrRetry(run.id);
      } catch (error) {
        this.parts.log.error('run.driver.failed', { err: error });
        this.after(RETRY_MS, ALL_RUNS, () => this.considerAll());
      }
    });
  }

  private consider(runId: string): void {
    this.queue(() => this.lookOrRetry(runId));
  }

  private queue(work: () => Promise<void>): void {
    void this.turns.take(async () => {
      if (!this.isClosing) await work();
    });
  }

  /** Does something while no run is looked at. */
  inTurn(work: () => Promise<void>): Promise<void> {
    return this.turns.take(work);
  }

  private async lookOrRetry(runId: string): Promise<void> {
    try {
      await this.look(runId);
    } catch (error) {
      this.parts.log.error('run.driver.failed', { runId, err: error });
      this.after(RETRY_MS, runId, () => this.consider(runId));
    }
  }

  /** Decides what a run does now: end, start a round, or wait and say why. */
  private async look(runId: string): Promise<void> {
    const { runs, roundService, organisations, presence, now } = this.parts;
    const run = await runs.byId(runId);
    if (run === undefined) return;
    if (!isUnended(run)) {
      await roundService.fail(runId, run.reason ?? 'The run has ended.');
      return roundService.forgetRun((await runs.byId(runId)) ?? run);
    }
    if (roundService.openRoundOf(runId) !== undefined) return;
    if (run.completedRounds >= run.manifest.rounds) return this.end(run, 'completed', 'All planned rounds are done.');
    const revoked = run.roster.members.filter(({ identity }) => this.parts.revocations.isRevoked(identity));
    if (revoked.length > 0) {
      const who = revoked.map(({ name }) => name).join(', ');
      return this.end(run, 'failed', `The key of ${who} was revoked. A new run has the members that remain.`);
    }
    const enough = await this.stopRuleOf(run);
    if (enough !== undefined) return this.end(run, 'completed', enough);
    if (run.status === 'paused') return;
    if (run.consecutiveAborts >= run.maximumConsecutiveAborts) {
      const last = (await roundService.viewsOf(runId, 1))[0]?.cause ?? 'unknown';
      return this.end(run, 'failed', `${run.consecutiveAborts} rounds in a row were aborted. The last: ${last}`);
    }
    const start = await this.startTimeOf(run);
    if (start.kind === 'wait') {
      this.quorumSince.delete(runId);
      return this.wait(run, start.why, start.forMs);
    }
    const members = run.roster.members.map(({ name }, index) => ({ name, index }));
    const out = await organisations.outOfRounds();
    const gone = members.flatMap(({ name }) => (out.get(name) === 'left' ? [name] : []));
    const needed = neededOrganisations(run.manifest);
    if (members.length - gone.length < needed) {
      const why = `${needed} organisations are needed, and ${gone.join(', ')} left the federation. A new run has the members that remain.`;
      return this.end(run, 'failed', why);
    }
    const ready = members.filter(
      ({ name }) => presence.isWilling(name) && !out.has(name) && !roundService.isBusy(name),
    );
    const absent = members.filter((member) => !ready.includes(member)).map(({ name }) => name);
    const attendance = {
      needed,
      ready: ready.length,
      absent,
      out,
      justLeft: absent.filter((name) => presence.wasHereRecently(name)),
      enoughSince: this.quorumSince.get(runId),
    };
    const quorum = quorumOf(attendance, run.schedule?.quorum, now());
    if (quorum.kind === 'wait') {
      if (quorum.isEnough) this.quorumSince.set(runId, attendance.enoughSince ?? now());
      else this.quorumSince.delete(runId);
      // A time of the schedule does not wait for ever.
      const left = start.until === undefined ? undefined : start.until - now() + 1;
      return this.wait(run, quorum.why, least(quorum.forMs, left));
    }
    this.quorumSince.delete(runId);
    this.waiting.delete(runId);
    this.clearTimer(runId);
    await roundService.start(run, ready, start.scheduledFor);
    this.parts.announcements.tell('run.changed', runId);
  }

  private async startTimeOf(run: Run): Promise<StartTime> {
    const { schedule, scheduleChangedAt, createdAt, consecutiveAborts } = run;
    const last = schedule === null && consecutiveAborts === 0 ? undefined : await this.lastRoundOf(run.id);
    return startTime({ schedule, since: scheduleChangedAt ?? createdAt, last, consecutiveAborts }, this.parts.now());
  }

  private async lastRoundOf(runId: string): Promise<LastRound | undefined> {
    const { rounds } = this.parts;
    const [last] = await rounds.ofRun(runId, 1);
    if (last?.finalState == null) return undefined;
    const { scheduledFor, startedAt, finalState } = last;
    return {
      scheduledFor,
      attempts: scheduledFor === null ? 1 : await rounds.attemptsAt(runId, scheduledFor),
      isDone: finalState.phase === 'done',
      endedAt: finalState.endedAt ?? startedAt,
    };
  }

  /** Which stop rule of its schedule ends a run now. */
  private async stopRuleOf(run: Run): Promise<string | undefined> {
    const { rounds, budget } = this.parts;
    const stop = run.schedule?.stop;
    if (stop === undefined) return undefined;
    return ruleThatStops(stop, {
      completedRounds: run.completedRounds,
      measurements: needsMeasurements(stop) ? await rounds.measurementsOf(run.id) : [],
      nextEpsilon: stop.epsilon === undefined ? null : budget.epsilonAfter(run.manifest, run.chargedRounds + 1),
    });
  }

  private problemsOfSchedule(schedule: RunSchedule | null, terms: Terms | undefined): PlanProblem[] {
    if (schedule === null) return [];
    const known = terms === undefined ? undefined : { manifest: terms.manifest, members: terms.roster.members.length };
    return scheduleProblems(schedule, known, this.parts.now(), {
      code: 'run/invalid-description',
      prefix: 'schedule.',
    });
  }

  private wait(run: Run, why: string, forMs?: number): void {
    if (this.waiting.get(run.id) !== why) {
      this.waiting.set(run.id, why);
      this.parts.log.info('run.waiting', { runId: run.id, why });
      this.parts.announcements.tell('run.changed', run.id);
    }
    this.clearTimer(run.id);
    if (forMs !== undefined) this.after(Math.min(forMs, LONGEST_WAIT_MS), run.id, () => this.consider(run.id));
  }

  private after(ms: number, key: string, look: () => void): void {
    if (this.isClosing) return;
    this.clearTimer(key);
    this.timers.set(key, setTimeout(look, ms));
  }

  private clearTimer(runId: string): void {
    clearTimeout(this.timers.get(runId));
    this.timers.delete(runId);
  }

  /** Ends a run and its open round; it is told when nothing is left of that. */
  private async end(run: Run, status: RunStatus, reason: string, by: Origin = bySystem): Promise<void> {
    const { runs, roundService, audit, presence, announcements, log, now } = this.parts;
    await audit.recording(async (trx) => {
      await runs.end(run.id, status, reason, now(), trx);
      const change = { before: { status: run.status }, after: { status, reason } };
      return [{ event: 'run.ended', by, details: { runId: run.id }, ...change }, undefined] as const;
    });
    try {
      await roundService.fail(run.id, reason);
    } finally {
      this.consider(run.id);
    }
    log.info('run.ended', { runId: run.id, status, reason });
    this.waiting.delete(run.id);
    this.clearTimer(run.id);
    for (const { name } of run.roster.members) presence.send(name, 'run.ended', { runId: run.id, cause: reason });
    announcements.tell('run.changed', run.id);
  }

  /** The certified organisations of a run that are neither suspended nor gone, in order of name. @throws FedloraError run/invalid-description */
  private async rosterOf(names: readonly string[] | null | undefined): Promise<Roster> {
    const { organisations, revocations, crypto, federationKey } = this.parts;
    const all = await organisations.list();
    const members = all.flatMap(({ name, identity, certificate, suspended_at: suspendedAt, left_at: leftAt }) =>
      certificate === null ||
      suspendedAt !== null ||
      leftAt !== null ||
      revocations.isRevoked(identity) ||
      !isCertified(crypto, federationKey, { name, identity, certificate })
        ? []
        : [{ name, identity, certificate }],
    );
    const unknown = (names ?? []).filter((name) => !members.some((member) => member.name === name));
    if (unknown.length > 0) {
      throw new FedloraError(
        'run/invalid-description',
        `organisations: not enrolled and certified, suspended or gone: ${unknown.join(', ')}.`,
        { details: { field: 'organisations' } },
      );
    }
    const chosen = names == null ? members : members.filter((member) => names.includes(member.name));
    if (chosen.length < 2) {
      throw new FedloraError(
        'run/invalid-description',
        `A run needs at least 2 certified organisations; there are ${chosen.length}.`,
        { details: { field: 'organisations' } },
      );
    }
    return { version: 1, members: chosen };
  }
}

/** The shorter of two waits, of which either may be without end. */
function least(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.min(a, b);
}

function textOf(value: Manifest | Roster): string {
  return Buffer.from(canonicalJson(value)).toString('utf8');
}
