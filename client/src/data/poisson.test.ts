import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { poissonSample } from './poisson.js';

/** Bytes that follow from a seed. */
function seeded(seed: string): (byteLength: number) => Uint8Array {
  let block = 0;
  return (byteLength) => {
    const parts: Buffer[] = [];
    for (let have = 0; have < byteLength; have += 32)
      parts.push(createHash('sha256').update(`${seed}/${block++}`).digest());
    return Uint8Array.from(Buffer.concat(parts).subarray(0, byteLength));
  };
}

/** A source of one coin: the 64 bits of the value. */
const coin = (value: bigint) => (): Uint8Array => {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, false);
  return bytes;
};

describe('poissonSample', () => {
  it.each([0.01, 0.5, 1 / 3, 2 ** -12, 0.99])('draws the line at exactly %d of 2^64', (rate) => {
    const threshold = BigInt(rate * 2 ** 64);
    expect(Number(threshold) / 2 ** 64).toBe(rate);
    expect(poissonSample(1, rate, coin(threshold - 1n))).toEqual([0]);
    expect(poissonSample(1, rate, coin(threshold))).toEqual([]);
  });

  it('takes none at rate 0 and all at rate 1', () => {
    expect(poissonSample(1, 0, coin(0n))).toEqual([]);
    expect(poissonSample(1, 1, coin(2n ** 64n - 1n))).toEqual([0]);
    expect(poissonSample(10_000, 1, seeded('all'))).toHaveLength(10_000);
  });

  it('takes each record at the rate, and samples of varying size', () => {
    const random = seeded('rate');
    const rounds = 400;
    const sizes = Array.from({ length: rounds }, () => poissonSample(1000, 0.05, random).length);
    const mean = sizes.reduce((a, b) => a + b, 0) / rounds;
    const variance = sizes.reduce((sum, size) => sum + (size - mean) ** 2, 0) / rounds;
    // Binomial: mean 50, variance 47.5. Five standard errors each: false alarm under 1e-6 (the seed is fixed anyway).
    expect(Math.abs(mean - 50)).toBeLessThan(5 * Math.sqrt(47.5 / rounds));
    expect(Math.abs(variance - 47.5)).toBeLessThan(5 * 47.5 * Math.sqrt(2 / rounds));
  });

  it('gives ascending indices over the edge of a block', () => {
    const sample = poissonSample(9000, 0.5, seeded('edge'));
    expect(sample).toEqual([...new Set(sample)].sort((a, b) => a - b));
    expect(sample.at(-1)).toBeGreaterThan(8900);
    expect(poissonSample(9000, 0.5, seeded('edge'))).toEqual(sample);
  });

  it.each([-0.1, 1.1, Number.NaN])('refuses the rate %d', (rate) => {
    expect(() => poissonSample(1, rate, coin(0n))).toThrow(expect.objectContaining({ code: 'internal/unexpected' }));
  });
});
