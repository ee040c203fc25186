/**
 * The messages of secure aggregation and their bytes. Source: SPEC §6.
 *
 * One type, one encoder and one decoder for each. Integers are big-endian; lists are in increasing order of index. A decoder
 * accepts only the one encoding of a message and demands that it ends at its end; it checks form, not truth: signatures,
 * membership and phase are checked by the roles (`participant.ts`, `aggregator.ts`).
 *
 * Legend     U1 = who advertised keys, U2 = who also shared keys (sharers), U3 = who also sent a masked input (survivors)
 */

import { Reader } from '../bytes/reader.js';
import { usingOnce } from '../bytes/secret.js';
import type { StoredBytes } from '../bytes/stored.js';
import { Writer } from '../bytes/writer.js';
import { ProtocolError } from '../errors.js';
import { domains } from '../primitives/domains.js';
import { HASH_BYTES, hashTagged, tagged } from '../primitives/hash.js';
import {
  PUBLIC_KEY_BYTES,
  SEAL_NONCE_BYTES,
  SEAL_OVERHEAD_BYTES,
  SIGNATURE_BYTES,
  type CryptoProvider,
} from '../primitives/provider.js';
import { SHARE_BYTES } from '../sharing/shamir.js';
import { GRAPH_RANDOMNESS_BYTES, MAXIMUM_GRAPH_COHORT } from './graph.js';
import { MAXIMUM_LENGTH } from './session.js';

/** Second and first byte: "FS", Fedlora secure aggregation. Third: version of the formats. */
const MAGIC = [0x46, 0x53, 0x01] as const;

/** Fourth byte of every message. */
export const messageTypes = {
  advertiseKeys: 1,
  keyList: 2,
  shareKeys: 3,
  shareDelivery: 4,
  maskedInput: 5,
  survivorList: 6,
  consistencySignature: 7,
  survivorProof: 8,
  unmaskShares: 9,
  // With a graph only (SPEC §10):
  committedKeys: 10,
  committedKeyList: 11,
  revealRandomness: 12,
  revealList: 13,
  graphDelivery: 14,
} as const;

/** Bytes of the plaintext in a sealed box: sid, dealer, receiver, two shares (SPEC §5.2). */
export const SEALED_PLAINTEXT_BYTES = HASH_BYTES + 2 + 2 + 2 * SHARE_BYTES;

/** Bytes of a sealed box with its nonce. */
export const SEALED_BYTES = SEAL_NONCE_BYTES + SEAL_OVERHEAD_BYTES + SEALED_PLAINTEXT_BYTES;

/** Which of a participant's two secrets a share is of. */
export type ShareKind = 'self-mask' | 'mask-key';

/** A participant's keys for one session, signed by its identity. */
export interface AdvertisedKeys {
  readonly sender: number;
  /** X25519: seals shares on their way. */
  readonly encryptionKey: Uint8Array;
  /** X25519: agrees on pairwise masks. */
  readonly maskKey: Uint8Array;
  /** With a graph: the commitment to the sender's randomness for it. Absent without one. */
  readonly graphCommitment?: Uint8Array;
  /** Ed25519 by the sender's identity, over sid, sender, both keys and the commitment if there is one. */
  readonly signature: Uint8Array;
}

/** Participant to coordinator, phase 1. */
export interface AdvertiseKeys extends AdvertisedKeys {
  readonly sid: Uint8Array;
}

/** Coordinator to everyone in U1, phase 2: all keys. */
export interface KeyList {
  readonly sid: Uint8Array;
  /** In increasing order of sender. All have a commitment, or none has. */
  readonly keys: readonly AdvertisedKeys[];
}

/** Participant to coordinator, with a graph only: the randomness that it committed to. */
export interface RevealRandomness {
  readonly sid: Uint8Array;
  readonly sender: number;
  /** The key list that the sender saw: it shows its randomness once, for this list. */
  readonly keyListHash: Uint8Array;
  readonly randomness: Uint8Array;
  readonly signature: Uint8Array;
}

