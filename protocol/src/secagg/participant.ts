/**
 * The participant's half of secure aggregation. Source: Bonawitz et al. 2017, Figure 4 (malicious variant); SPEC §7.
 *
 * Each verb takes a state and a message and returns a new state; the old one is not changed. `consumed` lists secrets that the
 * protocol needs no more: once the caller has stored the new state it wipes them, after which the old state cannot be used again.
 *
 *     createAdvertise -> handleKeyList -> handleShareDelivery -> createMaskedInput -> handleSurvivorList -> handleSurvivorProof
 *     advertised         shared           ready                  masked               signed                unmasked
 *
 * With a graph there is one more step: `handleKeyList` shows the randomness that was committed to (state `revealed`), and
 * `handleRevealList` deals the shares.
 *
 * Guarantee  Whatever the coordinator and up to c participants send, they learn of this participant's update at most a sum over
 *            at least max(t, minContributors) participants, of whom all but c are honest. That rests on: keys are signed by roster
 *            identities; 2t > n + c; each phase is answered once; about each participant one kind of share is given away, and only
 *            after t survivors signed the very lists that this participant saw.
 * Idempotent The same message again gets the same answer, so that a lost reply can be asked for again; another one is refused.
 * Secrets    live in the state as `Secret` and in memory only. A participant that restarts has forgotten them and cannot answer
 *            for the session any more; it must not start the session a second time either (the client keeps that on disk).
 */

import { equalBytes } from '../bytes/equal.js';
import { Reader } from '../bytes/reader.js';
import type { Secret } from '../bytes/secret.js';
import { usingOnce, wipingOnThrow, type Keep } from '../bytes/secret.js';
import { Writer } from '../bytes/writer.js';
import { ProtocolError, type ProtocolErrorCode } from '../errors.js';
import { domains } from '../primitives/domains.js';
import { HASH_BYTES } from '../primitives/hash.js';
import { deriveKey, KEY_BYTES } from '../primitives/kdf.js';
import { SEAL_NONCE_BYTES, type CryptoProvider } from '../primitives/provider.js';
import type { RandomSource } from '../random.js';
import { isCanonicalShare, SHARE_BYTES, split, type Share } from '../sharing/shamir.js';
import type { MaskedUpdate, NoisedUpdate } from '../update/stages.js';
import { checkRevealList, readCohort, type Cohort } from './cohort.js';
import { graphCommitment, GRAPH_RANDOMNESS_BYTES, type Graph } from './graph.js';
import { mask, pairwiseMaskSeed, pairwiseSign, selfMaskKey, wordsHash, type SignedMask } from './masks.js';
import {
  advertiseKeysToSign,
  consistencyToSign,
  decodeKeyList,
  decodeShareDelivery,
  decodeSurvivorList,
  decodeSurvivorProof,
  encodeAdvertiseKeys,
  encodeConsistencySignature,
  encodeMaskedInput,
  encodeRevealRandomness,
  encodeShareKeys,
  encodeUnmaskShares,
  expectSignature,
  indices,
  keyListHash,
  maskedInputToSign,
  revealRandomnessToSign,
  seedCommitment,
  shareCommitment,
  shareEntryHash,
  shareKeysToSign,
  survivorsHash,
  unmaskSharesToSign,
  type AdvertisedKeys,
  type DeliveredShares,
  type KeyList,
  type ShareDelivery,
  type ShareEntry,
  type ShareKind,
  type UnmaskEntry,
} from './messages.js';
import {
  checkCohort,
  checkRemaining,
  checkTerms,
  expectSession,
  identityOf,
  shareThreshold,
  type SecaggTerms,
} from './session.js';

/** What a participant works with besides its state. */
export interface ParticipantParts {
  readonly crypto: CryptoProvider;
  readonly random: RandomSource;
  /** Signs with this organisation's Ed25519 identity, whose secret stays wherever the client keeps it. */
  readonly sign: (message: Uint8Array) => Uint8Array;
}

/** A dealer whose shares this participant cannot use, and why. */
export interface Fault {
  readonly participant: number;
  readonly code: ProtocolErrorCode;
}

/** The two shares that one dealer gave to this participant. */
interface ReceivedShares {
  readonly dealer: number;
  /** Undefined if the dealer is at fault. */
  readonly shares: { readonly selfMask: Secret; readonly maskKey: Secret } | undefined;
}

/** A message that was answered, by its hash, and the answer. */
interface Answered {
  readonly verb: Verb;
  readonly requestHash: Uint8Array;
  readonly answer: Uint8Array | undefined;
}

type Verb = 'handleKeyList' | 'handleRevealList' | 'handleShareDelivery' | 'handleSurvivorList' | 'handleSurvivorProof';

