import { describe, expect, it } from 'vitest';
import { dropoutOf, keepMask } from './dropout.js';

const rowsFrom = (first: number, count: number) => ({
  examples: new Int32Array(count).fill(3),
  positions: Int32Array.from({ length: count }, (_, i) => first + i),
});
const share = (mask: Uint8Array): number => mask.reduce((sum, value) => sum + value, 0) / mask.length;
const alike = (a: Uint8Array, b: Uint8Array): number =>
  a.reduce((sum, value, i) => sum + Number(value === b[i]), 0) / a.length;

describe('keepMask', () => {
  const dropout = { probability: 0.3, seed: 5 };
  const mask = keepMask(dropout, 2, rowsFrom(0, 500), 200);
  // 100 000 independent values of probability 0.7: a standard deviation is 0.0014; five of them.
  const CHANCE = 0.007;

  it('keeps a share of 1 - p', () => {
    expect(Math.abs(share(mask) - 0.7)).toBeLessThan(CHANCE);
    const seldom = keepMask({ probability: 0.01, seed: 5 }, 2, rowsFrom(0, 500), 200);
    expect(Math.abs(share(seldom) - 0.99)).toBeLessThan(0.002);
  });

  it('keeps that share of every row and every feature', () => {
    for (let row = 0; row < 500; row++)
      expect(Math.abs(share(mask.subarray(row * 200, (row + 1) * 200)) - 0.7)).toBeLessThan(0.17); // 5 deviations
    for (let feature = 0; feature < 200; feature++)
      expect(Math.abs(share(mask.filter((_, i) => i % 200 === feature)) - 0.7)).toBeLessThan(0.11);
  });

  it.each([
    ['seed', keepMask({ probability: 0.3, seed: 6 }, 2, rowsFrom(0, 500), 200)],
    ['layer', keepMask(dropout, 3, rowsFrom(0, 500), 200)],
    ['position', keepMask(dropout, 2, rowsFrom(1, 500), 200)],
    ['example', keepMask(dropout, 2, { ...rowsFrom(0, 500), examples: new Int32Array(500).fill(4) }, 200)],
  ])('drops others, by chance alone, for another %s', (_, other) => {
    expect(Math.abs(alike(mask, other) - (0.7 ** 2 + 0.3 ** 2))).toBeLessThan(CHANCE);
  });

  it('drops the same of a row, whichever other rows are asked for', () => {
    expect(keepMask(dropout, 2, rowsFrom(40, 3), 200)).toEqual(mask.subarray(40 * 200, 43 * 200));
  });
});

describe('dropoutOf', () => {
  it('is none without lora_dropout, and needs a seed with it', () => {
    expect(dropoutOf(undefined, 7)).toBeUndefined();
    expect(dropoutOf(0, 7)).toBeUndefined();
    expect(dropoutOf(0.1, 7)).toEqual({ probability: 0.1, seed: 7 });
    expect(() => dropoutOf(0.1, undefined)).toThrow('dropoutSeed');
  });
});
