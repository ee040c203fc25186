import { describe, expect, it } from 'vitest';
import { seededRandom } from '../node/random.js';
import type { QuantizedUpdate } from '../update/stages.js';
import { normalBetween } from './accountant/special.js';
import { canonneDiscreteGaussian } from './canonne.js';
import { discreteGaussianLaw, discreteGaussianVariance } from './discrete-gaussian-law.js';
import { exactRational } from './exact.js';
import {
  addDiscreteGaussian,
  addWholeNoise,
  discreteGaussianSampler,
  distributedGaussianTau,
  noiseShareStddev,
  type SamplerInternals,
  withoutNoise,
} from './noise.js';

/**
 * A right sampler fails each statistical test below about once in two million seeds (4.9 standard deviations, one-sided for
 * chi-squared); the seeds are fixed, so a test that passes once passes always.
 */
const STANDARD_DEVIATIONS = 4.9;

/** The value that chi-squared passes with that probability (Wilson and Hilferty 1931). */
function chiSquaredLimit(freedom: number): number {
  const spread = 2 / (9 * freedom);
  return freedom * (1 - spread + STANDARD_DEVIATIONS * Math.sqrt(spread)) ** 3;
}

/** Chi-squared of counts against probabilities; neighbours are joined until 10 are expected. */
function chiSquared(
  seen: ArrayLike<number>,
  probability: ArrayLike<number>,
  count: number,
): { chi: number; limit: number } {
  let [chi, bins, observed, expected, total] = [0, 0, 0, 0, 0];
  for (let i = 0; i < seen.length; i++) total += probability[i];
  let left = total;
  for (let i = 0; i < seen.length; i++) {
    observed += seen[i];
    expected += count * probability[i];
    left -= probability[i];
    if (expected >= 10 && (count * left >= 10 || i === seen.length - 1)) {
      chi += (observed - expected) ** 2 / expected;
      bins++;
      observed = 0;
      expected = 0;
    }
  }
  if (expected > 0) chi += (observed - expected) ** 2 / Math.max(expected, 10);
  return { chi, limit: chiSquaredLimit(bins) };
}

/** Chi-squared of samples against the tabulated law, value by value. */
function againstLaw(sigma: number, samples: ArrayLike<number>): { chi: number; limit: number } {
  const { bound, probability } = discreteGaussianLaw(sigma);
  const seen = new Float64Array(probability.length);
  for (let i = 0; i < samples.length; i++) seen[samples[i] + bound]++;
  return chiSquared(seen, probability, samples.length);
}

/** For large sigma: against the normal distribution in 200 bins of whole numbers, both tails in the outer ones. */
function againstNormal(sigma: number, samples: Int32Array): { chi: number; limit: number } {
  const bins = 200;
  const width = Math.round((10 * sigma) / bins);
  const start = -(bins / 2) * width;
  const seen = new Float64Array(bins);
  for (const x of samples) seen[Math.max(0, Math.min(bins - 1, Math.floor((x - start) / width)))]++;
  const probability = Array.from({ length: bins }, (_, i) => {
    const from = i === 0 ? -Infinity : (start + i * width - 0.5) / sigma;
    const to = i === bins - 1 ? Infinity : (start + (i + 1) * width - 0.5) / sigma;
    return normalBetween(from, to);
  });
  return chiSquared(seen, probability, samples.length);
}

function draw(sigma: number, count: number, seed: string, internals?: SamplerInternals): Int32Array {
  const target = new Int32Array(count);
  discreteGaussianSampler(sigma, internals).addTo(target, seededRandom(seed));
  return target;
}

