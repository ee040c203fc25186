import { describe, expect, it } from 'vitest';
import { aManifest } from '../../../test/support/a-manifest.js';
import { examplesPerCall, needsIndependentExamples } from './learn.js';

describe('examplesPerCall', () => {
  it.each([
    [1, 64],
    [762, 64],
    [763, 8],
    [936, 8],
    [1820, 4],
    [4096, 2],
    [4097, 1],
    [1 << 24, 1],
  ])('for %i records is %i', (records, count) => {
    expect(examplesPerCall(records)).toBe(count);
  });

  it('keeps the roundings of the worst sums within 2^-11 of the bound', () => {
    for (const records of [1, 9, 100, 762, 763, 936, 1500, 1820, 3000, 5000]) {
      const perCall = examplesPerCall(records);
      // Vectors of norm 1, all alike: partial sums of up to 8 rounded to f32, groups added in f64, each call's result rounded.
      let roundings = 0;
      for (let left = records; left > 0; left -= perCall) {
        const call = Math.min(perCall, left);
        for (let inCall = call; inCall > 0; inCall -= 8) {
          for (let sum = 2; sum <= Math.min(8, inCall); sum++) roundings += sum;
        }
        if (call > 8) roundings += call;
      }
      expect(2 * roundings * 2 ** -24).toBeLessThanOrEqual(2 ** -11);
    }
  });
});

describe('needsIndependentExamples', () => {
  const training = { kind: 'record-step', samplingRate: 0.1, expectedRecords: 100, maximumRecords: 256 } as const;
  const privacy = { ...aManifest().privacy, unit: 'record' } as const;
  it.each([
    ['few records', { privacy, training }, false],
    ['many records', { privacy, training: { ...training, maximumRecords: 257 } }, true],
    [
      'no privacy',
      { privacy: { ...privacy, unit: 'none' as const }, training: { ...training, maximumRecords: 257 } },
      false,
    ],
  ])('%s', (_, terms, needed) => {
    expect(needsIndependentExamples(terms)).toBe(needed);
  });
});
