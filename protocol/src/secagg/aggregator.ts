/**
 * The coordinator's half of secure aggregation. Source: Bonawitz et al. 2017, Figure 4 (malicious variant); SPEC §8.
 *
 * There is no state here. The coordinator stores the messages that it received, as bytes, and each function below reads those of
 * one phase and says what follows: who is accepted, who is refused and why, and what to send. So a coordinator that is killed at
 * any instant loses nothing, and asking twice gives the same answer.
 *
 *     planKeyList -> planDeliveries -> planSurvivors -> planSurvivorProof -> planUnmasking -> unmask (masks.ts)
 *
 * With a graph `planReveals` comes after `planKeyList`, and its list goes into everything that follows (`revealList`).
 *
 * `checkX`, and the check that `xCheck` makes for the lists of a phase, look at one message as it arrives, so that its sender gets an
 * answer at once; `planX` checks all again.
 *
 * Learns     who took part and when; the sum; of who dropped after sharing, the mask key of this session, which hides nothing,
 *            since that participant's words are not in the sum.
 * Guarantee  `planUnmasking` never recovers both secrets of one participant, even if participants send more than they should:
 *            only entries of the kind that the survivor list calls for are read, and others are refused.
 */

import { equalBytes } from '../bytes/equal.js';
import { usingOnce } from '../bytes/secret.js';
import { bytesOf, type StoredBytes } from '../bytes/stored.js';
import { ProtocolError, type ProtocolErrorCode } from '../errors.js';
import type { CryptoProvider } from '../primitives/provider.js';
import { combineWith, interpolationAtZero, isCanonicalShare, type Interpolation } from '../sharing/shamir.js';
import { checkReveal, committedList, leastReveals, readCohort, type Cohort } from './cohort.js';
import { pairwiseMaskSeed, pairwiseSign, selfMaskKey, type SignedMask } from './masks.js';
import {
  advertiseKeysToSign,
  consistencyToSign,
  decodeAdvertiseKeys,
  decodeConsistencySignature,
  decodeMaskedInput,
  decodeRevealRandomness,
  decodeShareKeys,
  decodeUnmaskShares,
  encodeKeyList,
  encodeRevealList,
  encodeShareDelivery,
  encodeSurvivorList,
  encodeSurvivorProof,
  expectSignature,
  maskedInputToSign,
  seedCommitment,
  shareCommitment,
  shareEntryAt,
  shareEntryHash,
  shareKeysToSign,
  survivorsHash,
  unmaskSharesToSign,
  type AdvertisedKeys,
  type AdvertiseKeys,
  type ConsistencySignature,
  type DeliveredShares,
  type MaskedInput,
  type RevealRandomness,
  type ShareEntry,
  type ShareKeys,
  type ShareKind,
  type UnmaskShares,
} from './messages.js';
import {
  checkCohort,
  checkTerms,
  expectSession,
  identityOf,
  leastRemaining,
  shareThreshold,
  type SecaggTerms,
} from './session.js';

/** A message that is not used, and why. `sender` is -1 if the message does not even say. */
export interface Refusal {
  readonly sender: number;
  readonly code: ProtocolErrorCode;
}

/** What follows from the messages of a phase. All lists are in increasing order of participant. */
export type Plan<Outgoing> =
  | {
      readonly kind: 'ready';
      readonly accepted: readonly number[];
      readonly refused: readonly Refusal[];
      readonly outgoing: Outgoing;
    }
  | {
      /** The round cannot go on yet; after the deadline, not at all. */
      readonly kind: 'too-few';
      readonly accepted: readonly number[];
      readonly refused: readonly Refusal[];
      readonly needed: number;
    };

/** One delivery for each participant who shared keys, made when asked for, since all together may take tens of megabytes. */
export interface Deliveries {
  readonly receivers: readonly number[];
  messageFor(receiver: number): Uint8Array;
}

/** Looks at one message of a phase as it arrives. The lists that it goes by were read once, when the check was made. */
export type Check<Message> = (bytes: Uint8Array) => Message;

