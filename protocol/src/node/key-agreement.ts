/** X25519 by node:crypto (OpenSSL), on raw keys. Source: RFC 7748. */

import { diffieHellman } from 'node:crypto';
import { ProtocolError } from '../errors.js';
import { expectBytes, refuseAllZero } from '../primitives/pure.js';
import { PUBLIC_KEY_BYTES, SECRET_BYTES, type KeyAgreement } from '../primitives/provider.js';
import { publicKeyOf, toPrivateKey, toPublicKey } from './raw-keys.js';

/** X25519 of OpenSSL. */
export const nodeKeyAgreement: KeyAgreement = {
  generateSecret: (random) => random(SECRET_BYTES),
  publicKey: (secret) => {
    expectBytes('An X25519 secret', secret, SECRET_BYTES);
    return publicKeyOf(toPrivateKey('X25519', secret));
  },
  sharedSecret: (secret, publicKey) => {
    expectBytes('An X25519 secret', secret, SECRET_BYTES);
    expectBytes('An X25519 public key', publicKey, PUBLIC_KEY_BYTES);
    const keys = { privateKey: toPrivateKey('X25519', secret), publicKey: toPublicKey('X25519', publicKey) };
    let shared: Uint8Array;
    try {
      shared = new Uint8Array(diffieHellman(keys));
    } catch (cause) {
      // Both keys were accepted: what OpenSSL refuses here is an all-zero result.
      throw new ProtocolError('crypto/low-order-point', undefined, {}, { cause });
    }
    return refuseAllZero(shared);
  },
};
