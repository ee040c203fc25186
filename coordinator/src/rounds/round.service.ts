/**
 * Performs what the round machine decides: stores each event first, then asks, waits, concludes and ends.
 *
 * One event of a round is handled after the other. Everything needed to go on is on disk before an effect begins, so a coordinator
 * that is killed at any instant goes on with the same round when it starts again. Answers that come while others are being stored
 * are stored together: a commit takes the disk's time, and a thousand participants answer at once.
 */

import type { Transaction } from 'kysely';
import type { CryptoProvider } from '@fedlora/protocol';
import {
  errorEntry,
  FedloraError,
  limits,
  type ErrorCode,
  type PlainObject,
  type RequestPhase,
  type RoundDecline,
  type RoundReply,
  type RoundView,
  type ServerToClientEvents,
} from '@fedlora/shared';
import type { VersionsRepository } from '../adapters/versions.repository.js';
import type { AuditLog } from '../audit/audit-log.js';
import { byClient } from '../audit/origin.js';
import type { Revocations } from '../enrolment/revocations.js';
import type { Announcements } from '../observe/announcements.js';
import type { Log } from '../observe/log.js';
import { isUnended, type Run, type RunsRepository } from '../runs/runs.repository.js';
import { inTurn } from '../session/in-turn.js';
import type { Presence } from '../session/presence.js';
import type { ContributionStore } from '../storage/contribution-store.js';
import type { Tables } from '../storage/database.js';
import { NamelessFile } from '../storage/nameless-file.js';
import type { AdapterMaker } from './adapter-maker.js';
import { checkTogether, eventOfContribution, expectCounted } from './answers.js';
import { NO_RESULT } from './round-result.js';
import { Deadlines } from './deadlines.js';
import { nextSid, OpenRound, stateAfter, type WaitingAnswer } from './open-round.js';
import { asked, isIn, isOver, isRequestPhase, transition, type RoundEffect, type RoundEvent } from './round.machine.js';
import { RoundNews } from './round-news.js';
import { RoundMessages } from './round-messages.js';
import type { RoundRecord, RoundsRepository } from './rounds.repository.js';
import { roundView, type Uploads } from './round-view.js';
import { UploadProgress } from './upload-progress.js';

export interface RoundParts {
  readonly rounds: RoundsRepository;
  readonly runs: RunsRepository;
  readonly versions: VersionsRepository;
  readonly contributions: ContributionStore;
  readonly adapterMaker: AdapterMaker;
  readonly presence: Presence;
  readonly revocations: Pick<Revocations, 'text'>;
  readonly audit: AuditLog;
  readonly announcements: Announcements;
  readonly crypto: CryptoProvider;
  /** For files without a name, of open rounds. */
  readonly filesFolder: string;
  readonly log: Log;
  readonly now: () => number;
}

/** After an event could not be stored: when to try again. */
const DEADLINE_RETRY_MS = 5000;
const EFFECT_RETRY_MS = 10_000;
/** Refusals of one organisation that a round records; more tell nothing new. */
const MOST_REFUSALS = 20;
/** Answers that are stored together. The first of them is acknowledged no earlier than the last. */
const MOST_TOGETHER = 100;

type Also = (trx: Transaction<Tables>) => Promise<void>;
type RoundEnded = Parameters<ServerToClientEvents['round.ended']>[0];

export class RoundService {
  private readonly open = new Map<string, OpenRound>();
  private readonly deadlines: Deadlines;
  private readonly news: RoundNews;
  private readonly progress: UploadProgress;
  /** The newest end that each organisation may have missed: repeated after its next hello. */
  private readonly lastEnded = new Map<string, RoundEnded>();
  private isClosing = false;
  /** Called when a round of a run has ended and everything of it is stored. */
  onEnded: (runId: string) => void = () => undefined;

  constructor(private readonly parts: RoundParts) {
    this.deadlines = new Deadlines(parts.now);
    this.news = new RoundNews((roundId) => parts.announcements.tell('round.changed', roundId));
    this.progress = new UploadProgress({
      tell: (roundId) => this.news.stirred(roundId),
      isOpen: (roundId) => this.open.has(roundId),
      now: parts.now,
    });
  }

