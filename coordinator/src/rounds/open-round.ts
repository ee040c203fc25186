/**
 * A round that has not ended, in memory: the machine's state beside the protocol's messages, and what follows from them.
 *
 * Everything here is derived from what is stored, so a restart builds the same again.
 */

import {
  bytesOf,
  checkAdvertiseKeys,
  checkMaskedInput,
  consistencySignatureCheck,
  decodeAdvertiseKeys,
  fromHex,
  planDeliveries,
  planKeyList,
  planReveals,
  planSurvivorProof,
  planSurvivors,
  ProtocolError,
  revealRandomnessCheck,
  secaggTerms,
  sessionId,
  shareKeysCheck,
  toHex,
  trainedFactor,
  unmaskSharesCheck,
  type Check,
  type CryptoProvider,
  type Plan,
  type RoundView as SecaggView,
  type SecaggTerms,
  type StoredBytes,
  type TrainedFactor,
} from '@fedlora/protocol';
import { FedloraError, type RequestPhase, type RoundOffer, type RoundRequest } from '@fedlora/shared';
import type { Run } from '../runs/runs.repository.js';
import { recruiting, transition, type RoundEffect, type RoundEvent, type RoundState } from './round.machine.js';
import type { RoundMessages } from './round-messages.js';
import type { RoundRecord } from './rounds.repository.js';

/** What a phase sends: one message to all, or to each participant its own. */
type Outgoing = Uint8Array | ((participant: number) => Uint8Array);

/** What every message of a participant says. */
interface Sent {
  readonly sender: number;
}

/** An answer as it came, whose sender waits to hear of it. */
export interface WaitingAnswer {
  readonly name: string;
  readonly phase: RequestPhase;
  readonly message: Uint8Array;
  /** It is stored. */
  readonly taken: () => void;
  readonly refused: (error: unknown) => void;
}

export class OpenRound {
  readonly trained: TrainedFactor;
  readonly terms: SecaggTerms;
  state: RoundState;
  /** Number of the next event. */
  sequence: number;
  /** Ends when everything that was asked of this round so far is done: events are handled one after the other. */
  tail: Promise<unknown> = Promise.resolve();
  /** Effects of stored events that are still to be performed, in order. */
  readonly pending: RoundEffect[] = [];
  /** Answers that have come and are not taken or refused yet, in order. */
  readonly answers: WaitingAnswer[] = [];
  /** Answers that wait to be handled, `participant/phase`: one of each, so that nobody can fill the memory with them. */
  readonly waiting = new Set<string>();
  /** Refusals recorded so far, by organisation. */
  readonly refusals = new Map<string, number>();
  /** Of the present phase only: what a phase before it was sent is not sent again, and its messages are not taken any more. */
  private planned: { readonly phase: RequestPhase; readonly outgoing: Outgoing } | undefined;
  private checking: { readonly phase: RequestPhase; readonly check: Check<Sent> } | undefined;
  /** Who advertised which key, hex. */
  private readonly keyOwners = new Map<string, number>();
  private keyListSent: Uint8Array | undefined;
  private revealListSent: Uint8Array | undefined;

  constructor(
    readonly record: RoundRecord,
    readonly run: Run,
    readonly messages: RoundMessages,
    events: readonly RoundEvent[],
    private readonly crypto: CryptoProvider,
    /** The newest signed list of revoked keys. */
    private readonly revocations: () => string | undefined,
  ) {
    this.trained = trainedFactor(run.manifest, record.completedRounds);
    this.terms = secaggTerms(run.manifest, run.roster, { sid: fromHex(record.sid), trained: this.trained });
    this.state = stateAfter(events);
    this.sequence = events.length;
    for (const [participant, message] of messages.all('advertising')) this.ownKeys(participant, bytesOf(message));
  }

  get id(): string {
    return this.record.id;
  }

  /** Bytes of one contribution. */
  get contributionBytes(): number {
    return 4 * this.terms.length;
  }

  /** The roster index of an organisation. @throws FedloraError round/not-a-participant */
  indexOf(name: string): number {
    const participant = this.state.participants.find((one) => one.name === name);
    if (participant === undefined) throw new FedloraError('round/not-a-participant');
    return participant.index;
  }

  /** The lists that this round has settled. Complete from `checking` on. */
  view(): SecaggView {
    const { answered } = this.state;
    const revealList = this.revealList();
    return {
      keyList: this.keyList(),
      ...(revealList === undefined ? {} : { revealList }),
      sharers: inOrder(answered.sharing),
      survivors: inOrder(answered.training),
    };
  }

  /** The stored messages of those who answered a phase, in the order of arrival. */
  answersTo(phase: Exclude<RequestPhase, 'sharing'>): Uint8Array[] {
    return this.storedAnswersTo(phase).map(bytesOf);
  }

  /** The messages of those who dealt shares, in the order of arrival; not in memory. */
  dealtShares(): StoredBytes[] {
    return this.storedAnswersTo('sharing');
  }

  private storedAnswersTo(phase: RequestPhase): StoredBytes[] {
    const answered = new Set(this.state.answered[phase]);
    return [...this.messages.all(phase)]
      .filter(([participant]) => answered.has(participant))
      .map(([, stored]) => stored);
  }

  /**
   * Checks a message of the present phase as it arrives, so that its sender is told at once.
   *
   * @throws ProtocolError: see the protocol's `checkX` of the phase
   * @throws FedloraError round/impersonation: it names another participant than its sender
   */
  check(phase: RequestPhase, participant: number, message: Uint8Array): void {
    const { sender } = this.checkOf(phase)(message);
    if (sender !== participant) throw new FedloraError('round/impersonation');
    if (phase === 'advertising') this.ownKeys(participant, message);
  }