describe('discreteGaussianSampler', () => {
  it.each([0.0625, 0.5, 1, 3.3, 64, 129.7, 1000])('follows the law, value by value, at sigma %d', (sigma) => {
    const { chi, limit } = againstLaw(sigma, draw(sigma, 1_000_000, `law ${sigma}`));
    expect(chi).toBeLessThan(limit);
  });

  it.each([5e4, 123_456_789.5, 2 ** 27])('follows the law in bins at sigma %d', (sigma) => {
    const { chi, limit } = againstNormal(sigma, draw(sigma, 1_000_000, `bins ${sigma}`));
    expect(chi).toBeLessThan(limit);
  });

  it.each([0.5, 3.3, 300.25, 1e6])('has the variance sigma^2, not sigma and not sigma^4, at sigma %d', (sigma) => {
    const samples = draw(sigma, 1_000_000, `spread ${sigma}`);
    let sum = 0;
    let squares = 0;
    for (const x of samples) {
      sum += x / sigma;
      squares += (x / sigma) ** 2;
    }
    const variance = sigma > 1e4 ? 1 : discreteGaussianVariance(sigma) / sigma ** 2;
    // The mean of 10^6 squares of a near-Gaussian has the standard deviation sqrt(2) 10^-3 variance; kurtosis at 0.5 is higher.
    expect(Math.abs(squares / 1e6 - variance)).toBeLessThan(STANDARD_DEVIATIONS * Math.sqrt(sigma < 1 ? 4 : 2) * 1e-3);
    expect(Math.abs(sum / 1e6)).toBeLessThan(STANDARD_DEVIATIONS * 1e-3);
  });

  it('has independent neighbours', () => {
    const samples = draw(40, 1_000_000, 'neighbours');
    let product = 0;
    for (let i = 1; i < samples.length; i++) product += (samples[i] / 40) * (samples[i - 1] / 40);
    expect(Math.abs(product / 1e3)).toBeLessThan(STANDARD_DEVIATIONS);
  });

  describe('for every first word that there is', () => {
    const [sigma, length] = [40, 8];
    const blocks = Math.ceil((9.5 * sigma) / length);
    const bell = (j: number) => Math.exp(-((j * length) ** 2) / (2 * sigma ** 2));

    /** How often each x comes out when the first word takes every value of 12 bits and a sign, at a place with the least U. */
    function countAll(place: number): Map<number, number> {
      const sampler = discreteGaussianSampler(sigma, { blocksPerSigma: 4, pickBits: 6 }); // 64 slots: 6 bits more
      const seen = new Map<number, number>();
      for (let head = 0; head < 2 ** 13; head++) {
        const word = (head % 2 ** 12) | (head < 2 ** 12 ? 0 : 2 ** 31);
        const target = new Int32Array(1);
        let asked = 0;
        const random = (n: number): Uint8Array => {
          // The rare paths ask: it is the tail's first step, and U goes on with zeros.
          if (n < 12) return new Uint8Array(n).fill(n === 1 ? 1 : 0);
          if (asked++ > 0) throw new RangeError('rejected');
          return new Uint8Array(Uint32Array.from({ length: n >> 2 }, (_, i) => [word, place, 0][i % 3]).buffer);
        };
        try {
          sampler.addTo(target, random);
          seen.set(target[0], (seen.get(target[0]) ?? 0) + 1);
        } catch (error) {
          if (!(error instanceof RangeError)) throw error;
        }
      }
      return seen;
    }

    it('gives each block exactly the draws of its weight, the bell above it, on either side', () => {
      const seen = countAll(3);
      const hat = seen.get(3) as number;
      expect(hat).toBeGreaterThan(500);
      for (let j = 0; j < blocks; j++) {
        expect(seen.get(j * length + 3)).toBe(Math.ceil(hat * bell(j)));
        expect(seen.get(-j * length - 3)).toBe(Math.ceil(hat * bell(j)));
      }
    });

    it('counts 0 once', () => {
      const seen = countAll(0);
      expect(seen.get(0)).toBe(countAll(3).get(3));
      expect(seen.get(length)).toBe(seen.get(-length));
    });
  });

  describe('with the rare paths made common', () => {
    // One known bit of U: a third of the draws is undecided in floats. Tail from sigma / 2 on: over half of the values.
    it.each([
      { name: 'undecided comparisons', internals: { acceptBits: 1, pickBits: 1 } },
      { name: 'the tail', internals: { tailStartInSigmas: 0.5 } },
      {
        name: 'both, with coarse blocks',
        internals: { acceptBits: 2, pickBits: 2, tailStartInSigmas: 1, blocksPerSigma: 1 },
      },
    ])('follows the law through $name', ({ internals }) => {
      for (const sigma of [0.7, 2.5, 21.5]) {
        const rare = { tail: 0, undecided: 0 };
        const count = 20_000;
        const samples = draw(sigma, count, `rare ${sigma}`, { ...internals, onRarePath: (path) => rare[path]++ });
        const { chi, limit } = againstLaw(sigma, samples);
        expect(chi).toBeLessThan(limit);
        expect(rare.tail + rare.undecided).toBeGreaterThan(count / 20);
      }
    });

    it('follows the law through both at a large sigma', () => {
      const sigma = 2 ** 26 + 0.125;
      const rare = { tail: 0, undecided: 0 };
      const internals = {
        acceptBits: 3,
        pickBits: 3,
        tailStartInSigmas: 1,
        onRarePath: (path: 'tail' | 'undecided') => rare[path]++,
      };
      const { chi, limit } = againstNormal(sigma, draw(sigma, 20_000, 'rare and large', internals));
      expect(chi).toBeLessThan(limit);
      expect(Math.min(rare.tail, rare.undecided)).toBeGreaterThan(500);
    });

    it('agrees with the loop of Canonne, Kamath and Steinke at an odd sigma', () => {
      const sigma = 1.37;
      const { numerator, denominator } = exactRational(sigma);
      const random = seededRandom('loop');
      const count = 10_000;
      const histogram = (samples: ArrayLike<number>) => {
        const seen = new Float64Array(11);
        for (let i = 0; i < samples.length; i++) seen[Math.max(-5, Math.min(5, samples[i])) + 5]++;
        return seen;
      };
      const loop = histogram(
        Array.from({ length: count }, () =>
          Number(canonneDiscreteGaussian(numerator ** 2n, denominator ** 2n, random)),
        ),
      );
      const fast = histogram(draw(sigma, count, 'fast', { acceptBits: 1, pickBits: 2, tailStartInSigmas: 1 }));
      let chi = 0;
      for (let i = 0; i < 11; i++) if (loop[i] + fast[i] > 0) chi += (loop[i] - fast[i]) ** 2 / (loop[i] + fast[i]);
      expect(chi).toBeLessThan(chiSquaredLimit(10));
    });
  });

  it('takes no rare path more often than 2^-20 as it is used', () => {
    let rare = 0;
    draw(1000, 1_000_000, 'usual', { onRarePath: () => rare++ });
    expect(rare).toBeLessThanOrEqual(6); // expected: under 10^6 2^-30; 6 or more would be one in 10^20
  });

  it('reduces values beyond i32 mod 2^32 at the largest sigma', () => {
    const sigma = 2 ** 30;
    const samples = draw(sigma, 200_000, 'wrapped');
    const seen = new Float64Array(64);
    for (const x of samples) seen[(x >>> 26) ^ 32]++; // 64 bins of 2^26 from -2^31
    const probability = Array.from({ length: 64 }, (_, i) => {
      let p = 0;
      for (let turn = -4; turn <= 4; turn++) {
        const from = (i - 32) * 2 ** 26 + turn * 2 ** 32 - 0.5;
        p += normalBetween(from / sigma, (from + 2 ** 26) / sigma);
      }
      return p;
    });
    const { chi, limit } = chiSquared(seen, probability, samples.length);
    expect(chi).toBeLessThan(limit);
  });

  it('takes random bytes that are not aligned, and gives the same samples', () => {
    const source = seededRandom('aligned');
    const unaligned = (n: number) => {
      const bytes = new Uint8Array(n + 3).subarray(3);
      bytes.set(source(n));
      return bytes;
    };
    const target = new Int32Array(1000);
    discreteGaussianSampler(50).addTo(target, unaligned);
    expect([...target]).toEqual([...draw(50, 1000, 'aligned')]);
  });

  it('zeroes the randomness it used', () => {
    const given: Uint8Array[] = [];
    const source = seededRandom('zeroed');
    discreteGaussianSampler(50).addTo(new Int32Array(5000), (n) => {
      const bytes = source(n);
      given.push(bytes);
      return bytes;
    });
    expect(given.filter((bytes) => bytes.length >= 16).every((bytes) => bytes.every((byte) => byte === 0))).toBe(true);
  });

  it('fills an empty target with nothing', () => expect(draw(5, 0, 'empty')).toHaveLength(0));

  it.each([0, -1, NaN, Infinity, 2 ** -5, 2 ** 30 + 1])('refuses a standard deviation of %d', (sigma) =>
    expect(() => discreteGaussianSampler(sigma)).toThrow(`standard deviation of ${sigma}`),
  );
});

