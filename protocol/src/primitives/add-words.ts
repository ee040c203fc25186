/** The addition of the ring Z_2^32, which every word of every vector goes through several times. */

import { ProtocolError } from '../errors.js';

/**
 * Adds `sign` times each word to the word of `target` in the same place, from `firstWord` on, modulo 2^32.
 *
 * Shapes     words [p] u32, target [P] u32 with P >= firstWord + p
 * Cost       1.5 ns a word. Eight words a turn, as signed integers: with one word a turn it takes twice as long, and sums of two
 *            u32 do not fit the engine's integers, which takes as long again.
 * @throws ProtocolError update/wrong-length: the words reach past the end of the target
 */
export function addWords(target: Uint32Array, words: Uint32Array, sign: 1 | -1 = 1, firstWord = 0): void {
  const n = words.length;
  if (firstWord < 0 || firstWord + n > target.length) {
    throw new ProtocolError('update/wrong-length', 'Words reach past the end of the vector they are added to.');
  }
  const to = new Int32Array(target.buffer, target.byteOffset + 4 * firstWord, n);
  const from = new Int32Array(words.buffer, words.byteOffset, n);
  const flip = sign === 1 ? 0 : -1; // (x ^ -1) + 1 = -x; Int32Array stores modulo 2^32
  let i = 0;
  for (; i + 7 < n; i += 8) {
    to[i] += (from[i] ^ flip) - flip;
    to[i + 1] += (from[i + 1] ^ flip) - flip;
    to[i + 2] += (from[i + 2] ^ flip) - flip;
    to[i + 3] += (from[i + 3] ^ flip) - flip;
    to[i + 4] += (from[i + 4] ^ flip) - flip;
    to[i + 5] += (from[i + 5] ^ flip) - flip;
    to[i + 6] += (from[i + 6] ^ flip) - flip;
    to[i + 7] += (from[i + 7] ^ flip) - flip;
  }
  for (; i < n; i++) to[i] += (from[i] ^ flip) - flip;
}