/** Coordinator to everyone who showed its randomness, with a graph only. This list is U1. */
export interface RevealList {
  readonly sid: Uint8Array;
  /** In increasing order of sender. */
  readonly revealed: readonly Omit<RevealRandomness, 'sid' | 'keyListHash'>[];
}

/** What a dealer made for one receiver. */
export interface ShareEntry {
  readonly receiver: number;
  /** Nonce and secretbox of the two shares; only the receiver can open it. */
  readonly sealed: Uint8Array;
  /** Hash commitment to the share of the self-mask seed. */
  readonly selfMaskCommitment: Uint8Array;
  /** Hash commitment to the share of the mask secret key. */
  readonly maskKeyCommitment: Uint8Array;
}

/** Participant to coordinator, phase 2. */
export interface ShareKeys {
  readonly sid: Uint8Array;
  readonly sender: number;
  /** The key list that the sender saw; with a graph the cohort hash. */
  readonly keyListHash: Uint8Array;
  /** Hash commitment to the self-mask seed itself. */
  readonly seedCommitment: Uint8Array;
  /** One for each who holds the sender's shares, in their order: U1, or with a graph its neighbours and itself. */
  readonly entries: readonly ShareEntry[];
  /** Over everything before, the entries as a list of their hashes. */
  readonly signature: Uint8Array;
}

/** One dealer's part of a delivery: its signed message with all entries but the receiver's own replaced by their hashes. */
export interface DeliveredShares {
  readonly dealer: number;
  readonly keyListHash: Uint8Array;
  readonly seedCommitment: Uint8Array;
  /** One for each who holds the dealer's shares, in their order. */
  readonly entryHashes: readonly Uint8Array[];
  readonly entry: ShareEntry;
  readonly signature: Uint8Array;
}

/** Coordinator to each of U2, phase 3: what the others dealt to it. */
export interface ShareDelivery {
  readonly sid: Uint8Array;
  readonly receiver: number;
  /** In increasing order of dealer: this list is U2, or with a graph those of U2 whose shares the receiver holds. */
  readonly dealers: readonly DeliveredShares[];
  /** With a graph: U2 in increasing order. Absent without one. */
  readonly sharers?: readonly number[];
}

/** Participant to coordinator, phase 3: the receipt for the masked words, which travel apart as little-endian u32. */
export interface MaskedInput {
  readonly sid: Uint8Array;
  readonly sender: number;
  /** SHA-256 of the words as sent. */
  readonly wordsHash: Uint8Array;
  /** Number of words. */
  readonly length: number;
  readonly signature: Uint8Array;
}

/** Coordinator to each of U3, phase 4. */
export interface SurvivorList {
  readonly sid: Uint8Array;
  /** U3 in increasing order. */
  readonly survivors: readonly number[];
}

/** Participant to coordinator, phase 4. */
export interface ConsistencySignature {
  readonly sid: Uint8Array;
  readonly sender: number;
  /** Binds U1 with its keys, U2 and U3 as the sender saw them. */
  readonly survivorsHash: Uint8Array;
  readonly signature: Uint8Array;
}

/** Coordinator to each of U3, phase 5: proof that enough of them saw the same lists. */
export interface SurvivorProof {
  readonly sid: Uint8Array;
  /** In increasing order of signer. */
  readonly signatures: readonly { readonly signer: number; readonly signature: Uint8Array }[];
}

/** One share that a participant gives away, or its word that the dealer gave it none that it could use. */
export type UnmaskEntry =
  | { readonly about: number; readonly kind: ShareKind; readonly share: Uint8Array }
  | { readonly about: number; readonly kind: 'unusable' };

/** Participant to coordinator, phase 5. */
export interface UnmaskShares {
  readonly sid: Uint8Array;
  readonly sender: number;
  /** One for each of U2 whose shares it holds, in increasing order: about survivors of the self mask, about others of the mask key. */
  readonly entries: readonly UnmaskEntry[];
  readonly signature: Uint8Array;
}

