/**
 * A cohort in one process: participants with identities, and a coordinator that passes messages. Tests bend single steps.
 */

import { ProtocolError, type ProtocolErrorCode } from '../../protocol/src/errors.js';
import { nodeProvider, seededRandom } from '../../protocol/src/node/index.js';
import type { CryptoProvider } from '../../protocol/src/primitives/provider.js';
import {
  planDeliveries,
  planKeyList,
  planReveals,
  planSurvivorProof,
  planSurvivors,
  planUnmasking,
  type Plan,
  type RoundView,
  type UnmaskingPlan,
} from '../../protocol/src/secagg/aggregator.js';
import { emptyMaskedSum, sumMaskedInto, unmask } from '../../protocol/src/secagg/masks.js';
import {
  createAdvertise,
  createMaskedInput,
  handleKeyList,
  handleRevealList,
  handleShareDelivery,
  handleSurvivorList,
  handleSurvivorProof,
  type ParticipantParts,
  type ParticipantState,
} from '../../protocol/src/secagg/participant.js';
import type { GraphTerms } from '../../protocol/src/secagg/graph.js';
import { FIRST_PREVIOUS_SID, sessionId, type SecaggTerms } from '../../protocol/src/secagg/session.js';
import type { MaskedUpdate, NoisedUpdate } from '../../protocol/src/update/stages.js';

export interface Member {
  readonly index: number;
  readonly parts: ParticipantParts;
  state: ParticipantState;
  /** The update that this member holds. */
  readonly levels: Int32Array;
  /** The words that it uploaded, once it did. */
  masked?: MaskedUpdate;
}

export interface Cohort {
  readonly crypto: CryptoProvider;
  readonly terms: SecaggTerms;
  readonly members: readonly Member[];
  /** The AdvertiseKeys message of each member. */
  readonly advertised: readonly Uint8Array[];
}

export interface CohortOptions {
  readonly participants: number;
  readonly threshold: number;
  readonly minContributors?: number;
  readonly assumedColluders?: number;
  readonly length?: number;
  readonly round?: number;
  readonly baseVersion?: string;
  /** Other fresh keys for the same identities. */
  readonly attempt?: number;
  readonly crypto?: CryptoProvider;
  readonly graph?: GraphTerms;
}

/** A cohort that has just advertised. The same options give the same bytes. */
export function aCohort(options: CohortOptions): Cohort {
  const { participants, threshold, length = 64, round = 1, attempt = 1, crypto = nodeProvider } = options;
  const seeds = Array.from({ length: participants }, (_, i) => seededRandom(`identity/${i}`)(32));
  const terms: SecaggTerms = {
    sid: sessionId({
      manifestHash: new Uint8Array(32).fill(1),
      rosterHash: new Uint8Array(32).fill(2),
      runId: 'run',
      round,
      baseVersion: options.baseVersion ?? 'adapter-0',
      previousSid: FIRST_PREVIOUS_SID,
    }),
    threshold,
    minContributors: options.minContributors ?? threshold,
    assumedColluders: options.assumedColluders ?? 1,
    members: seeds.map((seed, index) => ({ index, identity: crypto.ed25519.publicKey(seed) })),
    length,
    ...(options.graph === undefined ? {} : { graph: options.graph }),
  };
  const advertised: Uint8Array[] = [];
  const members = seeds.map((seed, index): Member => {
    const random = seededRandom(`member/${index}/${round}/${attempt}`);
    const parts: ParticipantParts = { crypto, random, sign: (message) => crypto.ed25519.sign(seed, message) };
    const step = createAdvertise(parts, terms, index);
    advertised.push(step.message);
    return { index, parts, state: step.state, levels: someLevels(`levels/${index}`, length) };
  });
  return { crypto, terms, members, advertised };
}

/** Levels of both signs, large enough to show a mistake in any byte. */
function someLevels(seed: string, length: number): Int32Array {
  return new Int32Array(seededRandom(seed)(4 * length).buffer).map((level) => level >> 5);
}

