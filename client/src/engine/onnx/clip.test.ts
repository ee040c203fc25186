import { describe, expect, it } from 'vitest';
import { roundedDownBound } from './clip.js';

/** The largest relative error of one rounding to f32; an ULP is at most two of them. */
const ROUNDING = 2 ** -24;
const ULP = 2 * ROUNDING;

describe('roundedDownBound', () => {
  it.each([1, 0.37, 12.73])('keeps %d where the device is as imprecise as WGSL allows', (l2Bound) => {
    const [longestRow, rowCount] = [4, 3];
    const norm = 2.6 * l2Bound;
    // Squares and sums that all err downwards, then sqrt(x) as 1 / inverseSqrt(x).
    const squares = norm ** 2 * (1 - (longestRow + rowCount) * ROUNDING);
    const root = (Math.sqrt(squares) / (1 + 2 * ULP)) * (1 - 2.5 * ULP);
    const bound = Math.fround(roundedDownBound(l2Bound, longestRow, rowCount));
    const factor = (bound / (root * (1 - ROUNDING))) * (1 + 2.5 * ULP);
    expect(norm * factor * (1 + ROUNDING)).toBeLessThanOrEqual(l2Bound);
    // And what it keeps in reserve is small.
    expect(bound).toBeGreaterThan(l2Bound * (1 - 30 * ROUNDING));
  });

  it('is never below 0', () => {
    expect(roundedDownBound(1, 2 ** 25, 0)).toBe(0);
    expect(roundedDownBound(0, 1, 1)).toBe(0);
  });
});