type Unsigned<Message> = Omit<Message, 'signature'>;

// Phase 1: AdvertiseKeys, SPEC §6.1

/** What the sender signs: keys bound to session and sender. */
export function advertiseKeysToSign(message: Unsigned<AdvertiseKeys>): Uint8Array {
  return tagged(domains.advertiseKeys, advertiseKeysBody(message));
}

export function encodeAdvertiseKeys(message: AdvertiseKeys): Uint8Array {
  return signed(advertiseKeysBody(message), message.signature);
}

/** @throws ProtocolError codec/malformed | codec/trailing-bytes */
export function decodeAdvertiseKeys(bytes: Uint8Array): AdvertiseKeys {
  const reader = new Reader(bytes);
  const { type, sid } = readHeaderOf(reader, [messageTypes.advertiseKeys, messageTypes.committedKeys]);
  const keys = readKeys(reader, type === messageTypes.committedKeys);
  reader.end();
  return { sid, ...keys };
}

function advertiseKeysBody(message: Unsigned<AdvertiseKeys>): Uint8Array {
  const isCommitted = message.graphCommitment !== undefined;
  const writer = header(isCommitted ? messageTypes.committedKeys : messageTypes.advertiseKeys, message.sid);
  return writeKeys(writer, message).finish();
}

function writeKeys(writer: Writer, keys: Unsigned<AdvertisedKeys>): Writer {
  writer.u16(keys.sender).fixed(keys.encryptionKey, PUBLIC_KEY_BYTES).fixed(keys.maskKey, PUBLIC_KEY_BYTES);
  return keys.graphCommitment === undefined ? writer : writer.fixed(keys.graphCommitment, HASH_BYTES);
}

function readKeys(reader: Reader, isCommitted: boolean): AdvertisedKeys {
  return {
    sender: readIndex(reader),
    encryptionKey: reader.fixed(PUBLIC_KEY_BYTES),
    maskKey: reader.fixed(PUBLIC_KEY_BYTES),
    ...(isCommitted ? { graphCommitment: reader.fixed(HASH_BYTES) } : {}),
    signature: reader.fixed(SIGNATURE_BYTES),
  };
}

// Phase 2: KeyList and ShareKeys, SPEC §6.2 and §6.3

/** @throws ProtocolError codec/malformed: some keys have a commitment and others none */
export function encodeKeyList(message: KeyList): Uint8Array {
  const committed = message.keys.filter((keys) => keys.graphCommitment !== undefined).length;
  if (committed > 0 && committed < message.keys.length) {
    throw new ProtocolError('codec/malformed', 'Some keys of the list have a commitment for the graph, others none.');
  }
  const type = committed > 0 ? messageTypes.committedKeyList : messageTypes.keyList;
  const writer = header(type, message.sid).u16(message.keys.length);
  for (const keys of message.keys) writeKeys(writer, keys).fixed(keys.signature, SIGNATURE_BYTES);
  return writer.finish();
}

/** @throws ProtocolError codec/malformed | codec/too-long | codec/trailing-bytes */
export function decodeKeyList(bytes: Uint8Array): KeyList {
  const reader = new Reader(bytes);
  const { type, sid } = readHeaderOf(reader, [messageTypes.keyList, messageTypes.committedKeyList]);
  const isCommitted = type === messageTypes.committedKeyList;
  const at = reader.offset;
  const keys = readIncreasing(
    reader,
    2 + 2 * PUBLIC_KEY_BYTES + (isCommitted ? HASH_BYTES : 0) + SIGNATURE_BYTES,
    () => readKeys(reader, isCommitted),
    (entry) => entry.sender,
  );
  // An empty list says nothing of commitments: it has the one encoding without.
  if (isCommitted && keys.length === 0) reader.fail('A list of committed keys is empty.', at);
  reader.end();
  return { sid, keys };
}

