/**
 * The daemon: stays connected, takes part in one round at a time, says what it does, and leaves cleanly.
 *
 * States     connecting          no connection yet, or lost            -> idle, when the coordinator said hello
 *            idle                waits for an offer                    -> waiting-for-cohort, when one was accepted
 *            waiting-for-cohort  waits for the others in a phase       -> training, unmasking, idle (round over)
 *            training            uses the engine                       -> waiting-for-cohort, when the update was sent
 *            unmasking           gave its shares, waits for the end    -> idle
 *            paused              the owner said so, or its hours or limits -> idle, when the owner says resume, or they allow it
 *            draining            was asked to stop, finishes or leaves -> stopped
 */

import { existsSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { decodeMaskedInput, sha256, toHex } from '@fedlora/protocol';
import {
  FedloraError,
  type ClientState,
  type DeclaredBudget,
  requestPhases,
  type RequestPhase,
  type RoundRequest,
  type ServerToClientEvents,
  type SessionHello,
} from '@fedlora/shared';
import { Session, type SessionParts } from '../connection/session.js';
import { contribute, type Contribution, type Parts, type Stage } from '../round/contribute.js';
import { Conversation } from '../round/conversation.js';
import type { OfferVerifier, VerifiedRound } from '../round/verify-offer.js';
import { isEmpty, type RosterChange, type RosterMemory } from '../storage/roster-memory.js';
import type { Logger } from './log.js';
import type { ReachedLimit, ResourceLimits } from './resource-limits.js';
import type { RoundBook, RoundEntry, Sent } from '../storage/round-book.js';
import { StatusFile, type ShownState, type Status } from './status-file.js';

export interface DaemonParts {
  readonly organisation: string;
  readonly coordinator: string;
  readonly clientVersion: string;
  /** Where training runs, in a short word. */
  readonly device: () => string;
  /** What the coordinator is told of the data set's budget; `undefined`: nothing. */
  readonly declaredBudget: () => DeclaredBudget | undefined;
  readonly session: Pick<SessionParts, 'url' | 'signIn' | 'onOutgoing'>;
  readonly verifier: OfferVerifier;
  readonly rosterMemory: Pick<RosterMemory, 'remember'>;
  /** What `contribute` works with; the daemon adds `observe`. */
  readonly round: Omit<Parts, 'observe'>;
  readonly log: Logger;
  readonly statusPath: string;
  /** While this file exists, no round is joined. */
  readonly pausedPath: string;
  /** Once this file exists, the organisation leaves: the client stops. */
  readonly leftPath: string;
  /** Whether a round may begin now, by the owner's hours. */
  readonly isOpen: () => boolean;
  /** What the owner gives training of this machine. */
  readonly limits: Pick<ResourceLimits, 'reached' | 'trainingBegins' | 'trainingEnds'>;
  /** Closes the engine, which holds most of the memory; the next round opens it again. */
  readonly releaseMemory: () => Promise<void>;
  /** Keeps a verified manifest for the owner to read. */
  readonly rememberOffer: (round: VerifiedRound) => Promise<void>;
  readonly roundBook: Pick<RoundBook, 'add'>;
}

/** How long a stopping daemon waits for the round that counts on it. */
const DRAIN_MS = 60_000;
/** How long it may take to tell the coordinator. */
const GOODBYE_MS = 2000;
/** A service manager that waits longer than this cuts nothing off. */
export const LONGEST_STOP_MS = DRAIN_MS + GOODBYE_MS;
const PAUSE_CHECK_MS = 2000;

/** What is going on in the round that this client is in. */
interface Running {
  readonly talk: Conversation;
  /** Resolves when its work has stopped and its secrets are wiped. */
  readonly over: Promise<void>;
  /** It is: what is kept only answers what was asked before. */
  isOver: boolean;
  /** The code that was sent, so that it can be sent again. */
  declined?: string;
}

export class Daemon {
  private readonly session: Session;
  private readonly statusFile: StatusFile;
  private readonly startedAt: number;
  private running: Running | undefined;
  private connected = false;
  /** Why the connection could not be made the last time: said once, not at every try. */
  private lostBecause: string | undefined;
  private draining = false;
  /** The budget as the coordinator was told it the last time. */
  private declared: string | undefined;
  /** Why no round is joined for now. */
  private pause: Pause | undefined;
  private isOverMemory = false;
  private state: ShownState = 'connecting';
  private since: number;
  private why = 'Looking for the coordinator.';
  private lastRound: Status['lastRound'] = null;
  private rosterChange: Status['rosterChange'] = null;
  private suspension: Status['suspension'] = null;
  private readonly counts = { counted: 0, declined: 0, aborted: 0 };
  private readonly sent: { -readonly [Name in keyof Status['sent']]: Status['sent'][Name] } = {
    controlMessage: null,
    maskedUpdate: null,
    keyShares: null,
  };

  constructor(private readonly parts: DaemonParts) {
    this.startedAt = parts.round.now();
    this.since = this.startedAt;
    this.statusFile = new StatusFile(parts.statusPath, (error) =>
      parts.log.warn({ code: codeOf(error) }, 'status.write.failed'),
    );
    this.session = new Session({
      ...parts.session,
      clientVersion: parts.clientVersion,
      present: () => this.presentation(),
      events: {
        request: (request) => this.onRequest(request),
        roundEnded: (ended) => this.onRoundEnded(ended),
        runEnded: (ended) => this.onRunEnded(ended),
        standing: (standing) => this.onStanding(standing),
        connected: () => this.onConnected(),
        disconnected: (error) => this.onDisconnected(error),
      },
    });
  }

  /** Runs until `stop` or `stopNow`. */
  async run(): Promise<void> {
    const { log } = this.parts;
    log.info(
      { coordinator: this.parts.coordinator, device: this.parts.device(), version: this.parts.clientVersion },
      'client.started',
    );
    this.lookWhetherPaused();
    this.writeStatus();
    const pauses = setInterval(() => {
      this.lookWhetherLeft();
      this.lookWhetherPaused();
    }, PAUSE_CHECK_MS);
    try {
      await this.session.run();
    } finally {
      clearInterval(pauses);
      this.running?.talk.abort(new FedloraError('client/stopped'));
      await this.running?.over;
      this.connected = false;
      this.change('stopped', 'The client was stopped.');
      await this.statusFile.settled();
      log.info({ rounds: this.counts.counted }, 'client.stopped');
    }
  }

  /** Finishes a round that counts on this client, withdraws from one that does not yet, and stops. */
  async stop(): Promise<void> {
    if (this.draining) return;
    this.draining = true;
    this.parts.log.info('client.draining');
    const { running } = this;
    if (running === undefined) {
      await this.goodbye();
      return;
    }
    if (!running.talk.hasAnswered('training')) running.talk.abort(new FedloraError('client/draining'));
    this.change('draining', 'Asked to stop; ends its part of the round first.');
    await Promise.race([running.over, wait(DRAIN_MS, undefined, { ref: false })]);
    await this.goodbye();
  }

  private presentation(): Pick<SessionHello, 'state' | 'device' | 'budget'> {
    const { device, declaredBudget } = this.parts;
    const budget = declaredBudget();
    this.declared = JSON.stringify(budget);
    return { state: this.wireState(), device: device(), ...(budget === undefined ? {} : { budget }) };
  }

  /** Tells the coordinator what a round was charged, where it is told such things. */
  private declareBudget(): void {
    if (JSON.stringify(this.parts.declaredBudget()) !== this.declared) void this.session.introduce();
  }

  /** Tells the coordinator that `device` gives another answer by now: an engine was opened. */
  announceDevice(): void {
    this.writeStatus();
    void this.session.introduce();
  }

  /** Stops at once; a round is left as it is. */
  stopNow(): void {
    this.running?.talk.abort(new FedloraError('client/stopped'));
    this.session.close();
  }

  private async goodbye(): Promise<void> {
    if (this.connected)
      await Promise.race([this.session.announce('draining'), wait(GOODBYE_MS, undefined, { ref: false })]);
    this.session.close();
  }

  private onConnected(): void {
    this.connected = true;
    this.lostBecause = undefined;
    this.parts.log.info('connection.opened');
    if (this.state === 'connecting') this.rest();
    else this.writeStatus();
  }

  private onDisconnected(error: FedloraError): void {
    const wasConnected = this.connected;
    this.connected = false;
    const isNew = wasConnected || error.code !== this.lostBecause;
    this.lostBecause = error.code;
    this.parts.log[isNew ? 'warn' : 'debug']({ code: error.code, reason: error.summary }, 'connection.lost');
    // A round goes on without a connection for a while: the coordinator asks again when it is back.
    if (this.running?.isOver ?? true) this.change('connecting', error.summary);
    else this.writeStatus();
  }

  private onRequest(request: RoundRequest): void {
    const { log } = this.parts;
    if (!isRequest(request)) {
      log.warn({}, 'round.request.malformed');
      return;
    }
    const { roundId, phase } = request;
    log.debug({ roundId, phase }, 'round.request.received');
    if (this.running?.talk.roundId === roundId) {
      if (this.running.declined !== undefined) {
        this.decline(roundId, this.running.declined);
        return;
      }
      try {
        this.running.talk.receive(request);
      } catch (error) {
        this.decline(roundId, codeOf(error));
      }
      return;
    }
    this.lookWhetherLeft();
    if (phase !== 'advertising') this.decline(roundId, 'round/forgotten');
    else if (this.draining) this.decline(roundId, 'client/draining');
    else if (this.lookWhetherPaused() !== undefined) this.decline(roundId, 'client/paused');
    else this.join(request);
  }

  private onRoundEnded(ended: Parameters<ServerToClientEvents['round.ended']>[0]): void {
    if (!isRoundEnded(ended)) {
      this.parts.log.warn({}, 'round.ended.malformed');
      return;
    }
    if (this.running?.talk.roundId === ended.roundId) this.running.talk.end(ended.outcome);
  }

  private onRunEnded(ended: Parameters<ServerToClientEvents['run.ended']>[0]): void {
    if (!isRunEnded(ended)) {
      this.parts.log.warn({}, 'run.ended.malformed');
      return;
    }
    const { runId, cause } = ended;
    this.parts.log.info({ runId, cause }, 'run.ended');
  }

  private onStanding(standing: Parameters<ServerToClientEvents['session.standing']>[0]): void {
    if (!isStanding(standing)) {
      this.parts.log.warn({}, 'session.standing.malformed');
      return;
    }
    const { suspended, reason } = standing;
    const wasSuspended = this.suspension !== null;
    this.suspension = suspended ? { reason } : null;
    if (suspended && !wasSuspended) this.parts.log.warn({ reason }, 'client.suspended');
    else if (!suspended && wasSuspended) this.parts.log.info('client.reinstated');
    if (this.state === 'idle') this.rest();
    else this.writeStatus();
  }

  /** Takes part in a round: after the one before has wiped its secrets and left the engine. */
  private join(request: RoundRequest): void {
    const before = this.running;
    before?.talk.abort(new FedloraError('round/superseded'));
    // For the book of rounds; what is sent again counts once.
    const sent: Sent[] = [];
    let wordsHash = '';
    const talk = new Conversation(request.roundId, {
      send: (phase, message) => {
        if (!sent.some(({ what }) => what === phase))
          sent.push({ what: phase, bytes: message.length, sha256: toHex(sha256(message)) });
        // The receipt, which names the words that were sent.
        if (phase === 'training') wordsHash = toHex(decodeMaskedInput(message).wordsHash);
        this.reply(request.roundId, phase, message);
      },
    });
    try {
      talk.receive(request);
    } catch (error) {
      this.decline(request.roundId, codeOf(error));
      return;
    }
    const running: Running = {
      talk,
      isOver: false,
      over: (before?.over ?? Promise.resolve()).then(() => this.takePart(talk, request, sent, () => wordsHash)),
    };
    this.running = running;
  }

  /** One round from offer to end. Never throws: whatever happens is logged and declined, and the daemon goes on. */
  private async takePart(
    talk: Conversation,
    request: RoundRequest,
    sent: Sent[],
    wordsHash: () => string,
  ): Promise<void> {
    const { roundId } = talk;
    const log = this.parts.log.child({ roundId });
    const startedAt = this.parts.round.now();
    const begun = performance.now(); // A clock that nobody sets.
    let terms: Pick<RoundEntry, 'runId' | 'title' | 'manifestHash'> = { runId: '', title: '', manifestHash: '' };
    let contribution: Contribution;
    try {
      // Safe: an advertising request without offer was refused on arrival.
      const round = this.parts.verifier.verify(request.offer!);
      const { runId, title } = round.manifest;
      terms = { runId, title, manifestHash: round.charge.manifestHash };
      log.info({ runId, round: request.offer!.number }, 'round.offer.verified');
      this.noteRoster(await this.parts.rosterMemory.remember(round), log);
      await this.parts.rememberOffer(round);
      this.change('waiting-for-cohort', `Round ${request.offer!.number} of "${round.manifest.title}" was offered.`);
      contribution = await contribute(round, talk, {
        ...this.parts.round,
        observe: (stage, facts) => {
          if (stage === 'uploaded')
            sent.push({ what: 'masked update', bytes: Number(facts?.bytes), sha256: wordsHash() });
          this.observe(log, stage, facts ?? {});
        },
      });
    } catch (error) {
      contribution = this.failure(error, log);
    }
    if (contribution.kind === 'declined') {
      if (this.running?.talk === talk) this.running.declined = contribution.reason;
      this.decline(roundId, contribution.reason);
    }
    this.parts.limits.trainingEnds();
    this.counts[contribution.kind] += 1;
    const ending = endingOf(contribution);
    this.lastRound = { roundId, ending: `${contribution.kind}: ${ending}`, at: this.parts.round.now() };
    log.info(
      { ending: contribution.kind, because: ending, durationMs: Math.round(performance.now() - begun) },
      'round.ended',
    );
    const endedAt = this.parts.round.now();
    await this.parts.roundBook
      .add({ roundId, ...terms, startedAt, endedAt, ending: contribution.kind, because: ending, sent })
      .catch((error: unknown) => log.warn({ code: codeOf(error) }, 'round.book.failed'));
    if (this.running?.talk === talk) {
      this.running.isOver = true;
      // Kept until the next offer, so that a repeated question is answered with the same bytes.
      this.rest();
      this.declareBudget();
    }
  }

  /** Says who came, left or changed its key since the last round: members see every change of the roster. */
  private noteRoster(change: RosterChange | undefined, log: Logger): void {
    if (change === undefined || isEmpty(change)) return;
    this.rosterChange = { ...change, at: this.parts.round.now() };
    const { added, removed, replaced } = change;
    log.warn(
      { added: added.join(','), removed: removed.join(','), replaced: replaced.join(',') },
      'roster.members.changed',
    );
  }

  /** What an error means for the round. */
  private failure(error: unknown, log: Logger): Contribution {
    const ours = FedloraError.from(error);
    const isOver = ['round/aborted', 'round/superseded', 'round/deadline-passed', 'client/stopped'].includes(ours.code);
    if (isOver) return { kind: 'aborted', cause: ours.summary };
    const unforeseen = ours.code === 'engine/failed' ? ours.cause : error;
    if (unforeseen !== error || ours.code === 'internal/unexpected')
      log.error({ err: unforeseen instanceof Error ? unforeseen : new Error(String(unforeseen)) }, 'round.failed');
    else log.warn({ code: ours.code, reason: ours.summary }, 'round.failed');
    return { kind: 'declined', reason: ours.code };
  }

  private observe(log: Logger, stage: Stage, facts: Readonly<Record<string, string | number>>): void {
    const at = this.parts.round.now();
    if (facts.faultyDealers !== undefined) log.warn(facts, 'round.shares.unusable');
    switch (stage) {
      case 'joined':
        log.info('round.keys.advertised');
        break;
      case 'shared':
        this.sent.keyShares = { roundId: this.running?.talk.roundId ?? '', at };
        log.info('round.shares.sent');
        break;
      case 'training':
        log.info('round.training.started');
        this.parts.limits.trainingBegins();
        this.change('training', 'Learning from local rows.');
        break;
      case 'recorded':
        log.info('ledger.charge.recorded');
        break;
      case 'uploaded':
        this.parts.limits.trainingEnds();
        this.sent.maskedUpdate = { bytes: Number(facts.bytes), at };
        log.info(facts, 'round.masked-update.sent');
        this.change('waiting-for-cohort', 'The masked update was sent; waits for the others.');
        break;
      case 'checked':
        log.info('round.survivors.signed');
        break;
      case 'unmasked':
        this.sent.keyShares = { roundId: this.running?.talk.roundId ?? '', at };
        log.info('round.unmasking.answered');
        this.change('unmasking', 'Gave its shares of the masks; waits for the sum.');
        break;
      default:
        stage satisfies never;
    }
  }

  private reply(roundId: string, phase: RequestPhase, message: Uint8Array): void {
    this.sent.controlMessage = { what: `round.reply ${phase}`, at: this.parts.round.now() };
    void this.session.reply({ roundId, phase, message }).then((reply) => {
      if (reply === undefined) this.parts.log.debug({ roundId, phase }, 'round.reply.lost');
      else if (!reply.ok) this.parts.log.warn({ roundId, phase, code: reply.error.code }, 'round.reply.refused');
    });
  }

  /** Declines: the precise code into the log, on the wire what `spokenCode` makes of it. */
  private decline(roundId: string, code: string): void {
    const spoken = spokenCode(code);
    this.parts.log.warn({ roundId, code, spoken }, 'round.declined');
    this.sent.controlMessage = { what: `round.decline ${spoken}`, at: this.parts.round.now() };
    void this.session.decline({ roundId, code: spoken });
  }

  /** Back to waiting for an offer, in whichever way. */
  private rest(): void {
    if (this.draining) this.change('draining', 'Asked to stop.');
    else if (!this.connected) this.change('connecting', 'The connection is lost.');
    else if (this.pause !== undefined) this.change('paused', this.pause.why);
    else if (this.suspension !== null) this.change('idle', whySuspended(this.suspension));
    else this.change('idle', 'Waits for the coordinator to offer a round.');
  }

  private lookWhetherLeft(): void {
    if (!this.draining && existsSync(this.parts.leftPath)) {
      this.parts.log.info('client.leaving');
      void this.stop();
    }
  }

  /** Looks at everything that can keep this client from rounds; the first that does is what it says. */
  private lookWhetherPaused(): Pause | undefined {
    const reached = this.parts.limits.reached();
    this.keepWithinMemory(reached);
    const pause = this.whyNotNow(reached);
    const isOther = pause?.kind !== this.pause?.kind;
    this.pause = pause;
    if (isOther) {
      if (pause === undefined) this.parts.log.info('client.resumed');
      else this.parts.log.info({ why: pause.kind }, 'client.paused');
      if (this.connected && (this.state === 'idle' || this.state === 'paused')) this.rest();
    }
    return pause;
  }

  private whyNotNow(reached: ReachedLimit | undefined): Pause | undefined {
    if (existsSync(this.parts.pausedPath)) return { kind: 'by-owner', why: 'The owner paused this client.' };
    if (!this.parts.isOpen()) return { kind: 'out-of-hours', why: 'The policy lets no round begin at this hour.' };
    return reached === undefined ? undefined : { kind: reached.limit, why: reached.why };
  }

  /** Leaves a round that does not count on this client yet, and gives back what the engine holds. */
  private keepWithinMemory(reached: ReachedLimit | undefined): void {
    const isOver = reached?.limit === 'memory';
    if (isOver && !this.isOverMemory) {
      this.parts.log.warn({ reason: reached.why }, 'client.memory.exceeded');
      const { running } = this;
      if (running?.talk.hasAnswered('training') === false)
        running.talk.abort(new FedloraError('resources/memory-limit', reached.why));
      void (running?.over ?? Promise.resolve())
        .then(() => this.parts.releaseMemory())
        .catch((error: unknown) => {
          this.parts.log.warn({ code: codeOf(error) }, 'engine.close.failed');
        });
    }
    this.isOverMemory = isOver;
  }

  private change(state: ShownState, why: string): void {
    if (state !== this.state) {
      this.state = state;
      this.since = this.parts.round.now();
      this.parts.log.debug({ state }, 'client.state.changed');
      if (this.connected) void this.session.announce(this.wireState());
    }
    this.why = why;
    this.writeStatus();
  }

  /** The wire has no word for being disconnected. */
  private wireState(): ClientState {
    if (this.draining) return 'draining';
    if (this.state === 'connecting' || this.state === 'stopped') return this.pause === undefined ? 'idle' : 'paused';
    return this.state;
  }

  private writeStatus(): void {
    this.statusFile.write(this.status());
  }

  /** What it does now, and why. */
  status(): Status {
    return {
      pid: process.pid,
      clientVersion: this.parts.clientVersion,
      organisation: this.parts.organisation,
      coordinator: this.parts.coordinator,
      state: this.state,
      since: this.since,
      why: this.why,
      next: this.state === 'paused' && this.pause !== undefined ? AFTER_PAUSE[this.pause.kind] : NEXT[this.state],
      connected: this.connected,
      device: this.parts.device(),
      roundId: this.isInRound() ? (this.running?.talk.roundId ?? null) : null,
      lastRound: this.lastRound,
      rosterChange: this.rosterChange,
      suspension: this.suspension,
      rounds: { ...this.counts },
      sent: { ...this.sent },
    };
  }

  private isInRound(): boolean {
    return this.state === 'training' || this.state === 'waiting-for-cohort' || this.state === 'unmasking';
  }
}

/** Why no round is joined for now. */
interface Pause {
  readonly kind: 'by-owner' | 'out-of-hours' | ReachedLimit['limit'];
  readonly why: string;
}

/** What ends a pause. */
const AFTER_PAUSE: Readonly<Record<Pause['kind'], string>> = {
  'by-owner': 'Nothing, until `fedlora resume`.',
  'out-of-hours': 'Goes on by itself when the hours of policy.yaml begin.',
  memory: 'Goes on by itself when it holds less; if it does not, a restart frees everything.',
  'gpu-busy': 'Goes on by itself when the GPU is free.',
  'gpu-hours': 'Goes on by itself when enough of that training is old enough.',
};

/** What comes after each state. */
const NEXT: Readonly<Record<ShownState, string>> = {
  connecting: 'Tries again by itself, less often as time goes on.',
  idle: 'Joins the next round whose terms the policy accepts.',
  'waiting-for-cohort': 'Goes on when the other organisations have answered, or ends with the round.',
  training: 'Clips, adds noise, masks and sends the update.',
  unmasking: 'The round ends, and a new adapter version is published.',
  paused: 'Nothing, until `fedlora resume`.',
  draining: 'Stops when its part of the round is over.',
  stopped: 'Nothing, until `fedlora run`.',
};

function whySuspended({ reason }: { readonly reason: string | null }): string {
  return `An operator of the coordinator has suspended this organisation${reason === null ? '.' : `: ${reason}`}`;
}

function endingOf(contribution: Contribution): string {
  switch (contribution.kind) {
    case 'counted':
      return contribution.version;
    case 'declined':
      return contribution.reason;
    case 'aborted':
      return contribution.cause;
    default:
      return contribution satisfies never;
  }
}

function codeOf(error: unknown): string {
  return FedloraError.from(error).code;
}

/** What the coordinator is told as it is: faults of its own messages, and of this program where no row has a part. */
const SPOKEN =
  /^(?:offer|manifest|roster|version|adapter|safetensors|base-model|secagg|round|client|connection|upload)\//;

/** Refusals of these kinds that depend on the number of rows, on which were sampled, or on the ledger. */
const UNSPOKEN = ['offer/delta-too-large', 'offer/dataset-too-large', 'offer/terms-changed', 'round/too-many-records'];

/**
 * The code with which a round is declined on the wire.
 *
 * Secrets    whatever depends on the owner's rows, policy or ledger is one and the same code, `policy/declined`, so that a
 *            coordinator that varies its terms cannot tell which limit they met. What is not known to be harmless counts as such.
 */
export function spokenCode(code: string): string {
  return SPOKEN.test(code) && !UNSPOKEN.includes(code) ? code : 'policy/declined';
}

const isShortText = (value: unknown): boolean => typeof value === 'string' && value.length > 0 && value.length <= 80;

function isRoundEnded(ended: unknown): ended is Parameters<ServerToClientEvents['round.ended']>[0] {
  if (typeof ended !== 'object' || ended === null) return false;
  const { roundId, outcome } = ended as Record<string, unknown>;
  if (!isShortText(roundId) || typeof outcome !== 'object' || outcome === null) return false;
  const { kind, version, cause } = outcome as Record<string, unknown>;
  return (kind === 'done' && isShortText(version)) || (kind === 'aborted' && isCause(cause));
}

function isRunEnded(ended: unknown): ended is Parameters<ServerToClientEvents['run.ended']>[0] {
  if (typeof ended !== 'object' || ended === null) return false;
  const { runId, cause } = ended as Record<string, unknown>;
  return isShortText(runId) && isCause(cause);
}

function isStanding(standing: unknown): standing is Parameters<ServerToClientEvents['session.standing']>[0] {
  if (typeof standing !== 'object' || standing === null) return false;
  const { suspended, reason } = standing as Record<string, unknown>;
  return typeof suspended === 'boolean' && (reason === null || (typeof reason === 'string' && reason.length <= 200));
}

const isCause = (value: unknown): boolean => typeof value === 'string' && value.length <= 20_000; // names up to 128 organisations

/** The least that a request must be, before anything in it is looked at. */
function isRequest(request: unknown): request is RoundRequest {
  if (typeof request !== 'object' || request === null) return false;
  const { roundId, phase, deadlineAt, sentAt } = request as Partial<RoundRequest>;
  return (
    typeof roundId === 'string' &&
    roundId.length > 0 &&
    roundId.length <= 80 &&
    typeof phase === 'string' &&
    requestPhases.includes(phase) &&
    typeof deadlineAt === 'number' &&
    typeof sentAt === 'number'
  );
}
