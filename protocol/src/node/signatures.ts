/**
 * Ed25519 by node:crypto (OpenSSL), on raw keys. Source: RFC 8032.
 *
 * Divergence OpenSSL accepts points that are not canonical and keys of small order, which noble-curves refuses; they are refused
 *            here too. One difference stays: OpenSSL checks the equation without the cofactor, noble-curves with it. It shows only
 *            for keys or signatures that their own holder built with a part of small order, and then OpenSSL is the stricter one.
 */

import { sign, verify } from 'node:crypto';
import { fromHex } from '../bytes/hex.js';
import { equalBytes } from '../bytes/equal.js';
import { expectBytes } from '../primitives/pure.js';
import { PUBLIC_KEY_BYTES, SECRET_BYTES, SIGNATURE_BYTES, type Signatures } from '../primitives/provider.js';
import { publicKeyOf, toPrivateKey, toPublicKey } from './raw-keys.js';

/** y coordinates of the eight points of small order, little-endian, sign bit clear. */
const SMALL_ORDER_Y: readonly Uint8Array[] = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
].map(fromHex);

/** Ed25519 of OpenSSL, made as strict as noble-curves. */
export const nodeSignatures: Signatures = {
  generateSecret: (random) => random(SECRET_BYTES),
  publicKey: (seed) => {
    expectBytes('An Ed25519 seed', seed, SECRET_BYTES);
    return publicKeyOf(toPrivateKey('Ed25519', seed));
  },
  sign: (seed, message) => {
    expectBytes('An Ed25519 seed', seed, SECRET_BYTES);
    return new Uint8Array(sign(null, message, toPrivateKey('Ed25519', seed)));
  },
  verify: (signature, message, publicKey) => {
    if (signature.length !== SIGNATURE_BYTES || publicKey.length !== PUBLIC_KEY_BYTES) return false;
    if (!isCanonicalPoint(publicKey) || isSmallOrder(publicKey)) return false;
    if (!isCanonicalPoint(signature.subarray(0, PUBLIC_KEY_BYTES))) return false;
    return verify(null, message, toPublicKey('Ed25519', publicKey), signature);
  },
};

/** Whether the y coordinate is below 2^255 - 19, and x = 0 is not given a sign. */
function isCanonicalPoint(encoded: Uint8Array): boolean {
  const y = withoutSign(encoded);
  const high = y.subarray(1, 31).every((byte) => byte === 0xff) && y[31] === 0x7f;
  if (high && y[0] >= 0xed) return false;
  const isSigned = (encoded[31] & 0x80) !== 0;
  // x = 0 exactly at y = 1 and y = -1.
  const hasZeroX = equalBytes(y, SMALL_ORDER_Y[1]) || equalBytes(y, SMALL_ORDER_Y[2]);
  return !(isSigned && hasZeroX);
}

function isSmallOrder(encoded: Uint8Array): boolean {
  const y = withoutSign(encoded);
  return SMALL_ORDER_Y.some((small) => equalBytes(small, y));
}

function withoutSign(encoded: Uint8Array): Uint8Array {
  const y = new Uint8Array(encoded); // Not `slice`: on a `Buffer` that would change the caller’s bytes.
  y[31] = y[31] & 0x7f;
  return y;
}
