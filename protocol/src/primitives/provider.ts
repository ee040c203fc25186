/**
 * The cryptographic operations that can be done by several libraries, behind one interface.
 *
 * Every provider gives the same bytes; `provider.conformance.test.ts` holds them together. Which operations are here: those whose
 * speed or strictness differs between libraries. Hashing of small messages and key derivation are not: see `hash.ts`, `kdf.ts`.
 */

import type { RandomSource } from '../random.js';

export interface KeyAgreement {
  /** 32 fresh bytes. */
  generateSecret(random: RandomSource): Uint8Array;
  publicKey(secret: Uint8Array): Uint8Array;
  /**
   * The X25519 shared secret (RFC 7748 §6.1). Not a key yet: derive one.
   *
   * @throws ProtocolError crypto/low-order-point: the result is all zero, so the peer's key is a point of small order
   * @throws ProtocolError crypto/malformed-key: a key has not 32 bytes
   */
  sharedSecret(secret: Uint8Array, publicKey: Uint8Array): Uint8Array;
}

export interface Signatures {
  /** 32 fresh bytes: the seed that RFC 8032 calls the private key. */
  generateSecret(random: RandomSource): Uint8Array;
  publicKey(seed: Uint8Array): Uint8Array;
  /** The deterministic Ed25519 signature of RFC 8032 §5.1.6, 64 bytes. */
  sign(seed: Uint8Array, message: Uint8Array): Uint8Array;
  /**
   * Whether the signature is the key's over the message. Never throws: malformed input is simply not a signature.
   *
   * Guarantee  refuses S >= L, encodings of points that are not canonical, and keys of small order.
   */
  verify(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): boolean;
}

/** AES-256-GCM (SP 800-38D) with nonces of 12 bytes and whole tags of 16, which follow the ciphertext; nothing else is authenticated. */
export interface AesGcm {
  /** A key and nonce must never seal twice, or the key that authenticates is lost. Result: 16 bytes longer than the plaintext. */
  seal(key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array): Uint8Array;
  /** The plaintext. @throws ProtocolError crypto/cannot-open: altered, or sealed under another key or nonce */
  open(key: Uint8Array, nonce: Uint8Array, sealed: Uint8Array): Uint8Array;
}

export interface CryptoProvider {
  readonly name: string;
  readonly x25519: KeyAgreement;
  readonly ed25519: Signatures;

  /** SHA-256 of a long message. */
  sha256(bytes: Uint8Array): Uint8Array;

  /** XSalsa20-Poly1305 (NaCl secretbox). A key and nonce must never seal twice. Result: 16 bytes longer than the plaintext. */
  seal(key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array): Uint8Array;

  /** The plaintext. @throws ProtocolError crypto/cannot-open: altered, or sealed under another key or nonce */
  open(key: Uint8Array, nonce: Uint8Array, sealed: Uint8Array): Uint8Array;

  /** For what is kept at rest. Nothing that participants send is sealed with it. */
  readonly aesGcm: AesGcm;

  /**
   * Adds `sign` times a mask to `target`, in place, modulo 2^32.
   *
   * The mask is the AES-256-CTR keystream of `seed` with an all-zero initial counter block, read as little-endian u32 words,
   * from word `firstWord` on (default 0): so parts of one vector can be masked apart.
   *
   * Shapes     target [P] u32, seed [32] u8
   * Guarantee  the mask is indistinguishable from uniform words if AES-256 is a pseudo-random permutation and the seed is
   *            secret and used for one vector only.
   */
  addMask(target: Uint32Array, seed: Uint8Array, sign: 1 | -1, firstWord?: number): void;
}

export const SECRET_BYTES = 32;
export const PUBLIC_KEY_BYTES = 32;
export const SIGNATURE_BYTES = 64;
export const SEAL_NONCE_BYTES = 24;
export const SEAL_OVERHEAD_BYTES = 16;
export const GCM_NONCE_BYTES = 12;
export const GCM_TAG_BYTES = 16;
