/** SHA-256, and the framing under which everything is hashed or signed. */

import { sha256 as nobleSha256 } from '@noble/hashes/sha2.js';
import { usingOnce } from '../bytes/secret.js';
import { utf8 } from '../bytes/utf8.js';
import { domains, type Domain } from './domains.js';

/** Bytes of a SHA-256 hash. */
export const HASH_BYTES = 32;

/** SHA-256 of the bytes. Source: FIPS 180-4. */
export function sha256(bytes: Uint8Array): Uint8Array {
  return nobleSha256(bytes);
}

/** Bytes of the length before each part. */
const LENGTH_BYTES = 4;

const domainBytes: ReadonlyMap<Domain, Uint8Array> = new Map(
  Object.values(domains).map((domain) => [domain, utf8(domain)]),
);

/**
 * The domain tag and the parts, each with its length before it as big-endian u32 (SPEC §3).
 *
 * Guarantee  different (domain, parts) give different bytes: no part can leak into its neighbour.
 * Cost       called for every pair of participants, so it writes into one array instead of using `Writer`.
 */
export function tagged(domain: Domain, ...parts: readonly Uint8Array[]): Uint8Array {
  const all = [domainBytes.get(domain) ?? utf8(domain), ...parts];
  const message = new Uint8Array(all.reduce((length, part) => length + LENGTH_BYTES + part.length, 0));
  let offset = 0;
  for (const part of all) {
    for (let i = LENGTH_BYTES - 1, rest = part.length; rest > 0; i--, rest = Math.floor(rest / 256)) {
      message[offset + i] = rest % 256;
    }
    message.set(part, offset + LENGTH_BYTES);
    offset += LENGTH_BYTES + part.length;
  }
  return message;
}

/** SHA-256 over `tagged(domain, ...parts)`. The framed copy of the parts, some of which are secret, is wiped. */
export function hashTagged(domain: Domain, ...parts: readonly Uint8Array[]): Uint8Array {
  return usingOnce(tagged(domain, ...parts), sha256);
}