interface CommonState {
  readonly terms: SecaggTerms;
  /** This participant's index. */
  readonly me: number;
  readonly answered: readonly Answered[];
}

/** Keys were made. Ends when the key list arrives. */
export interface AdvertisedState extends CommonState {
  readonly phase: 'advertised';
  readonly own: AdvertisedKeys;
  readonly encryptionSecret: Secret;
  readonly maskSecret: Secret;
  /** With a graph: what this participant committed to, to be shown for one key list. */
  readonly graphRandomness?: Secret;
}

/** With a graph: randomness was shown for one key list. Ends when that of the others arrives. */
export interface RevealedState extends CommonState {
  readonly phase: 'revealed';
  readonly own: AdvertisedKeys;
  readonly encryptionSecret: Secret;
  readonly maskSecret: Secret;
  /** The key list as it came; everything in it was checked. */
  readonly keyList: Uint8Array;
}

/** What is known and held from the key list on, or with a graph from the reveal list on. */
interface KeyedState extends CommonState {
  /** U1 in increasing order. */
  readonly participants: readonly number[];
  /** Whose shares I hold, and who holds mine: U1, or with a graph my neighbours and me. In increasing order. */
  readonly peers: readonly number[];
  /** Hash over the key list, with a graph also over the reveal list. */
  readonly keyListHash: Uint8Array;
}

/** Shares were dealt. Ends when those of the others arrive. */
export interface SharedState extends KeyedState {
  readonly phase: 'shared';
  readonly graph: Graph;
  /** For each peer, in order: the key that opens what it sealed for me. */
  readonly openKeys: readonly Secret[];
  /** For each peer, in order: the seed of the mask between us. My own place is never used. */
  readonly pairSeeds: readonly (Secret | undefined)[];
  /** b: the seed of my self mask. */
  readonly selfSeed: Secret;
}

/** What is known and held once shares were delivered. */
interface DealtState extends KeyedState {
  /** U2 in increasing order. */
  readonly sharers: readonly number[];
  /** For each peer of U2, in order. */
  readonly received: readonly ReceivedShares[];
  /** Dealers whose shares did not open or did not match their commitments: the round goes on without those shares. */
  readonly faulty: readonly Fault[];
}

/** Everything is in place to mask one update: training may take its time. Ends with `createMaskedInput`. */
export interface ReadyState extends DealtState {
  readonly phase: 'ready';
  /** As in the state before. */
  readonly pairSeeds: readonly (Secret | undefined)[];
  readonly selfSeed: Secret;
}

/** The update was masked and its masks forgotten. Ends when the survivor list arrives. */
export interface MaskedState extends DealtState {
  readonly phase: 'masked';
  /** The receipt, for sending again. */
  readonly receipt: Uint8Array;
}

/** One survivor list was signed; no other will be. Ends when the proof arrives. */
export interface SignedState extends DealtState {
  readonly phase: 'signed';
  /** U3 in increasing order. */
  readonly survivors: readonly number[];
  readonly survivorsHash: Uint8Array;
}

/** Shares were given away; nothing secret is left. */
export interface UnmaskedState extends CommonState {
  readonly phase: 'unmasked';
  readonly faulty: readonly Fault[];
}

export type ParticipantState =
  AdvertisedState | RevealedState | SharedState | ReadyState | MaskedState | SignedState | UnmaskedState;

/** The result of a verb. The type of the state is wider when a message was answered again, in a later phase. */
export interface Step<State extends ParticipantState = ParticipantState> {
  readonly state: State;
  /** What to send to the coordinator. */
  readonly message: Uint8Array;
  /** What to wipe once the state is kept. */
  readonly consumed: readonly Secret[];
}

/** Like `Step`, for a phase without answer. */
export type SilentStep = Omit<Step, 'message'>;

/** What `createMaskedInput` returns: the words go by HTTP, the message is their signed receipt. */
export interface MaskedStep extends Step<MaskedState> {
  readonly masked: MaskedUpdate;
}

/**
 * Phase 1: makes fresh keys for the session and advertises them.
 *
 * Source     Figure 4, Round 0; SPEC §6.1
 * @param me this participant's index in the roster
 * @throws ProtocolError manifest/invalid | roster/invalid: the terms are impossible
 * @throws ProtocolError secagg/not-in-roster: `me` is not in them
 */
