/**
 * The provider that runs anywhere: Ed25519 and X25519 by noble-curves, AES by noble-ciphers, sealing by TweetNaCl.
 *
 * Source     RFC 7748, RFC 8032, FIPS 197, NIST SP 800-38A (CTR), SP 800-38D (GCM), NaCl secretbox
 * Divergence from RFC 8032: keys of small order are refused, so that no signature verifies under two keys.
 */

import { ctr, gcm } from '@noble/ciphers/aes.js';
import { ed25519 as nobleEd25519, x25519 as nobleX25519 } from '@noble/curves/ed25519.js';
import nacl from 'tweetnacl';
import { isAllZero } from '../bytes/equal.js';
import { ProtocolError } from '../errors.js';
import { sha256 } from './hash.js';
import {
  GCM_NONCE_BYTES,
  PUBLIC_KEY_BYTES,
  SEAL_NONCE_BYTES,
  SECRET_BYTES,
  SIGNATURE_BYTES,
  type AesGcm,
  type CryptoProvider,
  type KeyAgreement,
  type Signatures,
} from './provider.js';

/** AES works in blocks of 16 bytes, 4 words. */
const BLOCK_WORDS = 4;

/** Words of keystream made at a time: small enough for the processor's cache. */
const CHUNK_WORDS = 16_384;

/** X25519 of noble-curves. */
export const nobleKeyAgreement: KeyAgreement = {
  generateSecret: (random) => random(SECRET_BYTES),
  publicKey: (secret) => {
    expectBytes('An X25519 secret', secret, SECRET_BYTES);
    return nobleX25519.getPublicKey(secret);
  },
  sharedSecret: (secret, publicKey) => {
    expectBytes('An X25519 secret', secret, SECRET_BYTES);
    expectBytes('An X25519 public key', publicKey, PUBLIC_KEY_BYTES);
    let shared: Uint8Array;
    try {
      shared = nobleX25519.getSharedSecret(secret, publicKey);
    } catch (cause) {
      // With lengths checked, the only thing that noble refuses is an all-zero result.
      throw new ProtocolError('crypto/low-order-point', undefined, {}, { cause });
    }
    return refuseAllZero(shared);
  },
};

/** Ed25519 of noble-curves, strict. */
export const nobleSignatures: Signatures = {
  generateSecret: (random) => random(SECRET_BYTES),
  publicKey: (seed) => {
    expectBytes('An Ed25519 seed', seed, SECRET_BYTES);
    return nobleEd25519.getPublicKey(seed);
  },
  sign: (seed, message) => {
    expectBytes('An Ed25519 seed', seed, SECRET_BYTES);
    return nobleEd25519.sign(message, seed);
  },
  verify: (signature, message, publicKey) => {
    if (signature.length !== SIGNATURE_BYTES || publicKey.length !== PUBLIC_KEY_BYTES) return false;
    return nobleEd25519.verify(signature, message, publicKey, { zip215: false });
  },
};

/** NaCl secretbox of TweetNaCl, with lengths checked. */
export const tweetnaclSealing: Pick<CryptoProvider, 'seal' | 'open'> = {
  seal: (key, nonce, plaintext) => {
    expectBytes('A sealing key', key, SECRET_BYTES);
    expectBytes('A nonce', nonce, SEAL_NONCE_BYTES);
    return nacl.secretbox(plaintext, nonce, key);
  },
  open: (key, nonce, sealed) => {
    expectBytes('A sealing key', key, SECRET_BYTES);
    expectBytes('A nonce', nonce, SEAL_NONCE_BYTES);
    const plaintext = nacl.secretbox.open(sealed, nonce, key);
    if (plaintext === null) throw new ProtocolError('crypto/cannot-open');
    return plaintext;
  },
};

/** AES-256-GCM of noble-ciphers. */
export const nobleAesGcm: AesGcm = {
  seal: (key, nonce, plaintext) => {
    expectGcmKey(key, nonce);
    return gcm(key, nonce).encrypt(plaintext);
  },
  open: (key, nonce, sealed) => {
    expectGcmKey(key, nonce);
    try {
      return gcm(key, nonce).decrypt(sealed);
    } catch {
      throw new ProtocolError('crypto/cannot-open');
    }
  },
};

/** @throws ProtocolError crypto/malformed-key */
export function expectGcmKey(key: Uint8Array, nonce: Uint8Array): void {
  expectBytes('An AES-256-GCM key', key, SECRET_BYTES);
  expectBytes('A nonce of AES-GCM', nonce, GCM_NONCE_BYTES);
}

/** Mask expansion by noble-ciphers: see `CryptoProvider.addMask`. */
export function nobleAddMask(target: Uint32Array, seed: Uint8Array, sign: 1 | -1, firstWord = 0): void {
  expectBytes('A mask seed', seed, SECRET_BYTES);
  const zeros = new Uint8Array(4 * CHUNK_WORDS);
  for (let done = 0; done < target.length;) {
    const at = keystreamPosition(firstWord + done);
    const words = Math.min(target.length - done, CHUNK_WORDS - at.skip);
    const stream = ctr(seed, at.counter).encrypt(zeros.subarray(0, 4 * (at.skip + words)));
    const view = new DataView(stream.buffer, stream.byteOffset, stream.byteLength);
    for (let i = 0; i < words; i++) {
      target[done + i] += sign * view.getUint32(4 * (at.skip + i), true); // Uint32Array stores modulo 2^32
    }
    stream.fill(0);
    done += words;
  }
}

/** Where a word of the keystream lies: the counter block that holds it, and how many words of that block come before it. */
export function keystreamPosition(word: number): { readonly counter: Uint8Array; readonly skip: number } {
  if (!Number.isSafeInteger(word) || word < 0) {
    throw new ProtocolError('update/wrong-length', `${word} is no position in a mask.`);
  }
  const counter = new Uint8Array(16); // big-endian block number
  for (let i = 15, rest = Math.floor(word / BLOCK_WORDS); rest > 0; i--, rest = Math.floor(rest / 256))
    counter[i] = rest % 256;
  return { counter, skip: word % BLOCK_WORDS };
}

/**
 * The provider for platforms without node:crypto, for the federation's signed documents everywhere (decisions/0002), and the
 * reference that others are held to.
 */
export const pureProvider: CryptoProvider = {
  name: 'pure',
  x25519: nobleKeyAgreement,
  ed25519: nobleSignatures,
  sha256,
  ...tweetnaclSealing,
  aesGcm: nobleAesGcm,
  addMask: nobleAddMask,
};

/** @throws ProtocolError crypto/malformed-key: not `length` bytes */
export function expectBytes(what: string, bytes: Uint8Array, length: number): void {
  if (bytes.length !== length) {
    throw new ProtocolError('crypto/malformed-key', `${what} has ${length} bytes, not ${bytes.length}.`);
  }
}

/** @throws ProtocolError crypto/low-order-point: a shared secret is all zero */
export function refuseAllZero(shared: Uint8Array): Uint8Array {
  if (isAllZero(shared)) throw new ProtocolError('crypto/low-order-point');
  return shared;
}
