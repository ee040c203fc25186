import { describe, expect, it } from 'vitest';
import { seededRandom } from '../node/random.js';
import type { ClippedUpdate, NoisySum, ReleasedUpdate } from '../update/stages.js';
import {
  checkNoWrap,
  dequantize,
  largestStepsPerUnit,
  quantize,
  quantizeReleased,
  sensitivityInSteps,
  type ScaleTerms,
} from './quantize.js';

const clipped = (values: number[], l2Sensitivity: number, contributors = 1) =>
  ({ values: Float64Array.from(values), l2Sensitivity, contributors }) as ClippedUpdate;
const code = (act: () => unknown) => {
  try {
    act();
  } catch (error) {
    return (error as { code: string }).code;
  }
  return 'nothing thrown';
};

describe('quantizeReleased', () => {
  const released = (...values: number[]) => ({ values: Float64Array.from(values), l2Norm: 1 }) as ReleasedUpdate;

  it('rounds as any update is rounded', () => {
    const values = [0.3, -0.7, 2.5 / 1024, 3.5 / 1024];
    expect([...quantizeReleased(released(...values), 1024).levels]).toEqual([307, -717, 2, 4]);
    expect(quantizeReleased(released(...values), 1024).levels).toEqual(quantize(clipped(values, 1), 1024).levels);
  });
  it('refuses what does not fit the ring, is no number, or has no exact scale', () => {
    expect(code(() => quantizeReleased(released(2 ** 21), 1024))).toBe('update/over-bound');
    expect(code(() => quantizeReleased(released(NaN), 1024))).toBe('update/not-finite');
    expect(code(() => quantizeReleased(released(0), 1000))).toBe('privacy/invalid-parameter');
  });
});

describe('quantize', () => {
  it('rounds to the nearest step, ties to even', () => {
    const { levels } = quantize(clipped([0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 1.4999999, 0.3], 10), 1);
    expect([...levels]).toEqual([0, 2, 2, 0, -2, -2, 1, 0]);
  });
  it('multiplies by the scale first', () => {
    expect([...quantize(clipped([0.3, -0.7], 1), 1024).levels]).toEqual([307, -717]);
  });
  it('states a sensitivity of s C + sqrt(d)', () => {
    expect(quantize(clipped([1, 1, 1, 1, 0, 0, 0, 0, 0], 2), 8).l2SensitivityInSteps).toBe(8 * 2 + 3);
  });
  it('gives neighbouring sums that differ by no more than the sensitivity, for 300 random pairs', () => {
    const random = seededRandom('neighbours');
    const d = 40;
    for (let trial = 0; trial < 300; trial++) {
      const words = new Uint32Array(random(4 * 2 * d).slice().buffer);
      const values = [...words].map((word) => word / 2 ** 31 - 1);
      const [sum, change] = [values.slice(0, d), values.slice(d)];
      const length = Math.hypot(...change);
      const unit = change.map((value) => value / length / 4); // norm 1/4
      const before = quantize(clipped(sum, 0.25, 100), 4);
      const after = quantize(
        clipped(
          sum.map((value, i) => value + unit[i]),
          0.2500001,
          100,
        ),
        4,
      );
      const moved = Math.hypot(...before.levels.map((level, i) => level - after.levels[i]));
      expect(moved).toBeLessThanOrEqual(before.l2SensitivityInSteps);
    }
  });
  it('refuses levels of 2^31 and takes those just under', () => {
    expect(code(() => quantize(clipped([2 ** 31], 2 ** 40), 1))).toBe('update/over-bound');
    expect(code(() => quantize(clipped([-(2 ** 31)], 2 ** 40), 1))).toBe('update/over-bound');
    expect(code(() => quantize(clipped([2 ** 31 - 0.5], 2 ** 40), 1))).toBe('update/over-bound');
    expect([...quantize(clipped([2 ** 31 - 1, 1 - 2 ** 31], 2 ** 40), 1).levels]).toEqual([2147483647, -2147483647]);
  });
  it('refuses a vector whose exact integer norm is over its bound', () => {
    expect(code(() => quantize(clipped([3, 4], 2), 16))).toBe('update/over-bound');
    expect(code(() => quantize(clipped([30000, 40000], 49999), 1))).toBe('update/over-bound');
    expect(quantize(clipped([30000, 40000], 50000), 1).levels[0]).toBe(30000);
  });
  it('lets a sum of n units be n times as long', () => {
    expect(quantize(clipped([3, 4], 2, 3), 16).levels[1]).toBe(64);
    expect(code(() => quantize(clipped([3, 4], 2, 2), 16))).toBe('update/over-bound');
  });
  it('refuses NaN', () => expect(code(() => quantize(clipped([NaN], 1), 1))).toBe('update/not-finite'));
  it('takes an empty vector', () => expect(quantize(clipped([], 1), 1).levels).toHaveLength(0));
  it.each([0, 3, -2, NaN, Infinity, 1000])('refuses the scale %d', (scale) =>
    expect(code(() => quantize(clipped([0], 1), scale))).toBe('privacy/invalid-parameter'),
  );
});