/** What the coordinator has settled, phase after phase. Plain data. */
export interface RoundView {
  /** The KeyList as sent. */
  readonly keyList: Uint8Array;
  /** With a graph: the RevealList as sent. */
  readonly revealList?: Uint8Array;
  /** U2: `accepted` of `planDeliveries`. */
  readonly sharers: readonly number[];
  /** U3: `accepted` of `planSurvivors`. */
  readonly survivors: readonly number[];
}

/** A dealer of whose shares a participant says that they cannot be used. One of the two is at fault; there is no proof which. */
export interface Complaint {
  readonly by: number;
  readonly about: number;
}

/** What `planUnmasking` finds. */
export interface Recovered {
  /** For `unmask`. Recovered secrets: forget them with the round. */
  readonly masks: readonly SignedMask[];
}

/** The plan for unmasking also says who complained. */
export type UnmaskingPlan = Plan<Recovered> & { readonly complaints: readonly Complaint[] };

// Phase 1: keys, SPEC §8.1

/** Checks one AdvertiseKeys message. @throws ProtocolError: see `planKeyList` */
export function checkAdvertiseKeys(crypto: CryptoProvider, terms: SecaggTerms, bytes: Uint8Array): AdvertiseKeys {
  const message = decodeAdvertiseKeys(bytes);
  expectSession(terms, message.sid);
  const identity = identityOf(terms, message.sender);
  expectSignature(crypto, message.sender, message.signature, advertiseKeysToSign(message), identity);
  for (const key of [message.encryptionKey, message.maskKey]) {
    // A scalar is a multiple of the cofactor, so any scalar shows whether a point has small order.
    crypto.x25519.sharedSecret(ANY_SCALAR, key);
  }
  if ((message.graphCommitment === undefined) !== (terms.graph === undefined)) {
    throw new ProtocolError(
      'codec/malformed',
      'Keys have a commitment for the graph exactly if the terms have a graph.',
      {
        sender: message.sender,
      },
    );
  }
  return message;
}

const ANY_SCALAR: Uint8Array = new Uint8Array(32).fill(1);

/**
 * The key list of a session.
 *
 * Refuses    crypto/bad-signature, crypto/low-order-point, secagg/not-in-roster, secagg/wrong-session, secagg/duplicate (a second
 *            message of one sender, or a key that another advertised), codec/*
 * @throws ProtocolError secagg/threshold-too-low: so many answered that the threshold no longer binds
 */
export function planKeyList(
  crypto: CryptoProvider,
  terms: SecaggTerms,
  messages: readonly Uint8Array[],
): Plan<Uint8Array> {
  checkTerms(terms);
  const keysSeen = new Set<string>();
  const { accepted, refused } = sift(messages, (bytes) => {
    const message = checkAdvertiseKeys(crypto, terms, bytes);
    const names = [message.encryptionKey.join(), message.maskKey.join()];
    if (new Set(names).size < names.length || names.some((name) => keysSeen.has(name))) {
      throw new ProtocolError('secagg/duplicate', undefined, { sender: message.sender });
    }
    for (const name of names) keysSeen.add(name);
    return message;
  });
  return plan(terms, accepted, refused, () => {
    checkCohort(terms, accepted.length);
    return encodeKeyList({ sid: terms.sid, keys: accepted });
  });
}

// With a graph: randomness, SPEC §10.3

/** Checks RevealRandomness messages against the key list. The check throws ProtocolError: see `planReveals` */
export function revealRandomnessCheck(
  crypto: CryptoProvider,
  terms: SecaggTerms,
  keyList: Uint8Array,
): Check<RevealRandomness> {
  const list = committedList(keyList);
  return (bytes) => {
    const message = decodeRevealRandomness(bytes);
    checkReveal(crypto, terms, list, message);
    return message;
  };
}

/**
 * The reveal list of a session with a graph: U1 are those who showed their randomness.
 *
 * Refuses    crypto/bad-signature, secagg/wrong-reveal, secagg/key-lists-differ, secagg/not-in-roster (not in the key list),
 *            secagg/wrong-session, secagg/duplicate, codec/*
 * @throws ProtocolError secagg/threshold-too-low: the graph does not protect so many
 */