/** The hash under which participants compare the key lists that they saw. */
export function keyListHash(keyList: Uint8Array): Uint8Array {
  return hashTagged(domains.keyList, keyList);
}

/** What takes the place of the key list's hash with a graph: the hash over both lists that fix the graph (SPEC §10.4). */
export function graphCohortHash(keyList: Uint8Array, revealList: Uint8Array): Uint8Array {
  return hashTagged(domains.graphCohort, keyList, revealList);
}

// With a graph, between phases 1 and 2: RevealRandomness and RevealList, SPEC §10.3

/** What the sender signs: its randomness, for one key list. */
export function revealRandomnessToSign(message: Unsigned<RevealRandomness>): Uint8Array {
  return tagged(domains.revealRandomness, revealRandomnessBody(message));
}

export function encodeRevealRandomness(message: RevealRandomness): Uint8Array {
  return signed(revealRandomnessBody(message), message.signature);
}

/** @throws ProtocolError codec/malformed | codec/trailing-bytes */
export function decodeRevealRandomness(bytes: Uint8Array): RevealRandomness {
  const reader = new Reader(bytes);
  const sid = readHeader(reader, messageTypes.revealRandomness);
  const sender = readIndex(reader);
  const listHash = reader.fixed(HASH_BYTES);
  const randomness = reader.fixed(GRAPH_RANDOMNESS_BYTES);
  const signature = reader.fixed(SIGNATURE_BYTES);
  reader.end();
  return { sid, sender, keyListHash: listHash, randomness, signature };
}

function revealRandomnessBody(message: Unsigned<RevealRandomness>): Uint8Array {
  return header(messageTypes.revealRandomness, message.sid)
    .u16(message.sender)
    .fixed(message.keyListHash, HASH_BYTES)
    .fixed(message.randomness, GRAPH_RANDOMNESS_BYTES)
    .finish();
}

export function encodeRevealList(message: RevealList): Uint8Array {
  const writer = header(messageTypes.revealList, message.sid).u16(message.revealed.length);
  for (const { sender, randomness, signature } of message.revealed) {
    writer.u16(sender).fixed(randomness, GRAPH_RANDOMNESS_BYTES).fixed(signature, SIGNATURE_BYTES);
  }
  return writer.finish();
}

/** @throws ProtocolError codec/malformed | codec/too-long | codec/trailing-bytes */
export function decodeRevealList(bytes: Uint8Array): RevealList {
  const reader = new Reader(bytes);
  const sid = readHeader(reader, messageTypes.revealList);
  const revealed = readIncreasing(
    reader,
    2 + GRAPH_RANDOMNESS_BYTES + SIGNATURE_BYTES,
    () => ({
      sender: readIndex(reader),
      randomness: reader.fixed(GRAPH_RANDOMNESS_BYTES),
      signature: reader.fixed(SIGNATURE_BYTES),
    }),
    (entry) => entry.sender,
  );
  reader.end();
  return { sid, revealed };
}

/** The hash of one entry, which stands for it in the dealer's signature. */
export function shareEntryHash(crypto: CryptoProvider, sid: Uint8Array, dealer: number, entry: ShareEntry): Uint8Array {
  const { receiver, sealed, selfMaskCommitment, maskKeyCommitment } = entry;
  const direction = indices([dealer, receiver]);
  return crypto.sha256(tagged(domains.shareEntry, sid, direction, sealed, selfMaskCommitment, maskKeyCommitment));
}

/** What the dealer signs. `entryHashes` are those of its entries, in order. */
export function shareKeysToSign(
  message: Pick<ShareKeys, 'sid' | 'sender' | 'keyListHash' | 'seedCommitment'>,
  entryHashes: readonly Uint8Array[],
): Uint8Array {
  const hashes = new Writer();
  for (const hash of entryHashes) hashes.fixed(hash, HASH_BYTES);
  return tagged(
    domains.shareKeys,
    message.sid,
    indices([message.sender]),
    message.keyListHash,
    message.seedCommitment,
    hashes.finish(),
  );
}

