/** A uniform whole number from a source of bytes. */

import type { RandomSource } from '@fedlora/protocol';

/** From 0 to bound - 1, for bounds up to 2^32. Rejection: no number is likelier than another. */
export function uniformBelow(bound: number, random: RandomSource): number {
  const limit = Math.floor(2 ** 32 / bound) * bound;
  for (;;) {
    const bytes = random(4);
    const value = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0);
    if (value < limit) return value % bound;
  }
}