export function createAdvertise(parts: ParticipantParts, terms: SecaggTerms, me: number): Step<AdvertisedState> {
  checkTerms(terms);
  identityOf(terms, me);
  return wipingOnThrow((keep) => {
    const encryptionSecret = keep(parts.crypto.x25519.generateSecret(parts.random));
    const maskSecret = keep(parts.crypto.x25519.generateSecret(parts.random));
    const graphRandomness = terms.graph === undefined ? undefined : keep(parts.random(GRAPH_RANDOMNESS_BYTES));
    const body = {
      sid: terms.sid,
      sender: me,
      encryptionKey: parts.crypto.x25519.publicKey(encryptionSecret.reveal()),
      maskKey: parts.crypto.x25519.publicKey(maskSecret.reveal()),
      ...(graphRandomness === undefined
        ? {}
        : { graphCommitment: graphCommitment(terms.sid, me, graphRandomness.reveal()) }),
    };
    const signature = parts.sign(advertiseKeysToSign(body));
    const { sid, ...keys } = body;
    return {
      state: {
        phase: 'advertised',
        terms,
        me,
        answered: [],
        own: { ...keys, signature },
        encryptionSecret,
        maskSecret,
        ...(graphRandomness === undefined ? {} : { graphRandomness }),
      },
      message: encodeAdvertiseKeys({ sid, ...keys, signature }),
      consumed: [],
    };
  });
}

/**
 * Phase 2: checks everyone's keys, agrees on keys with each, and deals shares of this participant's two secrets. With a graph it
 * deals later: now it shows the randomness that it committed to, for this key list and no other.
 *
 * Source     Figure 4, Round 1; SPEC §6.3, §10.3
 * Guarantee  every key is signed by the roster identity of its index; no key appears twice; no key is of small order; 2t > n + c.
 *            The X25519 secrets are not needed again once shares are dealt.
 * Secrets    made here are wiped if anything throws; the state and its secrets stay as they were.
 * @throws ProtocolError crypto/bad-signature | crypto/low-order-point | secagg/not-in-roster | secagg/duplicate |
 *         secagg/left-out | secagg/wrong-session | secagg/wrong-phase | secagg/threshold-too-low | secagg/cohort-too-small
 */
export function handleKeyList(parts: ParticipantParts, state: ParticipantState, bytes: Uint8Array): Step {
  const again = answeredBefore(parts, state, 'handleKeyList', bytes);
  if (again !== undefined) return replayed(state, again);
  if (state.phase !== 'advertised') throw wrongPhase(state, 'a key list');

  checkKeyList(parts.crypto, state, decodeKeyList(bytes));
  if (state.graphRandomness !== undefined) return reveal(parts, state, bytes, state.graphRandomness);
  return agreeAndDeal(parts, state, readCohort(state.terms, bytes, undefined), { verb: 'handleKeyList', bytes });
}

/** The second half of `handleKeyList` with a graph. */
function reveal(
  parts: ParticipantParts,
  state: AdvertisedState,
  bytes: Uint8Array,
  randomness: Secret,
): Step<RevealedState> {
  const { terms, me, own, encryptionSecret, maskSecret } = state;
  const body = { sid: terms.sid, sender: me, keyListHash: keyListHash(bytes), randomness: randomness.reveal() };
  const message = encodeRevealRandomness({ ...body, signature: parts.sign(revealRandomnessToSign(body)) });
  return {
    state: {
      phase: 'revealed',
      terms,
      me,
      answered: remember(parts, state, 'handleKeyList', bytes, message),
      own,
      encryptionSecret,
      maskSecret,
      // Not `slice`: on a Node `Buffer` that would share memory with the message.
      keyList: new Uint8Array(bytes),
    },
    message,
    consumed: [randomness],
  };
}

/**
 * Between phases 1 and 2, with a graph only: checks what everyone showed, derives the graph, and deals shares to the neighbours.
 *
 * Source     SPEC §10.3 to §10.5
 * Guarantee  each value matches the commitment in the key list and is signed for that list; all but `silent` of the list are there;
 *            the graph follows from them alone. The X25519 secrets are not needed again.
 * Secrets    made here are wiped if anything throws; the state and its secrets stay as they were.
 * @throws ProtocolError secagg/wrong-reveal | crypto/bad-signature | crypto/low-order-point | secagg/not-in-roster |
 *         secagg/left-out | secagg/wrong-session | secagg/wrong-phase | secagg/threshold-too-low | secagg/cohort-too-small
 */
export function handleRevealList(parts: ParticipantParts, state: ParticipantState, bytes: Uint8Array): Step {
  const again = answeredBefore(parts, state, 'handleRevealList', bytes);
  if (again !== undefined) return replayed(state, again);
  const { terms, me } = state;
  if (state.phase !== 'revealed') throw wrongPhase(state, 'a reveal list');

  checkRevealList(parts.crypto, terms, state.keyList, bytes);
  const cohort = readCohort(terms, state.keyList, bytes);
  expectIncluded(cohort.graph.participants, me);
  return agreeAndDeal(parts, state, cohort, { verb: 'handleRevealList', bytes });
}