describe('sensitivityInSteps', () => {
  it('is s C + sqrt(d), at values where s, C and d differ', () => {
    expect(sensitivityInSteps(0.75, 256, 1_000_000)).toBe(0.75 * 256 + 1000);
  });
});

describe('dequantize', () => {
  it('divides by the scale and by the public count', () => {
    const sum = { levels: Int32Array.of(307, -2048, 0) } as NoisySum;
    expect([...dequantize(sum, 1024, 5)]).toEqual([307 / 1024 / 5, -0.4, 0]);
  });
  it('takes nothing of the JavaScript heap for its values, of which a coordinator has tens of millions', () => {
    const sum = { levels: new Int32Array(4_000_000).fill(3) } as NoisySum;
    const before = process.memoryUsage().heapUsed;
    dequantize(sum, 1024);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(sum.levels.length);
  });
  it('undoes quantize to half a step', () => {
    const { levels } = quantize(clipped([0.123, -0.456], 1), 4096);
    const back = dequantize({ levels } as unknown as NoisySum, 4096);
    expect(Math.abs(back[0] - 0.123)).toBeLessThanOrEqual(0.5 / 4096);
    expect(Math.abs(back[1] + 0.456)).toBeLessThanOrEqual(0.5 / 4096);
  });
  it.each([0, -1, NaN, Infinity])('refuses the divisor %d', (divisor) =>
    expect(code(() => dequantize({ levels: Int32Array.of(1) } as NoisySum, 1, divisor))).toBe(
      'privacy/invalid-parameter',
    ),
  );
});

const terms: ScaleTerms = {
  maximumUnits: 640,
  l2SensitivityPerUnit: 0.7,
  noiseMultiplier: 1.1,
  length: 1 << 20,
  participants: 10,
  minimumContributors: 8,
  assumedColluders: 2,
};

/** The formula of DESIGN §4, written out once more. */
function largestSum(s: number): number {
  const sigma = 1.1 * (s * 0.7 + 1024);
  const total = Math.sqrt((10 * (sigma * sigma)) / (8 - 2));
  return 640 * (s * 0.7 + 1) + 8 * total;
}

describe('largestStepsPerUnit', () => {
  it('is the largest power of two that keeps the sum within the ring', () => {
    const scale = largestStepsPerUnit(terms);
    expect(largestSum(scale)).toBeLessThanOrEqual(2 ** 31);
    expect(largestSum(2 * scale)).toBeGreaterThan(2 ** 31);
    expect(scale).toBe(2 ** 22);
  });
  it('gives a scale that checkNoWrap accepts, and twice of which it refuses', () => {
    const scale = largestStepsPerUnit(terms);
    const check = (stepsPerUnit: number) =>
      checkNoWrap({
        maximumUnits: 640,
        l2SensitivityPerUnit: 0.7,
        stepsPerUnit,
        totalStddevInSteps: 1.1 * sensitivityInSteps(0.7, stepsPerUnit, 1 << 20) * Math.sqrt(10 / 6),
      });
    expect(() => check(scale)).not.toThrow();
    expect(code(() => check(2 * scale))).toBe('manifest/invalid');
  });
  it('is manifest/invalid when no scale fits', () => {
    expect(code(() => largestStepsPerUnit({ ...terms, maximumUnits: 2 ** 32 }))).toBe('manifest/invalid');
    expect(code(() => largestStepsPerUnit({ ...terms, assumedColluders: 8 }))).toBe('manifest/invalid');
  });
});

describe('checkNoWrap', () => {
  const fits = { maximumUnits: 2 ** 10, l2SensitivityPerUnit: 1, stepsPerUnit: 2 ** 20, totalStddevInSteps: 2 ** 20 };
  it('accepts terms that fit', () => expect(() => checkNoWrap(fits)).not.toThrow());
  it('counts the noise', () =>
    expect(code(() => checkNoWrap({ ...fits, totalStddevInSteps: 2 ** 27.9 }))).toBe('manifest/invalid'));
  it('counts the units', () =>
    expect(code(() => checkNoWrap({ ...fits, maximumUnits: 2 ** 11 }))).toBe('manifest/invalid'));
  it('counts one step of rounding per unit', () => {
    const tight = { maximumUnits: 2 ** 10, l2SensitivityPerUnit: 1, stepsPerUnit: 2 ** 21, totalStddevInSteps: 0 };
    expect(code(() => checkNoWrap(tight))).toBe('manifest/invalid');
  });
  it('refuses a scale that is no power of two', () =>
    expect(code(() => checkNoWrap({ ...fits, stepsPerUnit: 1000 }))).toBe('manifest/invalid'));
  it('refuses NaN', () =>
    expect(code(() => checkNoWrap({ ...fits, l2SensitivityPerUnit: NaN }))).toBe('manifest/invalid'));
});
