import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ProtocolError, type ProtocolErrorCode } from '../errors.js';
import { seededRandom } from '../node/random.js';
import {
  combine,
  combineWith,
  FIELD_PRIME,
  interpolate,
  interpolationAtZero,
  isCanonicalShare,
  split,
  type Share,
} from './shamir.js';

function refusal(act: () => unknown): ProtocolErrorCode {
  try {
    act();
  } catch (error) {
    if (error instanceof ProtocolError) return error.code;
    throw error;
  }
  throw new Error('Nothing was refused.');
}

function number(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).toString('hex')}`);
}

function power(base: bigint, exponent: bigint, modulus: bigint): bigint {
  let result = 1n;
  for (let square = base % modulus, rest = exponent; rest > 0n; rest >>= 1n, square = (square * square) % modulus) {
    if (rest & 1n) result = (result * square) % modulus;
  }
  return result;
}

/** Miller-Rabin with the given bases: a composite passes one random base with probability at most 1/4. */
function isProbablyPrime(n: bigint, bases: readonly bigint[]): boolean {
  if (n % 2n === 0n) return false;
  let odd = n - 1n;
  let twos = 0;
  for (; odd % 2n === 0n; odd /= 2n) twos++;
  return bases.every((base) => {
    let x = power(base, odd, n);
    if (x === 1n || x === n - 1n) return true;
    for (let i = 1; i < twos; i++) {
      x = (x * x) % n;
      if (x === n - 1n) return true;
    }
    return false;
  });
}

const secrets = fc.uint8Array({ minLength: 32, maxLength: 32 });

describe('the field', () => {
  it('is the smallest prime over 2^256 (Miller-Rabin, 40 random bases: error below 2^-80)', () => {
    const random = seededRandom('miller-rabin');
    const bases = Array.from({ length: 40 }, () => 2n + number(random(31)));
    expect(isProbablyPrime(FIELD_PRIME, bases)).toBe(true);
    for (let n = 2n ** 256n + 1n; n < FIELD_PRIME; n += 2n) expect(isProbablyPrime(n, bases.slice(0, 3))).toBe(false);
  });
});

describe('split and combine', () => {
  it('recover the secret from any threshold of the shares', () => {
    fc.assert(
      fc.property(secrets, fc.integer({ min: 1, max: 12 }), fc.integer(), (secret, count, seed) => {
        const random = seededRandom(seed);
        const threshold = 1 + (random(1)[0] % count);
        const xs = Array.from({ length: count }, (_, i) => 1 + 10 * i + (seed & 7));
        const shares = split(secret, { threshold, xs }, random);
        const order = [...shares].sort(() => (random(1)[0] & 1) - 0.5);
        expect(combine(order, threshold)).toEqual(secret);
      }),
      { numRuns: 50 },
    );
  });

  it('recover the extremes: all zeros, all ones', () => {
    for (const byte of [0, 255]) {
      const secret = new Uint8Array(32).fill(byte);
      expect(combine(split(secret, { threshold: 2, xs: [1, 2, 3] }, seededRandom(0)).slice(1), 2)).toEqual(secret);
    }
  });

  it('give shares that are canonical and of which no two are alike', () => {
    const xs = Array.from({ length: 100 }, (_, i) => i + 1);
    const shares = split(new Uint8Array(32), { threshold: 51, xs }, seededRandom('shares'));
    expect(shares.every(({ bytes }) => isCanonicalShare(bytes))).toBe(true);
    expect(new Set(shares.map(({ bytes }) => bytes.join())).size).toBe(100);
  });

  it('take as canonical exactly what is below the prime', () => {
    const bytes = (n: bigint) => new Uint8Array(Buffer.from(n.toString(16).padStart(66, '0'), 'hex'));
    for (const below of [0n, 2n ** 256n, FIELD_PRIME - 1n]) expect(isCanonicalShare(bytes(below))).toBe(true);
    for (const above of [FIELD_PRIME, FIELD_PRIME + 1n, 2n ** 257n, 2n ** 264n - 1n]) {
      expect(isCanonicalShare(bytes(above))).toBe(false);
    }
    expect(isCanonicalShare(new Uint8Array(32))).toBe(false);
  });

  it('say nothing with one share fewer: for every other secret there is a share that completes them', () => {
    fc.assert(
      fc.property(secrets, secrets, fc.integer(), (secret, other, seed) => {
        const xs = [1, 2, 3, 4];
        const known = split(secret, { threshold: 3, xs }, seededRandom(seed)).slice(0, 2);
        // The line of argument as arithmetic: y_3 such that l_1 y_1 + l_2 y_2 + l_3 y_3 = other.
        const { coefficients } = interpolationAtZero([1, 2, 3]);
        const rest =
          number(other) - coefficients[0] * number(known[0].bytes) - coefficients[1] * number(known[1].bytes);
        const inverse = power(coefficients[2], FIELD_PRIME - 2n, FIELD_PRIME);
        const y = ((((rest % FIELD_PRIME) + FIELD_PRIME) % FIELD_PRIME) * inverse) % FIELD_PRIME;
        const third: Share = { x: 3, bytes: Buffer.from(y.toString(16).padStart(66, '0'), 'hex') };
        expect(combine([...known, third], 3)).toEqual(other);
      }),
      { numRuns: 30 },
    );
  });

  it('distribute a single share alike whatever the secret (chi-square on its low byte, 255 degrees, false alarm 2e-4)', () => {
    for (const byte of [0, 255]) {
      const counts = new Array<number>(256).fill(0);
      const random = seededRandom(`low byte ${byte}`);
      const secret = new Uint8Array(32).fill(byte);
      for (let i = 0; i < 25_600; i++) counts[split(secret, { threshold: 2, xs: [1, 2] }, random)[0].bytes[32]]++;
      const statistic = counts.reduce((sum, count) => sum + (count - 100) ** 2 / 100, 0);
      expect(statistic).toBeGreaterThan(170);
      expect(statistic).toBeLessThan(348);
    }
  });

  it('refuse what is impossible', () => {
    const random = seededRandom('refuse');
    const secret = random(32);
    const bad = (threshold: number, xs: number[], of = secret) => refusal(() => split(of, { threshold, xs }, random));
    expect(bad(0, [1, 2])).toBe('sharing/invalid');
    expect(bad(3, [1, 2])).toBe('sharing/invalid');
    expect(bad(1.5, [1, 2])).toBe('sharing/invalid');
    expect(bad(1, [0, 1])).toBe('sharing/invalid');
    expect(bad(1, [1, 1])).toBe('sharing/invalid');
    expect(bad(1, [65_536])).toBe('sharing/invalid');
    expect(bad(1, [1], new Uint8Array(31))).toBe('sharing/invalid');

    const [a, b] = split(secret, { threshold: 2, xs: [1, 2] }, random);
    expect(refusal(() => combine([a], 2))).toBe('secagg/too-few-shares');
    expect(refusal(() => combine([a, a], 2))).toBe('sharing/invalid');
    expect(refusal(() => combine([a, { x: 2, bytes: b.bytes.slice(1) }], 2))).toBe('sharing/invalid');
    expect(refusal(() => combine([a, { x: 2, bytes: new Uint8Array(33).fill(255) }], 2))).toBe('sharing/invalid');
    expect(refusal(() => combineWith(interpolationAtZero([1, 2]), [a.bytes]))).toBe('sharing/invalid');
  });

  it('refuse shares that combine to no secret', () => {
    const tooLarge = FIELD_PRIME - 1n;
    const share = { x: 1, bytes: Buffer.from(tooLarge.toString(16).padStart(66, '0'), 'hex') };
    expect(refusal(() => combine([share], 1))).toBe('secagg/wrong-share');
  });
});

describe('interpolation', () => {
  it('reproduces the vector of google-parfait/federated-compute (shamir_secret_sharing_test.cc)', () => {
    // vectors/dp_oracles.json row 176: p = 2^31 + 11, two sub-secrets of 31 bits, big-endian, x = index + 1.
    const prime = 2147483659n;
    const shares = [
      [112, 207, 118, 46, 110, 212, 170, 28],
      [48, 160, 197, 172, 38, 235, 145, 204],
      [63, 115, 238, 144, 40, 68, 183, 71],
      [29, 72, 240, 207, 114, 224, 26, 141],
      [74, 31, 204, 116, 6, 189, 187, 136],
    ];
    for (const chosen of [
      [0, 1, 2],
      [1, 3, 4],
      [0, 2, 4],
    ]) {
      const points = interpolationAtZero(
        chosen.map((i) => i + 1),
        prime,
      );
      const part = (from: number) =>
        interpolate(
          points,
          chosen.map((i) => number(Uint8Array.from(shares[i].slice(from, from + 4)))),
          prime,
        );
      expect((part(0) << 31n) + part(4)).toBe(33n);
    }
  });
});