export function encodeShareKeys(message: ShareKeys): Uint8Array {
  const writer = header(messageTypes.shareKeys, message.sid)
    .u16(message.sender)
    .fixed(message.keyListHash, HASH_BYTES)
    .fixed(message.seedCommitment, HASH_BYTES)
    .u16(message.entries.length);
  for (const entry of message.entries) writeEntry(writer.u16(entry.receiver), entry);
  return signed(writer.finish(), message.signature);
}

/** @throws ProtocolError codec/malformed | codec/too-long | codec/trailing-bytes */
export function decodeShareKeys(bytes: Uint8Array): ShareKeys {
  const reader = new Reader(bytes);
  const sid = readHeader(reader, messageTypes.shareKeys);
  const sender = readIndex(reader);
  const listHash = reader.fixed(HASH_BYTES);
  const seedCommitment = reader.fixed(HASH_BYTES);
  const entries = readIncreasing(
    reader,
    SHARE_ENTRY_BYTES,
    () => readEntry(reader, readIndex(reader)),
    (entry) => entry.receiver,
  );
  const signature = reader.fixed(SIGNATURE_BYTES);
  reader.end();
  return { sid, sender, keyListHash: listHash, seedCommitment, entries, signature };
}

/** Bytes of one entry of a ShareKeys message, and of what comes before the first. */
const SHARE_ENTRY_BYTES = 2 + SEALED_BYTES + 2 * HASH_BYTES;
const BEFORE_SHARE_ENTRIES = 4 + 32 + 2 + 2 * HASH_BYTES + 2;

/**
 * One entry of a ShareKeys message that `decodeShareKeys` has accepted, read without the others: the entries of a thousand participants
 * take several times the memory of their bytes.
 *
 * @throws ProtocolError codec/malformed: there is no such place
 */
export function shareEntryAt(shareKeys: StoredBytes, place: number): ShareEntry {
  const begin = BEFORE_SHARE_ENTRIES + place * SHARE_ENTRY_BYTES;
  const reader = new Reader(shareKeys.subarray(begin, begin + SHARE_ENTRY_BYTES));
  return readEntry(reader, readIndex(reader));
}

function writeEntry(writer: Writer, entry: ShareEntry): void {
  writer
    .fixed(entry.sealed, SEALED_BYTES)
    .fixed(entry.selfMaskCommitment, HASH_BYTES)
    .fixed(entry.maskKeyCommitment, HASH_BYTES);
}

function readEntry(reader: Reader, receiver: number): ShareEntry {
  return {
    receiver,
    sealed: reader.fixed(SEALED_BYTES),
    selfMaskCommitment: reader.fixed(HASH_BYTES),
    maskKeyCommitment: reader.fixed(HASH_BYTES),
  };
}

// Phase 3: ShareDelivery and MaskedInput, SPEC §6.4 and §6.5

export function encodeShareDelivery(message: ShareDelivery): Uint8Array {
  const type = message.sharers === undefined ? messageTypes.shareDelivery : messageTypes.graphDelivery;
  const writer = header(type, message.sid).u16(message.receiver);
  if (message.sharers !== undefined) writer.u16(message.sharers.length).raw(indices(message.sharers));
  writer.u16(message.dealers.length);
  for (const delivered of message.dealers) {
    writer
      .u16(delivered.dealer)
      .fixed(delivered.keyListHash, HASH_BYTES)
      .fixed(delivered.seedCommitment, HASH_BYTES)
      .u16(delivered.entryHashes.length);
    for (const hash of delivered.entryHashes) writer.fixed(hash, HASH_BYTES);
    writeEntry(writer, delivered.entry);
    writer.fixed(delivered.signature, SIGNATURE_BYTES);
  }
  return writer.finish();
}

