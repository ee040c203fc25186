/**
 * Raw 32-byte keys of X25519 and Ed25519 as key objects of node:crypto, by way of JSON Web Keys (RFC 8037).
 *
 * Cost       about 40 microseconds for a secret key; by way of DER it takes OpenSSL 3 ten times as long.
 * Secrets    a JSON Web Key is text, which cannot be wiped: it stays in memory until the garbage collector takes it.
 */

import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';

export type RawCurve = 'X25519' | 'Ed25519';

/** A secret key must carry some public key in its JSON form, which Node checks for and does not use. */
const UNUSED_PUBLIC_KEY = base64url(new Uint8Array(32));

export function toPrivateKey(curve: RawCurve, secret: Uint8Array): KeyObject {
  const key = { kty: 'OKP', crv: curve, d: base64url(secret), x: UNUSED_PUBLIC_KEY };
  return createPrivateKey({ key, format: 'jwk' });
}

export function toPublicKey(curve: RawCurve, publicKey: Uint8Array): KeyObject {
  return createPublicKey({ key: { kty: 'OKP', crv: curve, x: base64url(publicKey) }, format: 'jwk' });
}

/** The raw public key that belongs to a secret key. */
export function publicKeyOf(privateKey: KeyObject): Uint8Array {
  const { x } = createPublicKey(privateKey).export({ format: 'jwk' });
  if (x === undefined) throw new TypeError('The key is not of an Edwards or Montgomery curve.');
  return new Uint8Array(Buffer.from(x, 'base64url'));
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64url');
}