/** Agrees on keys with each peer of the graph and deals shares of both secrets to it. */
function agreeAndDeal(
  parts: ParticipantParts,
  state: AdvertisedState | RevealedState,
  cohort: Cohort,
  answering: { readonly verb: Verb; readonly bytes: Uint8Array },
): Step<SharedState> {
  const { terms, me, own } = state;
  const { crypto } = parts;
  const { graph } = cohort;
  const peers = graph.holdersOf(me);
  const isPeer = new Set(peers);

  return wipingOnThrow((keep) => {
    // One shared secret for sealing (two directions) and one for masking with each peer; small-order keys are refused here.
    const sealKeys: Secret[] = [];
    const openKeys: Secret[] = [];
    const pairSeeds: (Secret | undefined)[] = [];
    for (const peer of cohort.list.keys) {
      if (!isPeer.has(peer.sender)) continue;
      usingOnce(crypto.x25519.sharedSecret(state.encryptionSecret.reveal(), peer.encryptionKey), (shared) => {
        sealKeys.push(keep(sealingKey(shared, terms.sid, own, peer)));
        openKeys.push(keep(sealingKey(shared, terms.sid, peer, own)));
      });
      pairSeeds.push(peer.sender === me ? undefined : pairSeed(parts, state, peer, keep));
    }

    const selfSeed = keep(parts.random(KEY_BYTES));
    const entries = deal(parts, state, peers, sealKeys, selfSeed);
    for (const key of sealKeys) key.wipe();
    const body = {
      sid: terms.sid,
      sender: me,
      keyListHash: cohort.hash,
      seedCommitment: seedCommitment(terms.sid, me, selfSeed.reveal()),
    };
    const entryHashes = entries.map((entry) => shareEntryHash(crypto, terms.sid, me, entry));
    const signature = parts.sign(shareKeysToSign(body, entryHashes));
    const message = encodeShareKeys({ ...body, entries, signature });

    return {
      state: {
        phase: 'shared',
        terms,
        me,
        answered: remember(parts, state, answering.verb, answering.bytes, message),
        participants: graph.participants,
        peers,
        keyListHash: cohort.hash,
        graph,
        openKeys,
        pairSeeds,
        selfSeed,
      },
      message,
      consumed: [state.encryptionSecret, state.maskSecret],
    };
  });
}

/** The seed of the mask between this participant and a peer. */
function pairSeed(
  { crypto }: ParticipantParts,
  state: AdvertisedState | RevealedState,
  peer: AdvertisedKeys,
  keep: Keep,
): Secret {
  const me = { index: state.me, maskKey: state.own.maskKey };
  return usingOnce(crypto.x25519.sharedSecret(state.maskSecret.reveal(), peer.maskKey), (agreed) =>
    keep(pairwiseMaskSeed(agreed, state.terms.sid, me, { index: peer.sender, maskKey: peer.maskKey })),
  );
}

/**
 * Phase 3, before training: opens the shares that the others dealt to this participant.
 *
 * Source     Figure 4, Round 2, first half; SPEC §6.4
 * Guarantee  each dealer in the result signed for this key list, and its shares match its own commitments; or it is in `faulty`.
 *            A fault of a dealer does not stop the round; a fault of the coordinator throws.
 * @throws ProtocolError crypto/bad-signature | secagg/key-lists-differ | secagg/left-out | secagg/not-in-roster |
 *         secagg/wrong-session | secagg/wrong-phase | secagg/cohort-too-small
 */
export function handleShareDelivery(parts: ParticipantParts, state: ParticipantState, bytes: Uint8Array): SilentStep {
  if (answeredBefore(parts, state, 'handleShareDelivery', bytes) !== undefined) return { state, consumed: [] };
  if (state.phase !== 'shared') throw wrongPhase(state, 'a share delivery');
  const { terms, me, participants, peers } = state;

  const delivery = decodeShareDelivery(bytes);
  expectSession(terms, delivery.sid);
  if (delivery.receiver !== me) {
    throw new ProtocolError('secagg/wrong-session', `The shares are for participant ${delivery.receiver}.`);
  }
  const dealers = delivery.dealers.map((delivered) => delivered.dealer);
  const sharers = sharersOf(terms, delivery, dealers);
  expectSubset(sharers, participants);
  expectIncluded(sharers, me);
  checkRemaining(terms, sharers.length);
  expectDealers(dealers, peers, sharers);

  return wipingOnThrow((keep) => {
    const received: ReceivedShares[] = [];
    const faulty: Fault[] = [];
    for (const delivered of delivery.dealers) {
      checkDelivered(parts.crypto, state, delivered);
      const dealer = delivered.dealer;
      // dealers are a subset of peers, each with a key.
      const key = state.openKeys[peers.indexOf(dealer)];
      const opened = openShares(parts.crypto, state, delivered, key, keep);
      if ('code' in opened) {
        faulty.push({ participant: dealer, code: opened.code });
        received.push({ dealer, shares: undefined });
      } else {
        received.push({ dealer, shares: opened });
      }
    }

    return {
      state: {
        phase: 'ready',
        terms,
        me,
        answered: remember(parts, state, 'handleShareDelivery', bytes, undefined),
        participants,
        peers,
        keyListHash: state.keyListHash,
        sharers,
        received,
        faulty,
        pairSeeds: state.pairSeeds,
        selfSeed: state.selfSeed,
      },
      consumed: state.openKeys,
    };
  });
}