/** @throws ProtocolError codec/malformed | codec/too-long | codec/trailing-bytes */
export function decodeShareDelivery(bytes: Uint8Array): ShareDelivery {
  const reader = new Reader(bytes);
  const { type, sid } = readHeaderOf(reader, [messageTypes.shareDelivery, messageTypes.graphDelivery]);
  const receiver = readIndex(reader);
  const sharers = type === messageTypes.graphDelivery ? readIndices(reader) : undefined;
  const dealers = readIncreasing(
    reader,
    2 + 2 * HASH_BYTES + 2 + SEALED_BYTES + 2 * HASH_BYTES + SIGNATURE_BYTES,
    (): DeliveredShares => {
      const dealer = readIndex(reader);
      const listHash = reader.fixed(HASH_BYTES);
      const seedCommitment = reader.fixed(HASH_BYTES);
      const hashes = reader.count(MAXIMUM_GRAPH_COHORT, HASH_BYTES);
      const entryHashes = Array.from({ length: hashes }, () => reader.fixed(HASH_BYTES));
      const entry = readEntry(reader, receiver);
      const signature = reader.fixed(SIGNATURE_BYTES);
      return { dealer, keyListHash: listHash, seedCommitment, entryHashes, entry, signature };
    },
    (delivered) => delivered.dealer,
  );
  reader.end();
  return { sid, receiver, dealers, ...(sharers === undefined ? {} : { sharers }) };
}

/** What the sender signs: it stands by exactly these words in this session. */
export function maskedInputToSign(message: Unsigned<MaskedInput>): Uint8Array {
  return tagged(domains.maskedInput, maskedInputBody(message));
}

export function encodeMaskedInput(message: MaskedInput): Uint8Array {
  return signed(maskedInputBody(message), message.signature);
}

/** @throws ProtocolError codec/malformed | codec/too-long | codec/trailing-bytes */
export function decodeMaskedInput(bytes: Uint8Array): MaskedInput {
  const reader = new Reader(bytes);
  const sid = readHeader(reader, messageTypes.maskedInput);
  const sender = readIndex(reader);
  const wordsHash = reader.fixed(HASH_BYTES);
  const length = reader.u32();
  if (length > MAXIMUM_LENGTH) {
    throw new ProtocolError('codec/too-long', `A vector of ${length} words is over the limit.`, {
      offset: reader.offset - 4,
    });
  }
  const signature = reader.fixed(SIGNATURE_BYTES);
  reader.end();
  return { sid, sender, wordsHash, length, signature };
}

function maskedInputBody(message: Unsigned<MaskedInput>): Uint8Array {
  return header(messageTypes.maskedInput, message.sid)
    .u16(message.sender)
    .fixed(message.wordsHash, HASH_BYTES)
    .u32(message.length)
    .finish();
}

// Phase 4: SurvivorList and ConsistencySignature, SPEC §6.6 and §6.7

export function encodeSurvivorList(message: SurvivorList): Uint8Array {
  return header(messageTypes.survivorList, message.sid)
    .u16(message.survivors.length)
    .raw(indices(message.survivors))
    .finish();
}

/** @throws ProtocolError codec/malformed | codec/too-long | codec/trailing-bytes */
export function decodeSurvivorList(bytes: Uint8Array): SurvivorList {
  const reader = new Reader(bytes);
  const sid = readHeader(reader, messageTypes.survivorList);
  const survivors = readIndices(reader);
  reader.end();
  return { sid, survivors };
}

/** The hash that survivors sign: U1 with all keys, U2 and U3, so that a coordinator that showed any list twice is caught. */
export function survivorsHash(view: {
  readonly sid: Uint8Array;
  readonly keyListHash: Uint8Array;
  readonly sharers: readonly number[];
  readonly survivors: readonly number[];
}): Uint8Array {
  return hashTagged(domains.survivors, view.sid, view.keyListHash, indices(view.sharers), indices(view.survivors));
}

/** What a survivor signs. */
export function consistencyToSign(message: Unsigned<ConsistencySignature>): Uint8Array {
  return tagged(domains.consistency, consistencyBody(message));
}

export function encodeConsistencySignature(message: ConsistencySignature): Uint8Array {
  return signed(consistencyBody(message), message.signature);
}