  /** Goes on with the rounds that were open when the coordinator stopped. */
  async resume(): Promise<void> {
    const { rounds, runs, contributions, log, now } = this.parts;
    const records = await rounds.open();
    await contributions.scrubAllBut(new Set(records.map((record) => record.id)));
    await this.rememberEnds();
    for (const record of records) {
      const run = await runs.byId(record.runId);
      if (run === undefined) continue; // The foreign key says it is there.
      const messages = this.noMessages();
      for await (const some of rounds.messages(record.id)) messages.keep(some)();
      const round = this.openRound(record, run, messages, await rounds.events(record.id));
      this.open.set(record.id, round);
      log.info('round.resumed', { runId: run.id, roundId: record.id, phase: round.state.phase });
      const event: RoundEvent = isUnended(run)
        ? { kind: 'coordinator.resumed', at: now() }
        : { kind: 'round.failed', at: now(), cause: run.reason ?? 'The run has ended.' };
      await this.serially(round, () => this.apply(round, [event]));
    }
  }

  /** Starts the next round of a run with these members of its roster, for a time of its schedule if one asked for it. */
  async start(
    run: Run,
    participants: readonly { readonly index: number; readonly name: string }[],
    scheduledFor: number | null = null,
  ): Promise<void> {
    const { rounds, log, now } = this.parts;
    const number = run.attempts + 1;
    const at = now();
    const record: RoundRecord = {
      id: `${run.id}-r${number}`,
      runId: run.id,
      number,
      completedRounds: run.completedRounds,
      baseVersion: run.version,
      previousSid: run.previousSid,
      sid: nextSid(run, number),
      startedAt: at,
      scheduledFor,
      ...NO_RESULT,
      finalState: null,
    };
    const { aggregation, privacy } = run.manifest;
    const terms = {
      threshold: aggregation.threshold,
      minimumContributors: privacy.minimumContributors,
      deadlinesMs: aggregation.deadlinesMs,
      ...(aggregation.graph === undefined ? {} : { silent: aggregation.graph.silent }),
    };
    const round = this.openRound(record, run, this.noMessages(), []);
    this.open.set(record.id, round);
    log.info('round.started', { runId: run.id, roundId: record.id, number, participants: participants.length });
    try {
      await this.serially(round, () =>
        this.apply(round, [{ kind: 'round.started', at, terms, participants }], (trx) => rounds.add(record, trx)),
      );
    } catch (error) {
      this.open.delete(record.id); // Nothing of it is stored.
      throw error;
    }
  }

  private openRound(record: RoundRecord, run: Run, messages: RoundMessages, events: readonly RoundEvent[]): OpenRound {
    const { crypto, revocations } = this.parts;
    return new OpenRound(record, run, messages, events, crypto, () => revocations.text);
  }

  private noMessages(): RoundMessages {
    return new RoundMessages(new NamelessFile(this.parts.filesFolder));
  }

  /** What open rounds have to do: answers that wait to be handled, and effects that are still to be performed. */
  backlog(): { readonly openRounds: number; readonly answers: number; readonly effects: number } {
    const rounds = [...this.open.values()];
    return {
      openRounds: rounds.length,
      answers: rounds.reduce((sum, { waiting }) => sum + waiting.size, 0),
      effects: rounds.reduce((sum, { pending }) => sum + pending.length, 0),
    };
  }

  /** The open round of a run, if there is one. */
  openRoundOf(runId: string): string | undefined {
    return [...this.open.values()].find((round) => round.run.id === runId)?.id;
  }

  /** Whether an organisation takes part in an open round. */
  isBusy(name: string): boolean {
    return [...this.open.values()].some(({ state }) =>
      state.participants.some((one) => one.name === name && isIn(state, one.index)),
    );
  }

  /** Repeats what is open for an organisation that has just said hello, or how its last round ended. */
  async greet(name: string): Promise<void> {
    const mine = [...this.open.values()].filter((round) => round.state.participants.some((one) => one.name === name));
    for (const round of mine) await this.serially(round, async () => this.ask(round, [round.indexOf(name)]));
    const ended = this.lastEnded.get(name);
    if (mine.length === 0 && ended !== undefined) this.parts.presence.send(name, 'round.ended', ended);
  }