export function planReveals(
  crypto: CryptoProvider,
  terms: SecaggTerms,
  keyList: Uint8Array,
  messages: readonly Uint8Array[],
): Plan<Uint8Array> {
  const list = committedList(keyList);
  const { accepted, refused } = sift(messages, (bytes) => {
    const message = decodeRevealRandomness(bytes);
    checkReveal(crypto, terms, list, message);
    return message;
  });
  const needed = Math.max(leastReveals(terms, list.commitments.size), leastRemaining(terms));
  return plan(
    terms,
    accepted,
    refused,
    () => {
      checkCohort(terms, accepted.length);
      return encodeRevealList({
        sid: terms.sid,
        revealed: accepted.map(({ sender, randomness, signature }) => ({ sender, randomness, signature })),
      });
    },
    needed,
  );
}

// Phase 2: shares, SPEC §8.2

/** Checks ShareKeys messages against the key list. The check throws ProtocolError: see `planDeliveries` */
export function shareKeysCheck(
  crypto: CryptoProvider,
  terms: SecaggTerms,
  keyList: Uint8Array,
  revealList?: Uint8Array,
): Check<ShareKeys> {
  const cohort = readCohort(terms, keyList, revealList);
  return (bytes) => checkShares(crypto, terms, cohort, bytes).message;
}

/**
 * What to deliver to each participant who shared keys.
 *
 * Refuses    crypto/bad-signature, secagg/key-lists-differ, secagg/not-in-roster (not in U1), secagg/wrong-session,
 *            secagg/duplicate, codec/malformed (entries are not for exactly U1, or the dealer's neighbours), codec/*
 */
export function planDeliveries(
  crypto: CryptoProvider,
  terms: SecaggTerms,
  keyList: Uint8Array,
  messages: readonly StoredBytes[],
  revealList?: Uint8Array,
): Plan<Deliveries> {
  const cohort = readCohort(terms, keyList, revealList);
  const { accepted, refused } = sift(messages, (bytes, stored): Dealt => {
    const { message, entryHashes } = checkShares(crypto, terms, cohort, bytes);
    const { sender, seedCommitment: commitment, signature } = message;
    return { sender, stored, seedCommitment: commitment, entryHashes: joined(entryHashes), signature };
  });
  const sharers = accepted.map((message) => message.sender);
  return plan(terms, accepted, refused, () => ({
    receivers: sharers,
    messageFor: (receiver) => {
      if (!sharers.includes(receiver)) {
        throw new ProtocolError('secagg/not-in-roster', undefined, { sender: receiver });
      }
      const holds = new Set(cohort.graph.holdersOf(receiver));
      const dealing = accepted.filter((message) => holds.has(message.sender));
      const dealers = dealing.map((message): DeliveredShares => {
        const { sender, stored, seedCommitment: commitment, entryHashes, signature } = message;
        return {
          dealer: sender,
          keyListHash: cohort.hash,
          seedCommitment: commitment,
          entryHashes: parted(entryHashes),
          // checkShares found one entry for each holder.
          entry: shareEntryAt(stored, cohort.graph.holdersOf(sender).indexOf(receiver)),
          signature,
        };
      });
      return encodeShareDelivery({
        sid: terms.sid,
        receiver,
        dealers,
        ...(terms.graph === undefined ? {} : { sharers }),
      });
    },
  }));
}

/** What deliveries need of an accepted ShareKeys message: its bytes, wherever they are, and what is costly to find again. */
interface Dealt {
  readonly sender: number;
  readonly stored: StoredBytes;
  readonly seedCommitment: Uint8Array;
  /** One after the other. */
  readonly entryHashes: Uint8Array;
  readonly signature: Uint8Array;
}

const ENTRY_HASH_BYTES = 32;

function joined(hashes: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(hashes.length * ENTRY_HASH_BYTES);
  hashes.forEach((hash, i) => all.set(hash, i * ENTRY_HASH_BYTES));
  return all;
}

function parted(hashes: Uint8Array): Uint8Array[] {
  return Array.from({ length: hashes.length / ENTRY_HASH_BYTES }, (_, i) =>
    hashes.subarray(i * ENTRY_HASH_BYTES, (i + 1) * ENTRY_HASH_BYTES),
  );
}

// Phase 3: masked inputs, SPEC §8.3

/**
 * Checks one receipt of masked words. The caller has compared `wordsHash` with the words that it stored.
 *
 * @throws ProtocolError: see `planSurvivors`
 */