/** @throws ProtocolError codec/malformed | codec/trailing-bytes */
export function decodeConsistencySignature(bytes: Uint8Array): ConsistencySignature {
  const reader = new Reader(bytes);
  const sid = readHeader(reader, messageTypes.consistencySignature);
  const sender = readIndex(reader);
  const hash = reader.fixed(HASH_BYTES);
  const signature = reader.fixed(SIGNATURE_BYTES);
  reader.end();
  return { sid, sender, survivorsHash: hash, signature };
}

function consistencyBody(message: Unsigned<ConsistencySignature>): Uint8Array {
  return header(messageTypes.consistencySignature, message.sid)
    .u16(message.sender)
    .fixed(message.survivorsHash, HASH_BYTES)
    .finish();
}

// Phase 5: SurvivorProof and UnmaskShares, SPEC §6.8 and §6.9

export function encodeSurvivorProof(message: SurvivorProof): Uint8Array {
  const writer = header(messageTypes.survivorProof, message.sid).u16(message.signatures.length);
  for (const { signer, signature } of message.signatures) writer.u16(signer).fixed(signature, SIGNATURE_BYTES);
  return writer.finish();
}

/** @throws ProtocolError codec/malformed | codec/too-long | codec/trailing-bytes */
export function decodeSurvivorProof(bytes: Uint8Array): SurvivorProof {
  const reader = new Reader(bytes);
  const sid = readHeader(reader, messageTypes.survivorProof);
  const signatures = readIncreasing(
    reader,
    2 + SIGNATURE_BYTES,
    () => ({ signer: readIndex(reader), signature: reader.fixed(SIGNATURE_BYTES) }),
    (entry) => entry.signer,
  );
  reader.end();
  return { sid, signatures };
}

const kindNumbers = { unusable: 0, 'self-mask': 1, 'mask-key': 2 } as const;

/** What the sender signs, so that a wrong share is traced to it. */
export function unmaskSharesToSign(message: Unsigned<UnmaskShares>): Uint8Array {
  return tagged(domains.unmaskShares, unmaskSharesBody(message));
}

export function encodeUnmaskShares(message: UnmaskShares): Uint8Array {
  return signed(unmaskSharesBody(message), message.signature);
}

/** @throws ProtocolError codec/malformed | codec/too-long | codec/trailing-bytes */
export function decodeUnmaskShares(bytes: Uint8Array): UnmaskShares {
  const reader = new Reader(bytes);
  const sid = readHeader(reader, messageTypes.unmaskShares);
  const sender = readIndex(reader);
  const entries = readIncreasing(
    reader,
    3,
    (): UnmaskEntry => {
      const about = readIndex(reader);
      const at = reader.offset;
      const kind = reader.u8();
      if (kind === kindNumbers.unusable) return { about, kind: 'unusable' };
      if (kind === kindNumbers['self-mask']) return { about, kind: 'self-mask', share: reader.fixed(SHARE_BYTES) };
      if (kind === kindNumbers['mask-key']) return { about, kind: 'mask-key', share: reader.fixed(SHARE_BYTES) };
      return reader.fail(`There is no kind of share ${kind}.`, at);
    },
    (entry) => entry.about,
  );
  const signature = reader.fixed(SIGNATURE_BYTES);
  reader.end();
  return { sid, sender, entries, signature };
}

function unmaskSharesBody(message: Unsigned<UnmaskShares>): Uint8Array {
  const writer = header(messageTypes.unmaskShares, message.sid).u16(message.sender).u16(message.entries.length);
  for (const entry of message.entries) {
    writer.u16(entry.about).u8(kindNumbers[entry.kind]);
    if (entry.kind !== 'unusable') writer.fixed(entry.share, SHARE_BYTES);
  }
  return writer.finish();
}

// Commitments, SPEC §5.4

