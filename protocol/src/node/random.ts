/**
 * Random sources: AES-256-CTR keystreams, from a key of the operating system in production, from a label for public values, from a
 * seed in tests.
 *
 * Source     fast key erasure (Bernstein 2017): each refill starts with the key of the next one, so that a memory dump does not
 *            reveal bytes that were given out before.
 */

import { createCipheriv, createHash, randomBytes } from 'node:crypto';
import type { RandomSource } from '../random.js';

const CHUNK_BYTES = 65_536;
const KEY_BYTES = 32;

/** What is encrypted to get the bare keystream. Never written to. */
const ZEROS: Uint8Array = new Uint8Array(KEY_BYTES + CHUNK_BYTES);

/**
 * Randomness for secrets and noise, keyed from the operating system. Each call makes an independent source.
 *
 * Cost       over 1 GB/s in large requests.
 * Secrets    bytes that were given out are not kept: the caller owns the only copy.
 */
export function systemRandom(): RandomSource {
  return keystream(new Uint8Array(randomBytes(KEY_BYTES)));
}

/** Bytes that depend on the seed alone. For tests only: whoever knows the seed knows every secret. */
export function seededRandom(seed: number | string): RandomSource {
  return keystream(new Uint8Array(createHash('sha256').update(`fedlora/test-random/${seed}`).digest()));
}

/**
 * Bytes that everyone can compute from a public label, for values that nobody is to choose. Never for secrets.
 *
 * Guarantee  The AES-256-CTR keystream from counter 0 under SHA-256 of the label, in order, however it is asked for.
 */
export function publicRandom(label: string): RandomSource {
  const cipher = createCipheriv('aes-256-ctr', createHash('sha256').update(label).digest(), new Uint8Array(16));
  return (byteLength) => new Uint8Array(cipher.update(new Uint8Array(byteLength)));
}

/** A source over an initial key, which it takes over. */
function keystream(key: Uint8Array): RandomSource {
  let chunk: Uint8Array = new Uint8Array(0);
  let used = 0;

  /** The next bytes of the stream, at most CHUNK_BYTES, in an array of their own. */
  const refill = (byteLength: number): Uint8Array => {
    const cipher = createCipheriv('aes-256-ctr', key, new Uint8Array(16));
    const stream = cipher.update(ZEROS.subarray(0, KEY_BYTES + byteLength));
    key.set(stream.subarray(0, KEY_BYTES));
    stream.fill(0, 0, KEY_BYTES);
    return new Uint8Array(stream.buffer, stream.byteOffset + KEY_BYTES, byteLength);
  };

  return (byteLength) => {
    if (byteLength === CHUNK_BYTES) return refill(CHUNK_BYTES);
    const result = new Uint8Array(byteLength);
    for (let done = 0; done < byteLength;) {
      if (used === chunk.length) {
        chunk = refill(CHUNK_BYTES);
        used = 0;
      }
      const count = Math.min(byteLength - done, chunk.length - used);
      result.set(chunk.subarray(used, used + count), done);
      chunk.fill(0, used, used + count);
      used += count;
      done += count;
    }
    return result;
  };
}