  /**
   * Takes an answer. The same bytes again get the same reply; other bytes for an answered phase are refused and recorded.
   *
   * @throws FedloraError round/unknown | round/over | round/not-a-participant | round/wrong-phase | round/already-answered |
   *         round/impersonation | round/reply-waiting | upload/wrong-hash
   * @throws ProtocolError: what the message breaks
   */
  async reply(name: string, { roundId, phase, message }: RoundReply): Promise<void> {
    const round = await this.find(roundId);
    const waiting = `${round.indexOf(name)}/${phase}`;
    if (round.waiting.has(waiting)) throw new FedloraError('round/reply-waiting');
    round.waiting.add(waiting);
    try {
      // A plain array of its own: Node's Buffer shares memory where `Uint8Array` copies.
      const bytes = Uint8Array.from(message);
      await new Promise<void>((taken, refused) => {
        round.answers.push({ name, phase, message: bytes, taken, refused });
        if (round.answers.length === 1) this.takeWaiting(round);
      });
    } finally {
      round.waiting.delete(waiting);
    }
  }

  /** Takes a participant out of a round that it does not go on with. A round that has ended needs no goodbye. */
  async decline(name: string, { roundId, code }: RoundDecline): Promise<void> {
    const round = this.open.get(roundId);
    if (round === undefined) return;
    await this.serially(round, async () => {
      const participant = round.indexOf(name);
      this.parts.log.info('round.participant.declined', { runId: round.run.id, roundId, participantId: name, code });
      await this.apply(round, [{ kind: 'participant.declined', at: this.parts.now(), participant, code }]);
    });
  }

  /**
   * Takes an organisation out of its open rounds, as if it had fallen silent; what it has uploaded completely still counts.
   * `code`: why, as the round tells it.
   */
  async exclude(name: string, code: ErrorCode): Promise<void> {
    for (const round of [...this.open.values()]) {
      const participant = round.state.participants.find((one) => one.name === name)?.index;
      if (participant === undefined) continue;
      await this.serially(round, () =>
        this.apply(round, [{ kind: 'participant.refused', at: this.parts.now(), participant, code }]),
      );
    }
  }

  /** How much of a contribution is stored, and how long it will be. @throws FedloraError as `reply` */
  async uploaded(name: string, roundId: string): Promise<{ readonly offset: number; readonly length: number }> {
    const round = await this.find(roundId);
    const participant = this.expectUploader(round, name);
    return { offset: await this.parts.contributions.size(roundId, participant), length: round.contributionBytes };
  }

  /** Appends a piece of a contribution; returns how much is stored. @throws FedloraError as `reply`, and upload/* */
  async upload(
    name: string,
    roundId: string,
    piece: { readonly offset: number; readonly length: number; readonly bytes: AsyncIterable<Uint8Array> },
  ): Promise<number> {
    const round = await this.find(roundId);
    const participant = this.expectUploader(round, name);
    const totalBytes = round.contributionBytes;
    if (piece.length !== totalBytes) {
      throw new FedloraError(
        'upload/wrong-length',
        `A contribution to this round has ${totalBytes} bytes, not ${piece.length}.`,
      );
    }
    const stored = await this.parts.contributions.append(
      { roundId, participant, totalBytes },
      piece.offset,
      this.progress.counting(roundId, participant, piece.offset, piece.bytes),
      limits.uploadPieceBytes,
    );
    if (stored === totalBytes) {
      await this.serially(round, () => this.completeUpload(round, participant)).catch(async (error: unknown) => {
        throw await this.refuse(round, { name, phase: 'training' }, error);
      });
    }
    return stored;
  }

  /** Ends the open round of a run, and waits until nothing is left of it. */
  async fail(runId: string, cause: string): Promise<void> {
    for (const round of this.open.values()) {
      if (round.run.id !== runId) continue;
      await this.serially(round, () => this.apply(round, [{ kind: 'round.failed', at: this.parts.now(), cause }]));
      await round.tail;
    }
  }

  /** Removes what only another round of this run would need. */
  async forgetRun(run: Run): Promise<void> {
    await this.parts.adapterMaker.forgetRun(run);
  }

  /** What a round shows. */
  async view(roundId: string): Promise<RoundView | undefined> {
    const round = this.open.get(roundId);
    if (round !== undefined && !isOver(round.state)) return roundView(round.record, round.state, this.uploadsOf(round));
    const record = await this.parts.rounds.byId(roundId);
    return record === undefined ? undefined : (await this.viewsOfRecords([record])).at(0);
  }

  /** The rounds of a run, newest first. */
  async viewsOf(runId: string, limit: number, before?: number): Promise<RoundView[]> {
    return this.viewsOfRecords(await this.parts.rounds.ofRun(runId, limit, before));
  }

  /** The rounds of some runs that went on within a range of time, newest first. */
  async viewsWithin(
    runIds: readonly string[],
    range: { readonly from: number; readonly until: number },
    limit: number,
  ): Promise<RoundView[]> {
    return this.viewsOfRecords(await this.parts.rounds.within(runIds, range, limit));
  }