/**
 * The hash that commits a dealer to one share.
 *
 * Guarantee  binding if SHA-256 resists collisions. Hiding, since a share is a field element of 256 bits that is uniform to
 *            whoever knows fewer than t shares of the same secret.
 */
export function shareCommitment(
  crypto: CryptoProvider,
  of: { readonly sid: Uint8Array; readonly dealer: number; readonly receiver: number; readonly kind: ShareKind },
  share: Uint8Array,
): Uint8Array {
  const kind = Uint8Array.of(kindNumbers[of.kind]);
  // The framed copy of the share is wiped.
  return usingOnce(tagged(domains.shareCommitment, of.sid, indices([of.dealer, of.receiver]), kind, share), (framed) =>
    crypto.sha256(framed),
  );
}

/** The hash that commits a dealer to its self-mask seed, so that inconsistent shares of it are traced to the dealer. */
export function seedCommitment(sid: Uint8Array, dealer: number, seed: Uint8Array): Uint8Array {
  return hashTagged(domains.seedCommitment, sid, indices([dealer]), seed);
}

// Parts of messages

/** Indices as big-endian u16, one after the other. */
export function indices(list: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(2 * list.length);
  list.forEach((index, i) => {
    bytes[2 * i] = index >> 8;
    bytes[2 * i + 1] = index & 255;
  });
  return bytes;
}

function header(type: number, sid: Uint8Array): Writer {
  const writer = new Writer();
  for (const byte of MAGIC) writer.u8(byte);
  return writer.u8(type).fixed(sid, HASH_BYTES);
}

/** Reads magic, version and type, and returns the sid. */
function readHeader(reader: Reader, type: number): Uint8Array {
  return readHeaderOf(reader, [type]).sid;
}

/** Like `readHeader`, for a message that has several types. */
function readHeaderOf(reader: Reader, types: readonly number[]): { readonly type: number; readonly sid: Uint8Array } {
  const wrong = (at: number): never => reader.fail('The message has another type or version than expected.', at);
  for (const byte of MAGIC) {
    const at = reader.offset;
    if (reader.u8() !== byte) wrong(at);
  }
  const at = reader.offset;
  const type = reader.u8();
  if (!types.includes(type)) wrong(at);
  return { type, sid: reader.fixed(HASH_BYTES) };
}

/** A list of indices. */
function readIndices(reader: Reader): readonly number[] {
  return readIncreasing(
    reader,
    2,
    () => readIndex(reader),
    (index) => index,
  );
}

function readIndex(reader: Reader): number {
  const at = reader.offset;
  const index = reader.u16();
  return index < MAXIMUM_GRAPH_COHORT ? index : reader.fail(`A participant index of ${index} is over the limit.`, at);
}

/** A u16 count and that many entries, whose indices must increase: so a list has one encoding and names nobody twice. */
function readIncreasing<Entry>(
  reader: Reader,
  entryBytes: number,
  read: () => Entry,
  indexOf: (entry: Entry) => number,
): readonly Entry[] {
  const count = reader.count(MAXIMUM_GRAPH_COHORT, entryBytes);
  const entries: Entry[] = [];
  let previous = -1;
  for (let i = 0; i < count; i++) {
    const at = reader.offset;
    const entry = read();
    if (indexOf(entry) <= previous) reader.fail('A list is not in increasing order of participants.', at);
    previous = indexOf(entry);
    entries.push(entry);
  }
  return entries;
}

function signed(body: Uint8Array, signature: Uint8Array): Uint8Array {
  return new Writer().raw(body).fixed(signature, SIGNATURE_BYTES).finish();
}

/** Whether a signature over `message` verifies under an identity: the one place where roles check signatures. */
export function expectSignature(
  crypto: CryptoProvider,
  sender: number,
  signature: Uint8Array,
  message: Uint8Array,
  identity: Uint8Array,
): void {
  if (!crypto.ed25519.verify(signature, message, identity)) {
    throw new ProtocolError('crypto/bad-signature', `The signature of participant ${sender} does not verify.`, {
      sender,
    });
  }
}