/**
 * Phase 3, after training: masks the noised update. Can be done once.
 *
 * Shapes     levels [P] i32 -> words [P] u32 mod 2^32
 * Source     Figure 4, Round 2, second half; SPEC §5.3, §6.5
 * Guarantee  the words are uniform to the coordinator and any c participants as long as one honest sharer's pairwise seed or the
 *            self-mask seed is unknown to them.
 * Secrets    all seeds of this participant's masks are in `consumed`: a second vector cannot be masked with them.
 * @throws ProtocolError update/wrong-length: not `terms.length` levels
 * @throws ProtocolError secagg/wrong-phase: before the delivery, or for the second time
 */
export function createMaskedInput(parts: ParticipantParts, state: ParticipantState, noised: NoisedUpdate): MaskedStep {
  if (state.phase !== 'ready') throw wrongPhase(state, 'masking');
  const { terms, me, peers, sharers } = state;
  if (noised.levels.length !== terms.length) {
    throw new ProtocolError(
      'update/wrong-length',
      `The update has ${noised.levels.length} values, not ${terms.length}.`,
    );
  }
  const masked = usingOnce(selfMaskKey(state.selfSeed.reveal(), terms.sid, me), (ownKey) => {
    const masks: SignedMask[] = [{ seed: ownKey, sign: 1 }];
    const hasShared = new Set(sharers);
    peers.forEach((other, i) => {
      const seed = state.pairSeeds[i];
      if (seed !== undefined && hasShared.has(other))
        masks.push({ seed: seed.reveal(), sign: pairwiseSign(me, other) });
    });
    return mask(parts.crypto, noised, masks);
  });

  const body = { sid: terms.sid, sender: me, wordsHash: wordsHash(parts.crypto, masked), length: terms.length };
  const message = encodeMaskedInput({ ...body, signature: parts.sign(maskedInputToSign(body)) });
  return {
    state: {
      phase: 'masked',
      terms,
      me,
      answered: state.answered,
      participants: state.participants,
      peers,
      keyListHash: state.keyListHash,
      sharers,
      received: state.received,
      faulty: state.faulty,
      receipt: message,
    },
    masked,
    message,
    consumed: [state.selfSeed, ...present(state.pairSeeds)],
  };
}

/**
 * Phase 4: signs the survivor list. Signs one list in a session and never another.
 *
 * Source     Figure 4, Round 3; SPEC §6.7
 * @throws ProtocolError secagg/left-out | secagg/not-in-roster | secagg/cohort-too-small | secagg/wrong-session |
 *         secagg/wrong-phase
 */
export function handleSurvivorList(parts: ParticipantParts, state: ParticipantState, bytes: Uint8Array): Step {
  const again = answeredBefore(parts, state, 'handleSurvivorList', bytes);
  if (again !== undefined) return replayed(state, again);
  if (state.phase !== 'masked') throw wrongPhase(state, 'a survivor list');
  const { terms, me, sharers } = state;

  const { sid, survivors } = decodeSurvivorList(bytes);
  expectSession(terms, sid);
  expectSubset(survivors, sharers);
  expectIncluded(survivors, me);
  checkRemaining(terms, survivors.length);

  const hash = survivorsHash({ sid, keyListHash: state.keyListHash, sharers, survivors });
  const body = { sid, sender: me, survivorsHash: hash };
  const message = encodeConsistencySignature({ ...body, signature: parts.sign(consistencyToSign(body)) });
  return {
    state: {
      phase: 'signed',
      terms,
      me,
      answered: remember(parts, state, 'handleSurvivorList', bytes, message),
      participants: state.participants,
      peers: state.peers,
      keyListHash: state.keyListHash,
      sharers,
      received: state.received,
      faulty: state.faulty,
      survivors,
      survivorsHash: hash,
    },
    message,
    consumed: [],
  };
}

