/** HKDF-SHA-256 with the session id as salt, so that a key of one round means nothing in another. Source: SPEC §3.3, RFC 5869. */

import { hkdf } from '@noble/hashes/hkdf.js';
import { sha256 as nobleSha256 } from '@noble/hashes/sha2.js';
import type { Domain } from './domains.js';
import { tagged } from './hash.js';

/** Bytes of every derived key. */
export const KEY_BYTES = 32;

/**
 * A key of 32 bytes: `HKDF(ikm = secret, salt = sid, info = tagged(domain, ...context))`.
 *
 * `context` names the roles and the direction: who derives it with whom.
 * Secrets    reads `secret`; the caller wipes it and owns the result.
 */
export function deriveKey(
  secret: Uint8Array,
  sid: Uint8Array,
  domain: Domain,
  ...context: readonly Uint8Array[]
): Uint8Array {
  return hkdf(nobleSha256, secret, sid, tagged(domain, ...context), KEY_BYTES);
}