  private async viewsOfRecords(records: readonly RoundRecord[]): Promise<RoundView[]> {
    const views: RoundView[] = [];
    for (const record of records) {
      const round = this.open.get(record.id);
      if (record.finalState !== null) views.push(roundView(record, record.finalState, null));
      else if (round !== undefined) views.push(roundView(record, round.state, this.uploadsOf(round)));
      // Another coordinator drives it: its events are here, and how far uploads are is not.
      else views.push(roundView(record, stateAfter(await this.parts.rounds.events(record.id)), null));
    }
    return views;
  }

  /** The newest rounds of all runs that have ended, newest first. */
  async latestViews(limit: number): Promise<RoundView[]> {
    return (await this.parts.rounds.latest(limit)).flatMap((record) =>
      record.finalState === null ? [] : [roundView(record, record.finalState, null)],
    );
  }

  private uploadsOf(round: OpenRound): Uploads {
    return {
      bytesEach: round.contributionBytes,
      receivedOf: (participant) => this.progress.of(round.id, participant),
    };
  }

  /** Lets go of everything without ending any round: the next start goes on. */
  async close(): Promise<void> {
    this.abandon();
    const rounds = [...this.open.values()];
    await Promise.allSettled(rounds.map((round) => round.tail));
    for (const { messages } of rounds) messages.close();
  }

  /** Lets nothing more begin by itself, and no sum go on, without waiting for what is being done. */
  abandon(): void {
    this.isClosing = true;
    this.parts.adapterMaker.close();
    this.deadlines.disarmAll();
    this.news.close();
  }

  /** Takes the answers that wait, when it is their turn: all that have come by then together. */
  private takeWaiting(round: OpenRound): void {
    void this.serially(round, async () => {
      const rest = await this.takeTogether(round, round.answers.splice(0, MOST_TOGETHER));
      round.answers.unshift(...rest);
      if (round.answers.length > 0) this.takeWaiting(round);
    });
  }

  /** Stores the good ones as one, and tells each sender of its own. Returns those that were not looked at. */
  private async takeTogether(round: OpenRound, answers: readonly WaitingAnswer[]): Promise<readonly WaitingAnswer[]> {
    const { good, refused, fresh, events, rest } = await checkTogether(round, answers, this.parts);
    try {
      const store: Also = (trx) => this.parts.rounds.addMessages(round.id, fresh, trx);
      // Memory follows the disk: what a failed commit did not store must not look stored to the next try.
      const kept = round.messages.keep(fresh);
      await this.apply(round, events, fresh.length === 0 ? undefined : store, kept);
    } catch (error) {
      for (const answer of answers.slice(0, answers.length - rest.length)) answer.refused(error);
      return rest;
    }
    for (const answer of good) answer.taken();
    for (const { answer, error } of refused)
      await this.refuse(round, answer, error).then(answer.refused, answer.refused);
    return rest;
  }

  /** All bytes of a contribution are there: it counts, if its receipt is, too. @throws FedloraError upload/wrong-hash */
  private async completeUpload(round: OpenRound, participant: number): Promise<void> {
    const receipt = round.messages.get('training', participant);
    const event = await eventOfContribution(round, round.state, participant, receipt, this.parts);
    if (event === undefined) return;
    await this.apply(round, [event]);
    expectCounted(event);
  }

  /** Stores events, with what belongs to them, as one; their effects come after whatever is being done. */
  private async apply(
    round: OpenRound,
    events: readonly RoundEvent[],
    also?: Also,
    stored?: () => void,
  ): Promise<void> {
    const { rounds } = this.parts;
    const before = round.state;
    const effects: RoundEffect[] = [];
    let state = before;
    for (const event of events) {
      const next = transition(state, event);
      state = next.state;
      effects.push(...next.effects);
    }
    if (state === before && effects.length === 0 && also === undefined) return;
    await rounds.transaction(async (trx) => {
      await also?.(trx);
      await rounds.addEvents(round.id, round.sequence, events, trx);
      if (state.isCharged && !before.isCharged) await rounds.charge(round.run.id, trx);
      if (isOver(state) && !isOver(before)) await rounds.end(round.record, state, trx);
    });
    stored?.();
    round.state = state;
    round.sequence += events.length;
    if (state.phase === before.phase) this.news.stirred(round.id);
    else this.news.turned(round.id);
    round.pending.push(...effects);
  }

