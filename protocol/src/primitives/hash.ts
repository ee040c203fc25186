/** SHA-256, and the framing under which everything is hashed or signed. */

import { sha256 as nobleSha256 } from '@noble/hashes/sha2.js';
import { utf8 } from '../bytes/utf8.js';
import { Writer } from '../bytes/writer.js';
import type { Domain } from './domains.js';

/** Bytes of a SHA-256 hash. */
export const HASH_BYTES = 32;

/** SHA-256 of the bytes. Source: FIPS 180-4. */
export function sha256(bytes: Uint8Array): Uint8Array {
  return nobleSha256(bytes);
}

/**
 * The domain tag and the parts, each with its length before it as u32 (SPEC §3).
 *
 * Guarantee  different (domain, parts) give different bytes: no part can leak into its neighbour.
 */
export function tagged(domain: Domain, ...parts: readonly Uint8Array[]): Uint8Array {
  const writer = new Writer().prefixed(utf8(domain));
  for (const part of parts) writer.prefixed(part);
  return writer.finish();
}

/** SHA-256 over `tagged(domain, ...parts)`. */
export function hashTagged(domain: Domain, ...parts: readonly Uint8Array[]): Uint8Array {
  return sha256(tagged(domain, ...parts));
}