export function checkMaskedInput(
  crypto: CryptoProvider,
  terms: SecaggTerms,
  sharers: readonly number[],
  bytes: Uint8Array,
): MaskedInput {
  const message = decodeMaskedInput(bytes);
  expectSession(terms, message.sid);
  expectMember(sharers, message.sender);
  if (message.length !== terms.length) {
    throw new ProtocolError('update/wrong-length', undefined, { sender: message.sender });
  }
  const identity = identityOf(terms, message.sender);
  expectSignature(crypto, message.sender, message.signature, maskedInputToSign(message), identity);
  return message;
}

/**
 * The survivor list. Give it the receipts of those whose words are stored in full.
 *
 * Refuses    crypto/bad-signature, secagg/not-in-roster (not in U2), secagg/wrong-session, secagg/duplicate,
 *            update/wrong-length, codec/*
 */
export function planSurvivors(
  crypto: CryptoProvider,
  terms: SecaggTerms,
  sharers: readonly number[],
  messages: readonly Uint8Array[],
): Plan<Uint8Array> {
  const { accepted, refused } = sift(messages, (bytes) => checkMaskedInput(crypto, terms, sharers, bytes));
  return plan(terms, accepted, refused, () =>
    encodeSurvivorList({ sid: terms.sid, survivors: accepted.map((message) => message.sender) }),
  );
}

// Phase 4: consistency, SPEC §8.4

/** Checks ConsistencySignatures. The check throws ProtocolError: see `planSurvivorProof` */
export function consistencySignatureCheck(
  crypto: CryptoProvider,
  terms: SecaggTerms,
  view: RoundView,
): Check<ConsistencySignature> {
  const hash = viewHash(terms, view);
  return (bytes) => checkConsistency(crypto, terms, view, hash, bytes);
}

/**
 * The signatures that let participants unmask.
 *
 * Refuses    crypto/bad-signature, secagg/survivors-differ, secagg/not-in-roster (not in U3), secagg/wrong-session,
 *            secagg/duplicate, codec/*
 */
export function planSurvivorProof(
  crypto: CryptoProvider,
  terms: SecaggTerms,
  view: RoundView,
  messages: readonly Uint8Array[],
): Plan<Uint8Array> {
  const { accepted, refused } = sift(messages, consistencySignatureCheck(crypto, terms, view));
  return plan(
    terms,
    accepted,
    refused,
    () =>
      encodeSurvivorProof({
        sid: terms.sid,
        signatures: accepted.map(({ sender, signature }) => ({ signer: sender, signature })),
      }),
    terms.threshold,
  );
}

// Phase 5: unmasking, SPEC §8.5

/**
 * Checks form and signature of UnmaskShares messages: exactly one entry for each of U2
 * whose shares the sender holds, of the kind that U3 calls for.
 * Whether the shares are right is for `planUnmasking`, which needs the commitments. The check throws ProtocolError: see there.
 */
export function unmaskSharesCheck(crypto: CryptoProvider, terms: SecaggTerms, view: RoundView): Check<UnmaskShares> {
  const read = readView(terms, view);
  return (bytes) => checkAnswer(crypto, terms, read, bytes);
}

function checkAnswer(crypto: CryptoProvider, terms: SecaggTerms, view: ReadView, bytes: Uint8Array): UnmaskShares {
  const message = decodeUnmaskShares(bytes);
  expectSession(terms, message.sid);
  expectMember(view.survivors, message.sender);
  const asked = view.cohort.graph.holdersOf(message.sender).filter((about) => view.isSharer.has(about));
  const isAsked = message.entries.every(
    (entry, i) => entry.about === asked[i] && (entry.kind === 'unusable' || entry.kind === kindFor(view, entry.about)),
  );
  if (!isAsked || message.entries.length !== asked.length) {
    throw new ProtocolError('codec/malformed', 'The shares are not those that were asked for.', {
      sender: message.sender,
    });
  }
  const identity = identityOf(terms, message.sender);
  expectSignature(crypto, message.sender, message.signature, unmaskSharesToSign(message), identity);
  return message;
}

