/**
 * Which records take part in a round: each by its own coin, as the accountant assumes.
 *
 * Source     Mironov, Talwar, Zhang 2019, arXiv:1908.10530 (Poisson subsampling). Shuffled batches of fixed size, which most
 *            trainers use, do not have the privacy that is computed for it.
 * Secrets    The sample is as private as the records: it is neither logged nor sent, and neither is its size.
 */

import type { RandomSource } from '@fedlora/protocol';
import { FedloraError } from '@fedlora/shared';

/** Bytes of randomness for one coin. */
const COIN_BYTES = 8;

/** Coins for which randomness is fetched at once. */
const COINS_AT_ONCE = 4096;

/**
 * Includes each of the records 0 to count - 1 independently with probability `rate`; returns their indices, ascending.
 *
 * Guarantee  The probability is `floor(rate * 2^64) / 2^64`, with no float in the comparison: exactly `rate` for every double from
 *            2^-12 up, below that smaller by less than 2^-64, which only adds privacy. Always the same bytes are drawn, whatever the
 *            outcome.
 * Edge cases rate 0 -> none | rate 1 -> all
 * @throws FedloraError internal/unexpected: rate outside [0, 1] - manifests are checked long before
 */
export function poissonSample(count: number, rate: number, random: RandomSource): number[] {
  if (!(rate >= 0 && rate <= 1))
    throw new FedloraError('internal/unexpected', 'The sampling rate is not between 0 and 1.');
  // Exact: a double times a power of two, and its floor.
  const threshold = BigInt(Math.floor(rate * 2 ** 64));
  const isAll = threshold === 1n << 64n;
  const high = Number(threshold >> 32n);
  const low = Number(threshold & 0xffffffffn);
  const sample: number[] = [];
  for (let begin = 0; begin < count; begin += COINS_AT_ONCE) {
    const coins = Math.min(COINS_AT_ONCE, count - begin);
    const bytes = random(coins * COIN_BYTES);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let i = 0; i < coins; i++) {
      const coinHigh = view.getUint32(i * COIN_BYTES, false);
      const coinLow = view.getUint32(i * COIN_BYTES + 4, false);
      if (isAll || coinHigh < high || (coinHigh === high && coinLow < low)) sample.push(begin + i);
    }
    bytes.fill(0);
  }
  return sample;
}
