import { describe, expect, it } from 'vitest';
import { seededRandom } from '../node/random.js';
import { canonneDiscreteGaussian } from './canonne.js';
import { discreteGaussianLaw } from './discrete-gaussian-law.js';
import { exactRational, expInterval, floorSqrt, isBelowExp, uniformBelow } from './exact.js';

/** exp(-1), exp(-1/2) and exp(-45.125) to 60 places after the point, rounded down (mpmath 1.3). */
const KNOWN_EXP = [
  { t: 1, digits: '367879441171442321595523770161460867445811131031767834507836' },
  { t: 0.5, digits: '606530659712633423603799534991180453441918135487186955682892' },
  { t: 45.125, digits: '000000000000000000025261637809256925520278837579276183788376' },
];

describe('expInterval', () => {
  it.each(KNOWN_EXP)('holds exp(-$t) between its ends at every precision', ({ t, digits }) => {
    const known = BigInt(digits);
    const unit = 10n ** 60n;
    for (const bits of [1, 8, 53, 100, 190]) {
      const { low, high } = expInterval(exactRational(t), bits);
      expect(low * unit <= (known + 1n) << BigInt(bits)).toBe(true);
      expect(high * unit >= known << BigInt(bits)).toBe(true);
      expect(high - low).toBeLessThanOrEqual(2n);
    }
  });
  it('is exact at 0', () => expect(expInterval(exactRational(0), 10)).toEqual({ low: 1024n, high: 1024n }));
  it('narrows: intervals of more bits lie inside those of fewer', () => {
    for (const t of [1e-9, 0.3, 7, 1000.5]) {
      const coarse = expInterval(exactRational(t), 40);
      const fine = expInterval(exactRational(t), 400);
      expect(fine.low >= coarse.low << 360n && fine.high <= coarse.high << 360n).toBe(true);
    }
  });
});

describe('isBelowExp', () => {
  // 20 000 decisions; |z| < 4.9 fails a right implementation once in a million.
  it.each([
    { factor: { numerator: 1n, denominator: 1n }, t: 0.75, expected: Math.exp(-0.75) },
    { factor: { numerator: 8n, denominator: 3n }, t: 2.5, expected: (8 / 3) * Math.exp(-2.5) },
  ])('is true with probability $expected when no bit of U is known', ({ factor, t, expected }) => {
    const random = seededRandom(`below ${t}`);
    const count = 20_000;
    let below = 0;
    for (let i = 0; i < count; i++) if (isBelowExp(0n, 0, factor, exactRational(t), random)) below++;
    const z = (below - count * expected) / Math.sqrt(count * expected * (1 - expected));
    expect(Math.abs(z)).toBeLessThan(4.9);
  });
  it('follows the known bits when they decide', () => {
    const never = () => {
      throw new Error('no more bits are needed');
    };
    const one = { numerator: 1n, denominator: 1n };
    expect(isBelowExp(0n, 4, one, exactRational(1), never)).toBe(true); // U < 1/16 < exp(-1)
    expect(isBelowExp(15n, 4, one, exactRational(1), never)).toBe(false); // U >= 15/16
  });
  it('decides a comparison whose first 64 bits are equal', () => {
    const { low } = expInterval(exactRational(1), 64);
    let asked = 0;
    const ones = (n: number) => (asked++, new Uint8Array(n).fill(255));
    expect(isBelowExp(low, 64, { numerator: 1n, denominator: 1n }, exactRational(1), ones)).toBe(false);
    expect(asked).toBe(1);
    expect(isBelowExp(low, 64, { numerator: 1n, denominator: 1n }, exactRational(1), (n) => new Uint8Array(n))).toBe(
      true,
    );
  });
});

describe('small exact numbers', () => {
  it('exactRational gives back the f64', () => {
    for (const value of [0, 0.1, 3, 2 ** -30, 1e300, 12345.678]) {
      const { numerator, denominator } = exactRational(value);
      expect(Number(numerator) / Number(denominator)).toBe(value);
    }
  });
  it('floorSqrt is the floor of the root, at squares and beside them', () => {
    for (const root of [1n, 2n, 3n, 10n ** 20n + 7n, 1n << 64n]) {
      expect(floorSqrt(root * root)).toBe(root);
      expect(floorSqrt(root * root + 2n * root)).toBe(root);
      expect(floorSqrt(root * root - 1n)).toBe(root - 1n);
    }
    expect(floorSqrt(0n)).toBe(0n);
  });
  it('uniformBelow reaches every number of its range equally often', () => {
    const random = seededRandom('below');
    const seen = new Array<number>(5).fill(0);
    for (let i = 0; i < 10_000; i++) seen[Number(uniformBelow(5n, random))]++;
    // chi-squared with 4 degrees of freedom: over 33.4 once in a million.
    expect(seen.reduce((sum, count) => sum + (count - 2000) ** 2 / 2000, 0)).toBeLessThan(33.4);
    expect(uniformBelow(1n, random)).toBe(0n);
  });
});

describe('canonneDiscreteGaussian', () => {
  it('follows the law of sigma^2 = 5/2', () => {
    const random = seededRandom('canonne');
    const { bound, probability } = discreteGaussianLaw(Math.sqrt(2.5));
    const count = 20_000;
    const seen = new Array<number>(13).fill(0); // -6 .. 6, the ends with all beyond
    for (let i = 0; i < count; i++)
      seen[Math.max(-6, Math.min(6, Number(canonneDiscreteGaussian(5n, 2n, random)))) + 6]++;
    let chi = 0;
    for (let x = -6; x <= 6; x++) {
      let p = probability[x + bound];
      if (Math.abs(x) === 6) for (let y = 7; y <= bound; y++) p += probability[y + bound];
      chi += (seen[x + 6] - count * p) ** 2 / (count * p);
    }
    // 12 degrees of freedom: over 52.2 once in two million.
    expect(chi).toBeLessThan(52.2);
  });
  it('refuses a variance that is not positive', () => {
    expect(() => canonneDiscreteGaussian(0n, 1n, seededRandom(0))).toThrow('positive');
  });
});