describe('addDiscreteGaussian', () => {
  const quantized = (levels: Int32Array) => ({ levels, l2SensitivityInSteps: 1 }) as QuantizedUpdate;

  it('adds to each level a sample of its own', () => {
    const levels = Int32Array.from({ length: 1000 }, (_, i) => 1_000_000 * (i % 7));
    const noised = addDiscreteGaussian(quantized(levels), 20, seededRandom('add')).levels;
    expect([...noised].map((level, i) => level - levels[i])).toEqual([...draw(20, 1000, 'add')]);
    expect(levels[1]).toBe(1_000_000); // the input is left alone
  });
  it('gives the sum over m - c shares the variance (z D2)^2', () => {
    const share = noiseShareStddev({
      noiseMultiplier: 1.3,
      l2SensitivityInSteps: 70,
      minimumContributors: 7,
      assumedColluders: 2,
    });
    const count = 200_000;
    const sum = new Float64Array(count);
    for (let i = 0; i < 5; i++) {
      const { levels } = addDiscreteGaussian(quantized(new Int32Array(count)), share, seededRandom(`share ${i}`));
      levels.forEach((level, k) => (sum[k] += level));
    }
    const variance = sum.reduce((total, x) => total + x * x, 0) / count;
    expect(Math.abs(variance / (1.3 * 70) ** 2 - 1)).toBeLessThan(STANDARD_DEVIATIONS * Math.sqrt(2 / count));
  });
  it('refuses to add no noise', () => {
    expect(() => addDiscreteGaussian(quantized(new Int32Array(1)), 0, seededRandom(0))).toThrow(
      'standard deviation of 0',
    );
  });
});