/** What a member hands to `createMaskedInput`. */
export function noised(levels: Int32Array): NoisedUpdate {
  return { levels } as NoisedUpdate;
}

/** The plain sum modulo 2^32 that the protocol must arrive at. */
export function plainSum(cohort: Cohort, of: readonly number[] = cohort.members.map(({ index }) => index)): Int32Array {
  const sum = new Int32Array(cohort.terms.length);
  for (const i of of) for (let j = 0; j < sum.length; j++) sum[j] += cohort.members[i].levels[j];
  return sum;
}

/** The outgoing part of a plan that must be ready. */
export function ready<Outgoing>(plan: Plan<Outgoing>): Outgoing {
  if (plan.kind !== 'ready') throw new Error(`The plan is not ready: ${JSON.stringify(plan)}`);
  return plan.outgoing;
}

interface AnyStep {
  readonly state: ParticipantState;
  readonly message?: Uint8Array;
  readonly consumed: readonly { wipe(): void }[];
}

/** Keeps the new state of a member and wipes what the step consumed. Returns the message, empty if there is none. */
export function apply(member: Member, step: AnyStep): Uint8Array {
  member.state = step.state;
  for (const secret of step.consumed) secret.wipe();
  return step.message ?? new Uint8Array(0);
}

/** The code of the ProtocolError that `act` throws; fails on any other error, or on none. */
export function refusal(act: () => unknown): ProtocolErrorCode {
  try {
    act();
  } catch (error) {
    if (error instanceof ProtocolError) return error.code;
    throw error;
  }
  throw new Error('Nothing was refused.');
}

/** Who takes part in which phase; everyone of the phase before where it is not said. */
export interface Who {
  readonly advertisers?: readonly number[];
  /** With a graph: who shows its randomness. */
  readonly revealers?: readonly number[];
  readonly sharers?: readonly number[];
  readonly survivors?: readonly number[];
}

/** Phases 1 and 2 without a graph. */
export function shareKeys(cohort: Cohort, who: Who = {}): { keyList: Uint8Array; shareMessages: Uint8Array[] } {
  const advertisers = who.advertisers ?? cohort.members.map(({ index }) => index);
  const advertised = advertisers.map((i) => cohort.advertised[i]);
  const keyList = ready(planKeyList(cohort.crypto, cohort.terms, advertised));
  const shareMessages = (who.sharers ?? advertisers).map((i) => {
    const member = cohort.members[i];
    return apply(member, handleKeyList(member.parts, member.state, keyList));
  });
  return { keyList, shareMessages };
}

/** What is known once everyone showed its randomness. */
export interface RevealedLists {
  readonly keyList: Uint8Array;
  readonly reveals: readonly Uint8Array[];
  readonly revealList: Uint8Array;
}

/** With a graph: phase 1 and the showing of randomness. */
export function showRandomness(cohort: Cohort, who: Who = {}): RevealedLists {
  const revealers = who.revealers ?? cohort.members.map(({ index }) => index);
  const keyList = ready(planKeyList(cohort.crypto, cohort.terms, cohort.advertised));
  const reveals = revealers.map((i) => {
    const member = cohort.members[i];
    return apply(member, handleKeyList(member.parts, member.state, keyList));
  });
  return { keyList, reveals, revealList: ready(planReveals(cohort.crypto, cohort.terms, keyList, reveals)) };
}

/** With a graph: phases 1 to 3, up to the delivery of shares. */
export function dealInGraph(cohort: Cohort, who: Who = {}): Dealt {
  const { keyList, revealList } = showRandomness(cohort, who);
  const shareMessages = (who.sharers ?? who.revealers ?? cohort.members.map(({ index }) => index)).map((i) => {
    const member = cohort.members[i];
    return apply(member, handleRevealList(member.parts, member.state, revealList));
  });
  return deliver(cohort, keyList, shareMessages, revealList);
}