/**
 * Phase 5: gives away shares, after at least t survivors proved that they signed the lists that this participant signed.
 *
 * Source     Figure 4, Round 4; SPEC §6.9
 * Guarantee  about each survivor the share of its self-mask seed, about each who dropped after sharing the share of its mask key,
 *            never both; once per session.
 * Order      The client must write "answered session sid" to disk before it sends the message.
 * @throws ProtocolError secagg/survivors-differ: a signature is not over the list that this participant signed
 * @throws ProtocolError secagg/not-in-roster | secagg/cohort-too-small | secagg/wrong-session | secagg/wrong-phase
 */
export function handleSurvivorProof(parts: ParticipantParts, state: ParticipantState, bytes: Uint8Array): Step {
  const again = answeredBefore(parts, state, 'handleSurvivorProof', bytes);
  if (again !== undefined) return replayed(state, again);
  if (state.phase !== 'signed') throw wrongPhase(state, 'a survivor proof');
  const { terms, me, survivors } = state;

  const proof = decodeSurvivorProof(bytes);
  expectSession(terms, proof.sid);
  expectSubset(
    proof.signatures.map(({ signer }) => signer),
    survivors,
  );
  if (proof.signatures.length < terms.threshold) {
    throw new ProtocolError('secagg/cohort-too-small', 'Fewer survivors than the threshold signed the list.', {
      participants: proof.signatures.length,
      needed: terms.threshold,
    });
  }
  for (const { signer, signature } of proof.signatures) {
    const statement = consistencyToSign({ sid: terms.sid, sender: signer, survivorsHash: state.survivorsHash });
    if (!parts.crypto.ed25519.verify(signature, statement, identityOf(terms, signer))) {
      throw new ProtocolError('secagg/survivors-differ', undefined, { sender: signer });
    }
  }

  const hasSurvived = new Set(survivors);
  const entries = state.received.map(({ dealer, shares }): UnmaskEntry => {
    if (shares === undefined) return { about: dealer, kind: 'unusable' };
    return hasSurvived.has(dealer)
      ? { about: dealer, kind: 'self-mask', share: shares.selfMask.reveal() }
      : { about: dealer, kind: 'mask-key', share: shares.maskKey.reveal() };
  });
  const body = { sid: terms.sid, sender: me, entries };
  const message = encodeUnmaskShares({ ...body, signature: parts.sign(unmaskSharesToSign(body)) });
  return {
    state: {
      phase: 'unmasked',
      terms,
      me,
      answered: remember(parts, state, 'handleSurvivorProof', bytes, message),
      faulty: state.faulty,
    },
    message,
    consumed: secretsIn(state),
  };
}

/** Every secret that a state holds: what a participant wipes when it leaves a round before its end. */
export function secretsIn(state: ParticipantState): readonly Secret[] {
  switch (state.phase) {
    case 'advertised':
      return [state.encryptionSecret, state.maskSecret, ...present([state.graphRandomness])];
    case 'revealed':
      return [state.encryptionSecret, state.maskSecret];
    case 'shared':
      return [state.selfSeed, ...state.openKeys, ...present(state.pairSeeds)];
    case 'ready':
      return [state.selfSeed, ...present(state.pairSeeds), ...sharesIn(state)];
    case 'masked':
    case 'signed':
      return sharesIn(state);
    case 'unmasked':
      return [];
    default:
      return state satisfies never;
  }
}

/**
 * The key under which `from` seals shares for `to` (SPEC §5.2). Names the direction and both public keys, so a box that is
 * reflected to its sender or sent on to somebody else does not open.
 */
function sealingKey(shared: Uint8Array, sid: Uint8Array, from: AdvertisedKeys, to: AdvertisedKeys): Uint8Array {
  return deriveKey(
    shared,
    sid,
    domains.sealShares,
    indices([from.sender, to.sender]),
    from.encryptionKey,
    to.encryptionKey,
  );
}

function checkKeyList(crypto: CryptoProvider, state: AdvertisedState, list: KeyList): void {
  const { terms, me, own } = state;
  expectSession(terms, list.sid);
  const mine = list.keys.find((keys) => keys.sender === me);
  if (mine === undefined) throw leftOut(me);
  if (!equalBytes(mine.encryptionKey, own.encryptionKey) || !equalBytes(mine.maskKey, own.maskKey)) {
    throw new ProtocolError('secagg/wrong-session', 'The key list has other keys for this participant than it made.');
  }
  if (list.keys.some((keys) => (keys.graphCommitment === undefined) !== (terms.graph === undefined))) {
    throw new ProtocolError(
      'codec/malformed',
      'Keys have a commitment for the graph exactly if the terms have a graph.',
    );
  }
  checkCohort(terms, list.keys.length);
  expectDistinctKeys(list.keys);
  for (const keys of list.keys) {
    const identity = identityOf(terms, keys.sender);
    expectSignature(crypto, keys.sender, keys.signature, advertiseKeysToSign({ sid: list.sid, ...keys }), identity);
  }
}

