/**
 * A round that has not ended, in memory: the machine's state beside the protocol's messages, and what follows from them.
 *
 * Everything here is derived from what is stored, so a restart builds the same again.
 */

import {
  checkAdvertiseKeys,
  checkConsistencySignature,
  checkMaskedInput,
  checkRevealRandomness,
  checkShareKeys,
  checkUnmaskShares,
  decodeAdvertiseKeys,
  equalBytes,
  fromHex,
  planDeliveries,
  planKeyList,
  planReveals,
  planSurvivorProof,
  planSurvivors,
  ProtocolError,
  secaggTerms,
  sessionId,
  trainedFactor,
  type CryptoProvider,
  type Plan,
  type RoundView as SecaggView,
  type SecaggTerms,
  type TrainedFactor,
} from '@fedlora/protocol';
import { FedloraError, type RequestPhase, type RoundOffer, type RoundRequest } from '@fedlora/shared';
import type { Run } from '../runs/runs.repository.js';
import { recruiting, transition, type RoundEffect, type RoundEvent, type RoundState } from './round.machine.js';
import type { RoundMessages, RoundRecord } from './rounds.repository.js';

/** What a phase sends: the protocol messages for one participant. */
type Outgoing = (participant: number) => readonly Uint8Array[];

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
  /** Answers that wait to be handled, `participant/phase`: one of each, so that nobody can fill the memory with them. */
  readonly waiting = new Set<string>();
  /** Refusals recorded so far, by organisation. */
  readonly refusals = new Map<string, number>();
  private readonly planned = new Map<RequestPhase, Outgoing>();
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
    this.state = events.reduce((state, event) => transition(state, event).state, recruiting);
    this.sequence = events.length;
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
  answersTo(phase: RequestPhase): Uint8Array[] {
    const answered = this.state.answered[phase];
    return [...this.messages[phase]]
      .filter(([participant]) => answered.includes(participant))
      .map(([, message]) => message);
  }

  /**
   * Checks a message as it arrives, so that its sender is told at once.
   *
   * @throws ProtocolError: see the protocol's `checkX` of the phase
   * @throws FedloraError round/impersonation: it names another participant than its sender
   */
  check(phase: RequestPhase, participant: number, message: Uint8Array): void {
    const { sender } = this.checked(phase, message);
    if (sender !== participant) throw new FedloraError('round/impersonation');
    if (phase === 'advertising') this.refuseCopiedKeys(participant, message);
  }

  /** The request of the present phase for a participant. */
  request(phase: RequestPhase, participant: number, sentAt: number): RoundRequest {
    const common = { roundId: this.id, phase, deadlineAt: this.state.deadlineAt ?? sentAt, sentAt };
    if (phase === 'advertising') return { ...common, offer: this.offer() };
    return { ...common, messages: this.outgoing(phase)(participant) };
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
    const known = this.planned.get(phase);
    if (known !== undefined) return known;
    const made = this.plan(phase);
    this.planned.set(phase, made);
    return made;
  }

  private plan(phase: Exclude<RequestPhase, 'advertising'>): Outgoing {
    const { crypto, terms } = this;
    switch (phase) {
      case 'revealing': {
        const keyList = this.keyList();
        return () => [keyList];
      }
      case 'sharing': {
        const list = this.revealList() ?? this.keyList();
        return () => [list];
      }
      case 'training': {
        const answers = this.answersTo('sharing');
        const deliveries = ready(planDeliveries(crypto, terms, this.keyList(), answers, this.revealList()));
        return (participant) => [deliveries.messageFor(participant)];
      }
      case 'checking': {
        const survivors = ready(planSurvivors(crypto, terms, this.view().sharers, this.answersTo('training')));
        return () => [survivors];
      }
      case 'unmasking': {
        const proof = ready(planSurvivorProof(crypto, terms, this.view(), this.answersTo('checking')));
        return () => [proof];
      }
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

  private checked(phase: RequestPhase, message: Uint8Array): { readonly sender: number } {
    const { crypto, terms } = this;
    switch (phase) {
      case 'advertising':
        return checkAdvertiseKeys(crypto, terms, message);
      case 'revealing':
        return checkRevealRandomness(crypto, terms, this.keyList(), message);
      case 'sharing':
        return checkShareKeys(crypto, terms, this.keyList(), message, this.revealList());
      case 'training':
        return checkMaskedInput(crypto, terms, this.view().sharers, message);
      case 'checking':
        return checkConsistencySignature(crypto, terms, this.view(), message);
      case 'unmasking':
        return checkUnmaskShares(crypto, terms, this.view(), message);
      default:
        return phase satisfies never;
    }
  }

  /** A key that another participant advertised before is refused now, so that the key list has everyone who was accepted. */
  private refuseCopiedKeys(participant: number, message: Uint8Array): void {
    const own = decodeAdvertiseKeys(message);
    const keys = [own.encryptionKey, own.maskKey];
    // Only decoded: stored messages were checked when they came.
    const isCopied = [...this.messages.advertising].some(([sender, other]) => {
      if (sender === participant) return false;
      const theirs = decodeAdvertiseKeys(other);
      return keys.some((key) => equalBytes(key, theirs.encryptionKey) || equalBytes(key, theirs.maskKey));
    });
    if (isCopied || equalBytes(own.encryptionKey, own.maskKey)) {
      throw new ProtocolError('secagg/duplicate', undefined, { sender: participant });
    }
  }
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