  /** Performs what stored events call for, which may store more. */
  private async performPending(round: OpenRound): Promise<void> {
    for (let effect = round.pending.shift(); effect !== undefined; effect = round.pending.shift()) {
      await this.perform(round, effect);
    }
  }

  private async perform(round: OpenRound, effect: RoundEffect): Promise<void> {
    const { log, now } = this.parts;
    try {
      switch (effect.kind) {
        case 'request':
          this.ask(round, effect.to);
          return;
        case 'arm-deadline':
          this.deadlines.arm(round.id, effect.at, () => this.deadlinePassed(round, effect.phase));
          return;
        case 'conclude':
          await this.concludeRound(round);
          return;
        case 'end':
          await this.endRound(round);
          return;
        default:
          return effect satisfies never;
      }
    } catch (error) {
      // It was told to stop in the middle of the sum. The state is stored, so the next start makes it.
      if (this.isClosing && effect.kind === 'conclude') {
        log.info('round.sum.left', { runId: round.run.id, roundId: round.id });
        return;
      }
      const { code, message } = FedloraError.from(error);
      log.error('round.effect.failed', {
        runId: round.run.id,
        roundId: round.id,
        effect: effect.kind,
        code,
        err: error,
      });
      if (effect.kind === 'end') return;
      const cause = `${effect.kind === 'conclude' ? 'The sum could not be made into an adapter' : 'The next phase could not begin'}: ${message} [${code}]`;
      try {
        await this.apply(round, [{ kind: 'round.failed', at: now(), cause }]);
      } catch (storing) {
        // Not even the failure can be stored, as on a full disk: the effect stays due.
        round.pending.unshift(effect);
        this.performLater(round);
        throw storing;
      }
    }
  }

  private performLater(round: OpenRound): void {
    if (this.isClosing) return;
    this.deadlines.arm(
      retryOf(round),
      this.parts.now() + EFFECT_RETRY_MS,
      () => void this.serially(round, () => Promise.resolve()),
    );
  }

  /** Sends the request of the present phase to those of `to` who are asked and connected. */
  private ask(round: OpenRound, to: readonly number[]): void {
    const { presence, now, log } = this.parts;
    const { phase, participants } = round.state;
    if (!isRequestPhase(phase)) return;
    const wanted = new Set(to);
    const present = new Set(asked(round.state));
    const receivers = participants.filter(
      ({ index, name }) => wanted.has(index) && present.has(index) && presence.isConnected(name),
    );
    const request = round.requests(phase, now());
    if (typeof request !== 'function') {
      presence.sendAll(
        receivers.map(({ name }) => name),
        'round.request',
        request,
      );
      return;
    }
    inTurn(receivers, async ({ index, name }) => {
      if (this.isClosing || round.state.phase !== phase) return;
      presence.send(name, 'round.request', request(index, now()));
      await presence.flushed(name);
    }).catch((error: unknown) => log.error('round.request.failed', { roundId: round.id, phase, err: error }));
  }

  private deadlinePassed(round: OpenRound, phase: RequestPhase): void {
    if (this.isClosing) return;
    this.serially(round, () => this.apply(round, [{ kind: 'deadline.passed', at: this.parts.now(), phase }])).catch(
      (error: unknown) => {
        this.parts.log.error('round.deadline.failed', { roundId: round.id, err: error });
        if (this.isClosing || round.state.phase !== phase) return;
        this.deadlines.arm(round.id, this.parts.now() + DEADLINE_RETRY_MS, () => this.deadlinePassed(round, phase));
      },
    );
  }

  /** From masked contributions to the next adapter version, stored with its event as one. */
  private async concludeRound(round: OpenRound): Promise<void> {
    const { adapterMaker, versions, rounds, announcements, now } = this.parts;
    if (round.state.phase !== 'applying') return; // It was ended while this waited to be tried again.
    const made = await adapterMaker.make(round);
    if (made.kind === 'failed') {
      await this.apply(round, [{ kind: 'round.failed', at: now(), cause: made.cause }]);
      return;
    }
    const { version, result } = made;
    await this.apply(round, [{ kind: 'sum.applied', at: now(), version: version.id }], async (trx) => {
      await versions.add(version, trx);
      await rounds.setResult(round.id, result, trx);
    });
    await adapterMaker.forgetBefore(round);
    announcements.tell('version.published', version.id);
  }