/** No key twice: neither by two participants nor for two purposes. @throws ProtocolError secagg/duplicate */
function expectDistinctKeys(list: readonly AdvertisedKeys[]): void {
  const seen = new Set<string>();
  for (const { sender, encryptionKey, maskKey } of list) {
    for (const key of [encryptionKey, maskKey]) {
      const name = key.join();
      if (seen.has(name)) throw new ProtocolError('secagg/duplicate', undefined, { sender });
      seen.add(name);
    }
  }
}

/** Splits both secrets among the peers and seals a pair of shares for each, this participant included. */
function deal(
  parts: ParticipantParts,
  state: AdvertisedState | RevealedState,
  peers: readonly number[],
  sealKeys: readonly Secret[],
  selfSeed: Secret,
): readonly ShareEntry[] {
  const { crypto, random } = parts;
  const { terms, me } = state;
  const among = { threshold: shareThreshold(terms), xs: peers.map(pointOf) };
  const shares: Share[] = [];
  try {
    const selfMaskShares = split(selfSeed.reveal(), among, random);
    shares.push(...selfMaskShares);
    const maskKeyShares = split(state.maskSecret.reveal(), among, random);
    shares.push(...maskKeyShares);
    return peers.map((receiver, i) => {
      // split returns one share for each point, and there is one key for each peer.
      const selfMask = selfMaskShares[i].bytes;
      const maskKey = maskKeyShares[i].bytes;
      const nonce = random(SEAL_NONCE_BYTES);
      const plaintext = new Writer().raw(terms.sid).u16(me).u16(receiver).raw(selfMask).raw(maskKey).finish();
      const box = usingOnce(plaintext, () => crypto.seal(sealKeys[i].reveal(), nonce, plaintext));
      const of = (kind: ShareKind) => ({ sid: terms.sid, dealer: me, receiver, kind });
      return {
        receiver,
        sealed: new Writer().raw(nonce).raw(box).finish(),
        selfMaskCommitment: shareCommitment(crypto, of('self-mask'), selfMask),
        maskKeyCommitment: shareCommitment(crypto, of('mask-key'), maskKey),
      };
    });
  } finally {
    for (const share of shares) share.bytes.fill(0);
  }
}

/** The point at which a participant's shares lie: zero would be the secret itself. */
function pointOf(index: number): number {
  return index + 1;
}

/** Checks what the coordinator answers for: that the dealer signed this entry, for the key list that this participant saw. */
function checkDelivered(crypto: CryptoProvider, state: SharedState, delivered: DeliveredShares): void {
  const { terms, me, graph } = state;
  const { dealer } = delivered;
  const holders = graph.holdersOf(dealer);
  if (!equalBytes(delivered.keyListHash, state.keyListHash)) {
    throw new ProtocolError('secagg/key-lists-differ', undefined, { sender: dealer });
  }
  const signed = delivered.entryHashes[holders.indexOf(me)];
  if (
    signed === undefined ||
    delivered.entryHashes.length !== holders.length ||
    !equalBytes(signed, shareEntryHash(crypto, terms.sid, dealer, delivered.entry))
  ) {
    throw new ProtocolError('crypto/bad-signature', `Participant ${dealer} did not sign these shares.`, {
      sender: dealer,
    });
  }
  const statement = shareKeysToSign(
    {
      sid: terms.sid,
      sender: dealer,
      keyListHash: delivered.keyListHash,
      seedCommitment: delivered.seedCommitment,
    },
    delivered.entryHashes,
  );
  expectSignature(crypto, dealer, delivered.signature, statement, identityOf(terms, dealer));
}

/** The two shares in a sealed box, or the reason for which the dealer is at fault. */
function openShares(
  crypto: CryptoProvider,
  state: SharedState,
  delivered: DeliveredShares,
  key: Secret,
  keep: Keep,
): { readonly selfMask: Secret; readonly maskKey: Secret } | { readonly code: ProtocolErrorCode } {
  const { terms, me } = state;
  const { dealer, entry } = delivered;
  let plaintext: Uint8Array;
  try {
    plaintext = crypto.open(
      key.reveal(),
      entry.sealed.subarray(0, SEAL_NONCE_BYTES),
      entry.sealed.subarray(SEAL_NONCE_BYTES),
    );
  } catch (error) {
    // The dealer signed this box, so the coordinator did not alter it: the dealer sealed something else.
    if (error instanceof ProtocolError && error.code === 'crypto/cannot-open') return { code: error.code };
    throw error;
  }
  const { sid, from, to, selfMask, maskKey } = usingOnce(plaintext, readShares);
  const shares = { selfMask: keep(selfMask), maskKey: keep(maskKey) };
  const of = (kind: ShareKind) => ({ sid: terms.sid, dealer, receiver: me, kind });
  const isForMe = equalBytes(sid, terms.sid) && from === dealer && to === me;
  const matches =
    isForMe &&
    isCanonicalShare(selfMask) &&
    isCanonicalShare(maskKey) &&
    equalBytes(shareCommitment(crypto, of('self-mask'), selfMask), entry.selfMaskCommitment) &&
    equalBytes(shareCommitment(crypto, of('mask-key'), maskKey), entry.maskKeyCommitment);
  if (matches) return shares;
  shares.selfMask.wipe();
  shares.maskKey.wipe();
  return { code: isForMe ? 'secagg/wrong-share' : 'secagg/wrong-session' };
}