  /** The request of the present phase: one that all get, or how to make that of each participant. */
  requests(
    phase: RequestPhase,
    sentAt: number,
  ): RoundRequest | ((participant: number, sentAt: number) => RoundRequest) {
    const common = { roundId: this.id, phase, deadlineAt: this.state.deadlineAt ?? sentAt, sentAt };
    if (phase === 'advertising') return { ...common, offer: this.offer() };
    const outgoing = this.outgoing(phase);
    if (typeof outgoing !== 'function') return { ...common, messages: [outgoing] };
    return (participant, at) => ({ ...common, sentAt: at, messages: [outgoing(participant)] });
  }

  private offer(): RoundOffer {
    const { run, record } = this;
    const revocations = this.revocations();
    return {
      ...(revocations === undefined ? {} : { revocations }),
      runId: run.id,
      roundId: record.id,
      number: record.number,
      completedRounds: record.completedRounds,
      manifest: run.manifestText,
      manifestSignature: run.manifestSignature,
      roster: run.rosterText,
      baseVersion: record.baseVersion,
      previousSid: record.previousSid,
    };
  }

  private outgoing(phase: Exclude<RequestPhase, 'advertising'>): Outgoing {
    if (this.planned?.phase !== phase) this.planned = { phase, outgoing: this.plan(phase) };
    return this.planned.outgoing;
  }

  private plan(phase: Exclude<RequestPhase, 'advertising'>): Outgoing {
    const { crypto, terms } = this;
    switch (phase) {
      case 'revealing':
        return this.keyList();
      case 'sharing':
        return this.revealList() ?? this.keyList();
      case 'training': {
        const dealt = this.dealtShares();
        const deliveries = ready(planDeliveries(crypto, terms, this.keyList(), dealt, this.revealList()));
        return (participant) => deliveries.messageFor(participant);
      }
      case 'checking':
        return ready(planSurvivors(crypto, terms, this.view().sharers, this.answersTo('training')));
      case 'unmasking':
        return ready(planSurvivorProof(crypto, terms, this.view(), this.answersTo('checking')));
      default:
        return phase satisfies never;
    }
  }

  private keyList(): Uint8Array {
    this.keyListSent ??= ready(planKeyList(this.crypto, this.terms, this.answersTo('advertising')));
    return this.keyListSent;
  }

  /** With a graph: the randomness that everyone showed. */
  private revealList(): Uint8Array | undefined {
    if (this.terms.graph === undefined) return undefined;
    const { crypto, terms } = this;
    this.revealListSent ??= ready(planReveals(crypto, terms, this.keyList(), this.answersTo('revealing')));
    return this.revealListSent;
  }

  /** Made once: the lists that messages of a phase are checked against are settled when it begins. */
  private checkOf(phase: RequestPhase): Check<Sent> {
    if (this.checking?.phase !== phase) this.checking = { phase, check: this.makeCheck(phase) };
    return this.checking.check;
  }

  private makeCheck(phase: RequestPhase): Check<Sent> {
    const { crypto, terms } = this;
    switch (phase) {
      case 'advertising':
        return (message) => checkAdvertiseKeys(crypto, terms, message);
      case 'revealing':
        return revealRandomnessCheck(crypto, terms, this.keyList());
      case 'sharing':
        return shareKeysCheck(crypto, terms, this.keyList(), this.revealList());
      case 'training': {
        const { sharers } = this.view();
        return (message) => checkMaskedInput(crypto, terms, sharers, message);
      }
      case 'checking':
        return consistencySignatureCheck(crypto, terms, this.view());
      case 'unmasking':
        return unmaskSharesCheck(crypto, terms, this.view());
      default:
        return phase satisfies never;
    }
  }

  /** A key that another participant advertised before is refused now, so that the key list has everyone who was accepted. */
  private ownKeys(participant: number, message: Uint8Array): void {
    const { encryptionKey, maskKey } = decodeAdvertiseKeys(message);
    const keys = [toHex(encryptionKey), toHex(maskKey)];
    const isCopied = keys.some((key) => (this.keyOwners.get(key) ?? participant) !== participant);
    if (isCopied || keys[0] === keys[1])
      throw new ProtocolError('secagg/duplicate', undefined, { sender: participant });
    for (const key of keys) this.keyOwners.set(key, participant);
  }
}

/** What the events of a round have led to. */
export function stateAfter(events: readonly RoundEvent[]): RoundState {
  return events.reduce((state, event) => transition(state, event).state, recruiting);
}

/** The session id of the round after a run's newest, hex. */
export function nextSid(run: Run, number: number): string {
  const sid = sessionId({
    manifestHash: fromHex(run.manifestHash),
    rosterHash: fromHex(run.manifest.rosterHash),
    runId: run.id,
    round: number,
    baseVersion: run.version,
    previousSid: fromHex(run.previousSid),
  });
  return Buffer.from(sid).toString('hex');
}

/** What a plan sends. Every message was checked on arrival and the machine counted them, so a plan that is not ready is a bug. */
function ready<Value>(plan: Plan<Value>): Value {
  if (plan.kind === 'ready') return plan.outgoing;
  throw new FedloraError(
    'internal/unexpected',
    `A finished phase has only ${plan.accepted.length} of ${plan.needed} messages.`,
  );
}

function inOrder(participants: readonly number[]): number[] {
  return [...participants].sort((a, b) => a - b);
}