/**
 * Recovers the masks that are left in the sum: the self masks of survivors, and the pairwise masks between survivors and those
 * who dropped after sharing.
 *
 * Guarantee  every share is checked against its dealer's commitment, and every secret against the advertised mask key or the
 *            seed commitment; so the masks are right, or the plan is not ready and names who is at fault.
 * Refuses    secagg/wrong-share: by a responder, whose other shares are still used; or by a dealer, whose shares match its
 *            commitments but no secret. crypto/bad-signature, secagg/not-in-roster (not in U3), secagg/wrong-session,
 *            secagg/duplicate, codec/malformed (shares that were not asked for), codec/*
 * Cost       one Shamir recovery for each of U2; one key agreement for each pair of dropped and surviving.
 * @param shareKeys the ShareKeys messages of `view.sharers`, as stored; they were checked by `planDeliveries`
 */
export function planUnmasking(
  crypto: CryptoProvider,
  terms: SecaggTerms,
  view: RoundView,
  shareKeys: readonly StoredBytes[],
  messages: readonly Uint8Array[],
): UnmaskingPlan {
  const read = readView(terms, view);
  const dealt = readDealt(terms, read, shareKeys);
  const sifted = sift(messages, (bytes) => checkAnswer(crypto, terms, read, bytes));
  const threshold = shareThreshold(terms);
  const entriesOf = new Map(
    sifted.accepted.map(({ sender, entries }) => [sender, new Map(entries.map((entry) => [entry.about, entry]))]),
  );
  const refused: Refusal[] = [...sifted.refused];
  const complaints: Complaint[] = [];
  const wrong = new Set<number>();
  const masks: SignedMask[] = [];
  const interpolations = new Map<string, Interpolation>();
  let fewest = sifted.accepted.length;

  for (const dealer of view.sharers) {
    const kind = kindFor(read, dealer);
    const message = dealt.get(dealer);
    if (message === undefined)
      throw new ProtocolError('secagg/too-few-shares', 'A dealer’s message is missing.', { dealer });
    const entries = bytesOf(message.stored);

    const xs: number[] = [];
    const shares: Uint8Array[] = [];
    let good = 0;
    // planDeliveries found one entry for each holder, in their order.
    read.cohort.graph.holdersOf(dealer).forEach((responder, place) => {
      const entry = entriesOf.get(responder)?.get(dealer);
      if (entry === undefined) return;
      if (entry.kind === 'unusable') {
        complaints.push({ by: responder, about: dealer });
      } else if (isShareRight(crypto, terms, dealer, shareEntryAt(entries, place), kind, entry.share)) {
        good++;
        if (xs.length < threshold) {
          xs.push(responder + 1);
          shares.push(entry.share);
        }
      } else {
        wrong.add(responder);
      }
    });
    fewest = Math.min(fewest, good);
    if (good < threshold) continue;

    const name = xs.join();
    const interpolation = interpolations.get(name) ?? interpolationAtZero(xs);
    interpolations.set(name, interpolation);
    const recovered =
      kind === 'self-mask'
        ? recoverSelfMask(terms, message, interpolation, shares)
        : recoverPairwiseMasks(crypto, terms, read, dealer, interpolation, shares);
    if (recovered === undefined) {
      // Every share used matches what the dealer committed to: the dealer dealt shares of nothing.
      refused.push({ sender: dealer, code: 'secagg/wrong-share' });
      fewest = 0;
    } else {
      masks.push(...recovered);
    }
  }

  for (const sender of wrong) refused.push({ sender, code: 'secagg/wrong-share' });
  refused.sort((a, b) => a.sender - b.sender);
  const accepted = sifted.accepted.map((message) => message.sender);
  return fewest >= threshold
    ? { kind: 'ready', accepted, refused, complaints, outgoing: { masks } }
    : { kind: 'too-few', accepted, refused, complaints, needed: threshold };
}

/** A view with its cohort, ready for looking up. */
interface ReadView extends RoundView {
  readonly cohort: Cohort;
  readonly keys: ReadonlyMap<number, AdvertisedKeys>;
  readonly isSharer: ReadonlySet<number>;
  readonly isSurvivor: ReadonlySet<number>;
}