/** The fields of an opened box (SPEC §5.2). */
function readShares(plaintext: Uint8Array): {
  readonly sid: Uint8Array;
  readonly from: number;
  readonly to: number;
  readonly selfMask: Uint8Array;
  readonly maskKey: Uint8Array;
} {
  const reader = new Reader(plaintext);
  const sid = reader.fixed(HASH_BYTES);
  const from = reader.u16();
  const to = reader.u16();
  const selfMask = reader.fixed(SHARE_BYTES);
  const maskKey = reader.fixed(SHARE_BYTES);
  reader.end();
  return { sid, from, to, selfMask, maskKey };
}

/** The record of a verb that was answered already. @throws ProtocolError secagg/wrong-phase: it was another message */
function answeredBefore(
  parts: ParticipantParts,
  state: ParticipantState,
  verb: Verb,
  bytes: Uint8Array,
): Answered | undefined {
  const record = state.answered.find((answered) => answered.verb === verb);
  if (record === undefined) return undefined;
  if (!equalBytes(record.requestHash, parts.crypto.sha256(bytes))) {
    throw new ProtocolError('secagg/wrong-phase', 'Another message of this kind was answered in this session already.');
  }
  return record;
}

function replayed(state: ParticipantState, record: Answered): Step {
  // only handleShareDelivery records no answer, and it does not come here.
  return { state, message: record.answer as Uint8Array, consumed: [] };
}

function remember(
  parts: ParticipantParts,
  state: ParticipantState,
  verb: Verb,
  request: Uint8Array,
  answer: Uint8Array | undefined,
): readonly Answered[] {
  return [...state.answered, { verb, requestHash: parts.crypto.sha256(request), answer }];
}

/** U2: the dealers, or with a graph the list that comes beside them. @throws ProtocolError codec/malformed: the other form */
function sharersOf(terms: SecaggTerms, delivery: ShareDelivery, dealers: readonly number[]): readonly number[] {
  if ((delivery.sharers === undefined) !== (terms.graph === undefined)) {
    throw new ProtocolError('codec/malformed', 'A delivery lists the sharers exactly if the terms have a graph.');
  }
  return delivery.sharers ?? dealers;
}

/**
 * Checks that shares came from exactly those who dealt to this participant: its peers among the sharers.
 *
 * @throws ProtocolError secagg/not-in-roster: from somebody else | secagg/left-out: one is missing
 */
function expectDealers(dealers: readonly number[], peers: readonly number[], sharers: readonly number[]): void {
  const hasShared = new Set(sharers);
  const expected = peers.filter((peer) => hasShared.has(peer));
  expectSubset(dealers, expected);
  if (dealers.length < expected.length) {
    throw new ProtocolError('secagg/left-out', 'The shares of a participant who dealt some are missing.');
  }
}

function expectSubset(list: readonly number[], of: readonly number[]): void {
  const members = new Set(of);
  for (const index of list) {
    if (!members.has(index)) {
      throw new ProtocolError('secagg/not-in-roster', `Participant ${index} was not in the phase before.`, {
        sender: index,
      });
    }
  }
}

function expectIncluded(list: readonly number[], me: number): void {
  if (!list.includes(me)) throw leftOut(me);
}

function leftOut(me: number): ProtocolError {
  return new ProtocolError('secagg/left-out', undefined, { participant: me });
}

function wrongPhase(state: ParticipantState, asked: string): ProtocolError {
  return new ProtocolError('secagg/wrong-phase', `In phase "${state.phase}" ${asked} is not expected.`, {
    phase: state.phase,
  });
}

function sharesIn(state: DealtState): readonly Secret[] {
  return state.received.flatMap(({ shares }) => (shares === undefined ? [] : [shares.selfMask, shares.maskKey]));
}

function present(secrets: readonly (Secret | undefined)[]): readonly Secret[] {
  return secrets.filter((secret) => secret !== undefined);
}