  /** Scrubs first: whoever hears that a round has ended finds nothing of it. */
  private async endRound(round: OpenRound): Promise<void> {
    this.deadlines.disarm(round.id);
    this.deadlines.disarm(retryOf(round));
    this.news.forget(round.id);
    try {
      await this.parts.contributions.scrub(round.id);
      await this.parts.rounds.forgetScrubbed();
    } catch (error) {
      this.parts.log.error('round.scrub.failed', { runId: round.run.id, roundId: round.id, err: error });
    } finally {
      this.open.delete(round.id);
      round.messages.close();
      this.progress.forget(round.id);
      this.tellEnded(round);
      this.onEnded(round.run.id);
    }
  }

  private tellEnded(round: OpenRound): void {
    const { presence, log } = this.parts;
    const { state, run } = round;
    log.info('round.ended', {
      runId: run.id,
      roundId: round.id,
      outcome: state.phase,
      cause: state.cause,
      durationMs: (state.endedAt ?? state.startedAt) - state.startedAt,
    });
    const ended = endedMessage(round.record, state);
    for (const { name } of state.participants) {
      this.lastEnded.set(name, ended);
      presence.send(name, 'round.ended', ended);
    }
  }

  private async rememberEnds(): Promise<void> {
    for (const run of (await this.parts.runs.list()).reverse()) {
      for (const record of await this.parts.rounds.ofRun(run.id, 1)) {
        if (record.finalState === null) continue;
        const ended = endedMessage(record, record.finalState);
        for (const { name } of record.finalState.participants) this.lastEnded.set(name, ended);
      }
    }
  }

  /** @throws FedloraError round/unknown | round/over */
  private async find(roundId: string): Promise<OpenRound> {
    const round = this.open.get(roundId);
    if (round !== undefined) return round;
    throw new FedloraError((await this.parts.rounds.byId(roundId)) === undefined ? 'round/unknown' : 'round/over');
  }

  /** @throws FedloraError round/over | round/not-a-participant | round/wrong-phase */
  private expectUploader(round: OpenRound, name: string): number {
    const participant = round.indexOf(name);
    if (isOver(round.state)) throw new FedloraError('round/over');
    if (!isIn(round.state, participant)) throw new FedloraError('round/not-a-participant');
    if (round.state.phase !== 'training')
      throw new FedloraError('round/wrong-phase', `The round is in phase ${round.state.phase}.`);
    return participant;
  }

  /** Records what somebody did against the rules; our own troubles are in the log. Resolves with the error. */
  private async refuse(
    round: OpenRound,
    { name, phase }: Pick<WaitingAnswer, 'name' | 'phase'>,
    error: unknown,
  ): Promise<unknown> {
    const { code, details } = FedloraError.from(error);
    const isTheirs = errorEntry(code).blame !== 'us' && errorEntry(code).blame !== 'environment';
    const recorded = round.refusals.get(name) ?? 0;
    if (!isTheirs || recorded >= MOST_REFUSALS) return error;
    round.refusals.set(name, recorded + 1);
    const { stored, refused } = details;
    const hashes: PlainObject = typeof stored === 'string' && typeof refused === 'string' ? { stored, refused } : {};
    await this.parts.audit.record({
      event: 'round.message.refused',
      by: byClient(name),
      details: { roundId: round.id, phase, code, ...hashes },
    });
    this.parts.log.warn('round.message.refused', { roundId: round.id, participantId: name, phase, code });
    return error;
  }

  /**
   * Does one thing of a round after the other. The caller waits until its own is stored, not for the effects: so a participant is
   * acknowledged at once, even if its answer was the last and the sum is made of it.
   */
  private serially<Result>(round: OpenRound, work: () => Promise<Result>): Promise<Result> {
    const result = round.tail.then(work);
    round.tail = result
      .catch(() => undefined) // Whoever asked hears of it; the queue goes on.
      .then(() => this.performPending(round))
      .catch((error: unknown) => this.parts.log.error('round.effect.failed', { roundId: round.id, err: error }));
    return result;
  }
}

function endedMessage(record: RoundRecord, state: OpenRound['state']): RoundEnded {
  const outcome =
    state.phase === 'done'
      ? { kind: 'done' as const, version: state.version ?? record.baseVersion }
      : { kind: 'aborted' as const, cause: state.cause ?? 'unknown' };
  return { roundId: record.id, runId: record.runId, outcome };
}

/** The timer of an effect that is tried again, beside the one of the round's deadline. */
function retryOf(round: OpenRound): string {
  return `${round.id} again`;
}
