/**
 * Masks: where their seeds come from, how they are added, and the stages of an update around them. Source: SPEC §5.3, §7.
 *
 * The masked words of participant u are
 *     y_u = x_u + selfMask(b_u) + sum_{v in U2, u < v} pair(u, v) - sum_{v in U2, v < u} pair(v, u)     mod 2^32
 * so that in the sum over everyone in U2 all pairwise masks cancel.
 *
 * Legend     P = words of the vector
 */

import { ProtocolError } from '../errors.js';
import { addWords } from '../primitives/add-words.js';
import { domains } from '../primitives/domains.js';
import { deriveKey } from '../primitives/kdf.js';
import type { CryptoProvider } from '../primitives/provider.js';
import type { MaskedSum, MaskedUpdate, NoisedUpdate, NoisySum } from '../update/stages.js';
import { indices } from './messages.js';

/** A mask by its seed: what is added, or with the opposite sign removed. */
export interface SignedMask {
  /** 32 bytes: the AES-256 key. Secret until the coordinator recovers it. */
  readonly seed: Uint8Array;
  readonly sign: 1 | -1;
}

const isLittleEndian = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

/** The direction in which `me` adds the mask that it shares with `other`: the smaller index adds, the larger subtracts. */
export function pairwiseSign(me: number, other: number): 1 | -1 {
  return me < other ? 1 : -1;
}

/**
 * The seed of the mask between two participants, from their X25519 shared secret (SPEC §5.3).
 *
 * Both indices and both public keys, smaller index first, go into the derivation: a key that somebody else advertised again
 * under another index gives another mask.
 */
export function pairwiseMaskSeed(
  sharedSecret: Uint8Array,
  sid: Uint8Array,
  a: { readonly index: number; readonly maskKey: Uint8Array },
  b: { readonly index: number; readonly maskKey: Uint8Array },
): Uint8Array {
  const [low, high] = a.index < b.index ? [a, b] : [b, a];
  return deriveKey(
    sharedSecret,
    sid,
    domains.pairwiseMask,
    indices([low.index, high.index]),
    low.maskKey,
    high.maskKey,
  );
}

/** The AES key of a participant's self mask, from the seed b that it shared (SPEC §5.3). */
export function selfMaskKey(seed: Uint8Array, sid: Uint8Array, index: number): Uint8Array {
  return deriveKey(seed, sid, domains.selfMask, indices([index]));
}

/**
 * A noised update with masks added: uniform to whoever lacks one of the seeds.
 *
 * Shapes     levels [P] i32 -> words [P] u32 mod 2^32
 * Guarantee  levels are taken modulo 2^32; whether the sum wraps is the manifest's business (`checkNoWrap`).
 * Secrets    reads the seeds; the caller wipes them. The noised update itself is not changed. If a mask cannot be added, the words,
 *            which do not have all masks yet, are wiped.
 */
export function mask(crypto: CryptoProvider, noised: NoisedUpdate, masks: readonly SignedMask[]): MaskedUpdate {
  const words = new Uint32Array(noised.levels); // [P], converts modulo 2^32
  try {
    for (const { seed, sign } of masks) crypto.addMask(words, seed, sign);
  } catch (error) {
    words.fill(0);
    throw error;
  }
  return { words } as MaskedUpdate;
}

/** The sum of no masked updates. [P] zeros. */
export function emptyMaskedSum(length: number): MaskedSum {
  return { words: new Uint32Array(length) } as MaskedSum;
}

/**
 * Adds a masked update, or a part of it that starts at `firstWord`, into a sum, modulo 2^32. The order does not matter.
 *
 * @throws ProtocolError update/wrong-length: the part reaches past the end of the sum
 */
export function sumMaskedInto(target: MaskedSum, words: Uint32Array, firstWord = 0): void {
  addWords(target.words, words, 1, firstWord);
}

/**
 * Removes the remaining masks from a sum of masked updates.
 *
 * Shapes     words [P] u32 mod 2^32 -> levels [P] i32
 * Guarantee  with the masks that `planUnmasking` recovered, the result is the sum of the survivors' noised updates modulo 2^32,
 *            read as two's complement; exact when the manifest's no-wrap rule holds.
 * @param firstWord where this sum starts in the whole vector, when workers unmask parts of it
 */
export function unmask(crypto: CryptoProvider, sum: MaskedSum, masks: readonly SignedMask[], firstWord = 0): NoisySum {
  const words = sum.words.slice(); // [P]
  for (const { seed, sign } of masks) crypto.addMask(words, seed, sign === 1 ? -1 : 1, firstWord);
  return { levels: new Int32Array(words.buffer) } as NoisySum;
}

/** Words as little-endian bytes, as they travel and as they are hashed. May share memory with `words`. */
export function wordsToBytes(words: Uint32Array): Uint8Array {
  if (isLittleEndian) return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
  const bytes = new Uint8Array(words.byteLength);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < words.length; i++) view.setUint32(4 * i, words[i], true);
  return bytes;
}

/** Little-endian bytes as words. May share memory with `bytes`. @throws ProtocolError codec/malformed: no whole words */
export function bytesToWords(bytes: Uint8Array): Uint32Array {
  if (bytes.length % 4 !== 0)
    throw new ProtocolError('codec/malformed', 'Bytes are no whole words.', { offset: bytes.length });
  if (isLittleEndian && bytes.byteOffset % 4 === 0)
    return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  const words = new Uint32Array(bytes.length / 4);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let i = 0; i < words.length; i++) words[i] = view.getUint32(4 * i, true);
  return words;
}

/**
 * The masked update that arrived as bytes.
 *
 * Shapes     bytes [4 P] u8, little-endian words -> words [P] u32
 * @throws ProtocolError update/wrong-length: not `length` words
 */
export function decodeMaskedUpdate(bytes: Uint8Array, length: number): MaskedUpdate {
  if (bytes.length !== 4 * length) {
    throw new ProtocolError('update/wrong-length', `Masked words take ${4 * length} bytes, not ${bytes.length}.`);
  }
  return { words: bytesToWords(bytes) } as MaskedUpdate;
}

/** The hash by which a participant stands by its words: plain SHA-256 of the bytes on the wire (SPEC §6.5). */
export function wordsHash(crypto: CryptoProvider, masked: MaskedUpdate): Uint8Array {
  return crypto.sha256(wordsToBytes(masked.words));
}