function readView(terms: SecaggTerms, view: RoundView): ReadView {
  const cohort = readCohort(terms, view.keyList, view.revealList);
  return {
    ...view,
    cohort,
    keys: new Map(cohort.list.keys.map((entry) => [entry.sender, entry])),
    isSharer: new Set(view.sharers),
    isSurvivor: new Set(view.survivors),
  };
}

/** The kind of share that unmasking needs about a sharer: its own mask if its words are in the sum, else its mask key. */
function kindFor(view: ReadView, about: number): ShareKind {
  return view.isSurvivor.has(about) ? 'self-mask' : 'mask-key';
}

/** The self mask of a survivor, or undefined if the secret is not the one that its dealer committed to. */
function recoverSelfMask(
  terms: SecaggTerms,
  dealt: DealtSecrets,
  interpolation: Interpolation,
  shares: readonly Uint8Array[],
): readonly SignedMask[] | undefined {
  const seed = recover(interpolation, shares);
  if (seed === undefined) return undefined;
  return usingOnce(seed, () =>
    equalBytes(seedCommitment(terms.sid, dealt.sender, seed), dealt.seedCommitment)
      ? [{ seed: selfMaskKey(seed, terms.sid, dealt.sender), sign: 1 }]
      : undefined,
  );
}

/** The masks that survivors share with one who dropped, or undefined if the secret is not that of its advertised key. */
function recoverPairwiseMasks(
  crypto: CryptoProvider,
  terms: SecaggTerms,
  view: ReadView,
  dropped: number,
  interpolation: Interpolation,
  shares: readonly Uint8Array[],
): readonly SignedMask[] | undefined {
  const secret = recover(interpolation, shares);
  const keys = view.keys.get(dropped);
  if (secret === undefined || keys === undefined) return undefined;
  return usingOnce(secret, () => {
    if (!equalBytes(crypto.x25519.publicKey(secret), keys.maskKey)) return undefined;
    const survivors = view.cohort.graph.holdersOf(dropped).filter((holder) => view.isSurvivor.has(holder));
    return survivors.map((survivor): SignedMask => {
      // survivors are in the key list.
      const peer = view.keys.get(survivor) as AdvertisedKeys;
      const me = { index: dropped, maskKey: keys.maskKey };
      const seed = usingOnce(crypto.x25519.sharedSecret(secret, peer.maskKey), (shared) =>
        pairwiseMaskSeed(shared, terms.sid, me, { index: survivor, maskKey: peer.maskKey }),
      );
      return { seed, sign: pairwiseSign(survivor, dropped) };
    });
  });
}

function recover(interpolation: Interpolation, shares: readonly Uint8Array[]): Uint8Array | undefined {
  try {
    return combineWith(interpolation, shares);
  } catch (error) {
    if (error instanceof ProtocolError && error.code === 'secagg/wrong-share') return undefined;
    throw error;
  }
}

function isShareRight(
  crypto: CryptoProvider,
  terms: SecaggTerms,
  dealer: number,
  entry: ShareEntry,
  kind: ShareKind,
  share: Uint8Array,
): boolean {
  const commitment = kind === 'self-mask' ? entry.selfMaskCommitment : entry.maskKeyCommitment;
  const of = { sid: terms.sid, dealer, receiver: entry.receiver, kind };
  return isCanonicalShare(share) && equalBytes(shareCommitment(crypto, of, share), commitment);
}

/** What unmasking needs of a ShareKeys message, whose entries stay in its bytes. */
type DealtSecrets = Pick<Dealt, 'sender' | 'stored' | 'seedCommitment'>;

function readDealt(
  terms: SecaggTerms,
  view: ReadView,
  shareKeys: readonly StoredBytes[],
): ReadonlyMap<number, DealtSecrets> {
  const dealt = new Map<number, DealtSecrets>();
  for (const stored of shareKeys) {
    const { sid, sender, seedCommitment: commitment } = decodeShareKeys(bytesOf(stored));
    expectSession(terms, sid);
    if (view.isSharer.has(sender)) dealt.set(sender, { sender, stored, seedCommitment: commitment });
  }
  return dealt;
}