/** A cohort whose sharers hold each other's shares and may mask. */
export interface Dealt {
  readonly keyList: Uint8Array;
  readonly revealList?: Uint8Array;
  readonly shareMessages: readonly Uint8Array[];
  readonly sharers: readonly number[];
}

/** Phase 3, first half: delivers these messages to everyone who sent one. */
export function deliver(
  cohort: Cohort,
  keyList: Uint8Array,
  shareMessages: readonly Uint8Array[],
  revealList?: Uint8Array,
): Dealt {
  const plan = planDeliveries(cohort.crypto, cohort.terms, keyList, shareMessages, revealList);
  const deliveries = ready(plan);
  for (const receiver of deliveries.receivers) {
    const member = cohort.members[receiver];
    apply(member, handleShareDelivery(member.parts, member.state, deliveries.messageFor(receiver)));
  }
  return { keyList, ...(revealList === undefined ? {} : { revealList }), shareMessages, sharers: plan.accepted };
}

/** Phases 1 to 3, up to the delivery of shares. */
export function deal(cohort: Cohort, who: Who = {}): Dealt {
  const { keyList, shareMessages } = shareKeys(cohort, who);
  return deliver(cohort, keyList, shareMessages);
}

/** A cohort whose survivors have uploaded. */
export interface Collected extends Dealt {
  readonly receipts: readonly Uint8Array[];
  readonly survivorList: Uint8Array;
  readonly view: RoundView;
}

/** Phase 3, second half: `survivors` upload their words. */
export function upload(cohort: Cohort, dealt: Dealt, survivors: readonly number[] = dealt.sharers): Collected {
  const receipts = survivors.map((i) => {
    const member = cohort.members[i];
    const step = createMaskedInput(member.parts, member.state, noised(member.levels));
    member.masked = step.masked;
    return apply(member, step);
  });
  const plan = planSurvivors(cohort.crypto, cohort.terms, dealt.sharers, receipts);
  const survivorList = ready(plan);
  const { keyList, sharers, revealList } = dealt;
  const view = { keyList, ...(revealList === undefined ? {} : { revealList }), sharers, survivors: plan.accepted };
  return { ...dealt, receipts, survivorList, view };
}

/** Phases 1 to 3. */
export function collect(cohort: Cohort, who: Who = {}): Collected {
  return upload(cohort, deal(cohort, who), who.survivors);
}

/** Phase 4: `signers` sign the survivor list. Returns the proof. */
export function prove(cohort: Cohort, collected: Collected, signers = collected.view.survivors): Uint8Array {
  const signatures = signers.map((i) => {
    const member = cohort.members[i];
    return apply(member, handleSurvivorList(member.parts, member.state, collected.survivorList));
  });
  return ready(planSurvivorProof(cohort.crypto, cohort.terms, collected.view, signatures));
}

/** Phase 5: `responders` give shares away. */
export function answer(cohort: Cohort, proof: Uint8Array, responders: readonly number[]): Uint8Array[] {
  return responders.map((i) => {
    const member = cohort.members[i];
    return apply(member, handleSurvivorProof(member.parts, member.state, proof));
  });
}

/** What the coordinator makes of the answers. */
export function recover(cohort: Cohort, collected: Collected, answers: readonly Uint8Array[]): UnmaskingPlan {
  return planUnmasking(cohort.crypto, cohort.terms, collected.view, collected.shareMessages, answers);
}

/** The unmasked sum of the survivors' words. */
export function unmaskedSum(cohort: Cohort, collected: Collected, plan: UnmaskingPlan): Int32Array {
  const sum = emptyMaskedSum(cohort.terms.length);
  for (const i of collected.view.survivors) sumMaskedInto(sum, cohort.members[i].masked!.words);
  return unmask(cohort.crypto, sum, ready(plan).masks).levels;
}