describe('addWholeNoise', () => {
  const quantized = (levels: Int32Array, l2SensitivityInSteps: number) =>
    // Safe: a test's.
    ({ levels, l2SensitivityInSteps }) as QuantizedUpdate;

  it('adds the law of z times the sensitivity that the sum carries, in full', () => {
    const count = 40_000;
    const sum = quantized(new Int32Array(count).fill(7), 12.5);
    const { levels } = addWholeNoise(sum, 0.8, discreteGaussianSampler(10), seededRandom('whole'));
    const { chi, limit } = againstLaw(
      10,
      levels.map((level) => level - 7),
    );
    expect(chi).toBeLessThan(limit);
    expect(sum.levels.every((level) => level === 7)).toBe(true);
  });

  it.each([
    ['a sampler that is narrower by the last bit', 0.8, 10 * (1 - 2 ** -53)],
    ['a share of the noise, as three organisations would add', 0.8, 10 / Math.sqrt(2)],
    ['no noise', 0, 10],
    ['a multiplier that is no number', NaN, 10],
  ])('refuses %s', (_name, noiseMultiplier, stddev) => {
    const sum = quantized(new Int32Array(4), 12.5);
    expect(() => addWholeNoise(sum, noiseMultiplier, discreteGaussianSampler(stddev), seededRandom('x'))).toThrowError(
      expect.objectContaining({ code: 'privacy/invalid-parameter' }),
    );
  });
});

describe('withoutNoise', () => {
  it('passes the levels on in a copy', () => {
    const levels = Int32Array.of(1, -2);
    const noised = withoutNoise({ levels, l2SensitivityInSteps: 1 } as QuantizedUpdate);
    expect([...noised.levels]).toEqual([1, -2]);
    expect(noised.levels).not.toBe(levels);
  });
});

describe('noiseShareStddev', () => {
  const terms = { noiseMultiplier: 1.3, l2SensitivityInSteps: 700, minimumContributors: 10, assumedColluders: 1 };
  it('is z D2 / sqrt(m - c)', () => expect(noiseShareStddev(terms)).toBe((1.3 * 700) / 3));
  it('is the whole noise when only one honest share is sure', () => {
    expect(noiseShareStddev({ ...terms, assumedColluders: 9 })).toBe(1.3 * 700);
  });
  it.each([
    { noiseMultiplier: 0 },
    { noiseMultiplier: NaN },
    { l2SensitivityInSteps: 0 },
    { assumedColluders: 10 },
    { assumedColluders: -1 },
    { minimumContributors: 9.5 },
  ])('refuses %o', (wrong) => expect(() => noiseShareStddev({ ...terms, ...wrong })).toThrow('noise share'));
});

describe('distributedGaussianTau', () => {
  it('is nothing for one share, and as good as nothing for wide ones', () => {
    expect(distributedGaussianTau(1, 1)).toBe(0);
    expect(distributedGaussianTau(4, 128)).toBeLessThan(1e-66);
  });
  it('refuses no shares', () => expect(() => distributedGaussianTau(1, 0)).toThrow('at least one share'));
});