function checkShares(
  crypto: CryptoProvider,
  terms: SecaggTerms,
  cohort: Cohort,
  bytes: Uint8Array,
): { readonly message: ShareKeys; readonly entryHashes: readonly Uint8Array[] } {
  const message = decodeShareKeys(bytes);
  expectSession(terms, message.sid);
  expectMember(cohort.graph.participants, message.sender);
  if (!equalBytes(message.keyListHash, cohort.hash)) {
    throw new ProtocolError('secagg/key-lists-differ', undefined, { sender: message.sender });
  }
  const holders = cohort.graph.holdersOf(message.sender);
  const isForAll =
    message.entries.length === holders.length && message.entries.every((entry, i) => entry.receiver === holders[i]);
  if (!isForAll) {
    throw new ProtocolError(
      'codec/malformed',
      'The shares are not for exactly the participants who are to hold them.',
      {
        sender: message.sender,
      },
    );
  }
  const entryHashes = message.entries.map((entry) => shareEntryHash(crypto, terms.sid, message.sender, entry));
  const statement = shareKeysToSign(message, entryHashes);
  expectSignature(crypto, message.sender, message.signature, statement, identityOf(terms, message.sender));
  return { message, entryHashes };
}

function checkConsistency(
  crypto: CryptoProvider,
  terms: SecaggTerms,
  view: RoundView,
  hash: Uint8Array,
  bytes: Uint8Array,
): ConsistencySignature {
  const message = decodeConsistencySignature(bytes);
  expectSession(terms, message.sid);
  expectMember(view.survivors, message.sender);
  const identity = identityOf(terms, message.sender);
  expectSignature(crypto, message.sender, message.signature, consistencyToSign(message), identity);
  if (!equalBytes(message.survivorsHash, hash)) {
    throw new ProtocolError('secagg/survivors-differ', undefined, { sender: message.sender });
  }
  return message;
}

function viewHash(terms: SecaggTerms, view: RoundView): Uint8Array {
  return survivorsHash({
    sid: terms.sid,
    keyListHash: readCohort(terms, view.keyList, view.revealList).hash,
    sharers: view.sharers,
    survivors: view.survivors,
  });
}

function expectMember(list: readonly number[], sender: number): void {
  if (!list.includes(sender)) {
    throw new ProtocolError('secagg/not-in-roster', `Participant ${sender} was not in the phase before.`, { sender });
  }
}

/** Parts messages into good ones, one for each sender and in their order, and refusals. The same bytes twice count once. */
function sift<Message extends { readonly sender: number }>(
  messages: readonly StoredBytes[],
  check: (bytes: Uint8Array, stored: StoredBytes) => Message,
): { readonly accepted: readonly Message[]; readonly refused: Refusal[] } {
  const accepted = new Map<number, { readonly message: Message; readonly stored: StoredBytes }>();
  const refused: Refusal[] = [];
  for (const stored of messages) {
    const bytes = bytesOf(stored);
    const earlier = accepted.get(claimedSender(bytes));
    if (earlier !== undefined && equalBytes(bytesOf(earlier.stored), bytes)) continue;
    try {
      const message = check(bytes, stored);
      if (accepted.has(message.sender))
        throw new ProtocolError('secagg/duplicate', undefined, { sender: message.sender });
      accepted.set(message.sender, { message, stored });
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      refused.push({ sender: claimedSender(bytes), code: error.code });
    }
  }
  const inOrder = [...accepted.values()].map(({ message }) => message).sort((a, b) => a.sender - b.sender);
  return { accepted: inOrder, refused };
}

/** The sender that a message names, true or not; -1 if it is too short to name one. All of a participant's messages agree here. */
function claimedSender(bytes: Uint8Array): number {
  const at = 4 + 32; // magic, version and type; sid
  return bytes.length < at + 2 ? -1 : bytes[at] * 256 + bytes[at + 1];
}

function plan<Message extends { readonly sender: number }, Outgoing>(
  terms: SecaggTerms,
  messages: readonly Message[],
  refused: readonly Refusal[],
  outgoing: () => Outgoing,
  needed: number = leastRemaining(terms),
): Plan<Outgoing> {
  const accepted = messages.map((message) => message.sender);
  return accepted.length < needed
    ? { kind: 'too-few', accepted, refused, needed }
    : { kind: 'ready', accepted, refused, outgoing: outgoing() };
}
