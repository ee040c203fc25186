import { describe, expect, it } from 'vitest';
import type { RawUpdate } from '../update/stages.js';
import { ARITHMETIC_SLACK, clippedRecordSum, clipToL2Norm } from './clip.js';
import { seededRandom } from '../node/random.js';

const raw = (...values: number[]) => ({ values: Float64Array.from(values) }) as RawUpdate;
const code = (act: () => unknown) => {
  try {
    act();
  } catch (error) {
    return (error as { code: string }).code;
  }
  return 'nothing thrown';
};

/** Whether the exact squared norm is at most bound^2, in rationals: f64 values are whole multiples of 2^-1074. */
function exactlyWithin(values: Float64Array, bound: number): boolean {
  const whole = (value: number): bigint => {
    let [mantissa, exponent] = [Math.abs(value), 1074];
    while (!Number.isInteger(mantissa)) {
      mantissa *= 2;
      exponent--;
    }
    return BigInt(mantissa) << BigInt(exponent);
  };
  return values.reduce((sum, value) => sum + whole(value) ** 2n, 0n) <= whole(bound) ** 2n;
}

describe('clipToL2Norm', () => {
  it('leaves an update under the bound unchanged, in a copy', () => {
    const update = raw(3, -4);
    const clipped = clipToL2Norm(update, 5.5);
    expect([...clipped.values]).toEqual([3, -4]);
    expect(clipped.values).not.toBe(update.values);
    expect(clipped.l2Sensitivity).toBe(5.5);
    expect(clipped.contributors).toBe(1);
  });

  it('scales a longer update to the bound and keeps its direction', () => {
    const { values } = clipToL2Norm(raw(30, -40), 2.5);
    expect(values[0]).toBeCloseTo(1.5, 12);
    expect(values[1]).toBeCloseTo(-2, 12);
    expect(exactlyWithin(values, 2.5)).toBe(true);
  });

  it('never exceeds the bound in exact arithmetic, for 300 random updates and bounds', () => {
    const random = seededRandom('clip');
    for (let trial = 0; trial < 300; trial++) {
      const words = new Uint32Array(random(4 * 50).slice().buffer);
      const values = Float64Array.from(words.subarray(1), (word) => word / 2 ** 31 - 1);
      const bound = (words[0] + 1) / 2 ** 31;
      expect(exactlyWithin(clipToL2Norm({ values } as RawUpdate, bound).values, bound)).toBe(true);
    }
  });

  it('takes f32 values as they are', () => {
    const values = Float32Array.from([0.1, 0.2]);
    expect([...clipToL2Norm({ values } as RawUpdate, 1).values]).toEqual([...values]);
  });

  it('loses nothing of the norm of many values: many equal ones are clipped to the bound, not under it', () => {
    const values = new Float64Array(62_500).fill(0.1);
    const clipped = clipToL2Norm({ values } as RawUpdate, 1).values;
    expect(Math.abs(clipped[0] - 0.004)).toBeLessThan(1e-16);
    expect(exactlyWithin(clipped, 1)).toBe(true);
  });

  describe('edge cases', () => {
    it('an all-zero update passes unchanged', () => expect([...clipToL2Norm(raw(0, 0), 1).values]).toEqual([0, 0]));
    it('an empty update passes unchanged', () => expect(clipToL2Norm(raw(), 1).values).toHaveLength(0));
    it('NaN is update/not-finite', () => expect(code(() => clipToL2Norm(raw(1, NaN), 1))).toBe('update/not-finite'));
    it('infinity is update/not-finite', () =>
      expect(code(() => clipToL2Norm(raw(-Infinity), 1))).toBe('update/not-finite'));
    it('the bound 0 gives zeros', () => expect([...clipToL2Norm(raw(1, 2), 0).values].map(Math.abs)).toEqual([0, 0]));
    it('a norm over the range of f64 is clipped like any other', () => {
      const { values } = clipToL2Norm(raw(1.5e308, 1.5e308), 1);
      expect(values[0]).toBeCloseTo(Math.SQRT1_2, 12);
      expect(exactlyWithin(values, 1)).toBe(true);
    });
    it('a subnormal update is unchanged', () => expect(clipToL2Norm(raw(5e-324), 1).values[0]).toBe(5e-324));
    it('a norm equal to the bound is scaled by no more than 2^-47', () => {
      const { values } = clipToL2Norm(raw(3, 4), 5);
      expect(values[0]).toBeLessThanOrEqual(3);
      expect(values[0]).toBeGreaterThan(3 * (1 - 2 ** -47));
    });
    it.each([-1, NaN, Infinity, 2 ** -501])('the bound %d is privacy/invalid-parameter', (bound) =>
      expect(code(() => clipToL2Norm(raw(1), bound))).toBe('privacy/invalid-parameter'),
    );
  });
});

describe('clippedRecordSum', () => {
  it('carries the bound with the slack for f32 arithmetic as sensitivity of one record, whatever their number', () => {
    const sum = clippedRecordSum(Float32Array.from([3, 4]), 8, 0.75);
    expect(sum.l2Sensitivity).toBe(0.75 * (1 + 2 ** -9));
    expect(sum.contributors).toBe(8);
    expect([...sum.values]).toEqual([3, 4]);
  });
  it('accepts a sum within the slack of its bound', () => {
    expect(clippedRecordSum(Float64Array.of(3 * (1 + ARITHMETIC_SLACK * 0.99)), 3, 1).values[0]).toBeGreaterThan(3);
  });
  it('refuses a sum that its parts cannot reach', () => {
    expect(code(() => clippedRecordSum(Float64Array.of(3 * (1 + ARITHMETIC_SLACK * 1.01)), 3, 1))).toBe(
      'update/over-bound',
    );
  });
  it('does not name the number of contributors in the refusal', () => {
    expect(() => clippedRecordSum(Float64Array.of(1000), 37, 1)).toThrowError(/^(?!.*37)/);
  });
  it('of nobody accepts zeros only', () => {
    expect(clippedRecordSum(new Float32Array(3), 0, 1).contributors).toBe(0);
    expect(code(() => clippedRecordSum(Float32Array.of(1e-30), 0, 1))).toBe('update/over-bound');
  });
  it('refuses NaN', () => expect(code(() => clippedRecordSum(Float32Array.of(NaN), 1, 1))).toBe('update/not-finite'));
  it('refuses infinity', () =>
    expect(code(() => clippedRecordSum(Float32Array.of(Infinity), 1, 1))).toBe('update/not-finite'));
  it.each([-1, 1.5, NaN])('refuses %d contributors', (count) =>
    expect(code(() => clippedRecordSum(new Float32Array(1), count, 1))).toBe('privacy/invalid-parameter'),
  );
});
