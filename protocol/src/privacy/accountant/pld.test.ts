import { describe, expect, it } from 'vitest';
import { noiseMultiplierFor } from './calibrate.js';
import { fourierPlan, transformInto } from './fft.js';
import { composePld, deltaForPld, epsilonForPld } from './pld.js';
import { epsilonFor } from './rdp.js';
import { gaussianDelta, subsampledGaussianDelta } from './single-step.js';

describe('the PLD accountant', () => {
  it.each([
    { steps: 1, z: 1 },
    { steps: 10, z: 3 },
    { steps: 1000, z: 30 },
    { steps: 20_000, z: 400 },
  ])('is at or just above the closed form for $steps Gaussian steps of z = $z', ({ steps, z }) => {
    // k Gaussian steps are one of z / sqrt(k).
    const loss = composePld([{ noiseMultiplier: z, samplingRate: 1, steps }]);
    for (const epsilon of [0, 0.5, 2, 4]) {
      const exact = gaussianDelta(z / Math.sqrt(steps), epsilon);
      expect(loss.deltaFor(epsilon)).toBeGreaterThanOrEqual(exact);
      expect(loss.deltaFor(epsilon)).toBeLessThan(exact * 1.001 + 1e-10);
    }
    const epsilon = loss.epsilonFor(1e-6);
    expect(gaussianDelta(z / Math.sqrt(steps), epsilon)).toBeLessThanOrEqual(1e-6);
    expect(gaussianDelta(z / Math.sqrt(steps), epsilon - 1e-3)).toBeGreaterThan(1e-6);
  });

  it('is at or just above the closed form of one subsampled step', () => {
    for (const q of [0.001, 0.3, 0.999]) {
      for (const z of [0.5, 3]) {
        const loss = composePld([{ noiseMultiplier: z, samplingRate: q, steps: 1 }], 1e-3);
        for (const epsilon of [0, 0.01, 1]) {
          const exact = subsampledGaussianDelta(q, z, epsilon);
          expect(loss.deltaFor(epsilon)).toBeGreaterThanOrEqual(exact * (1 - 1e-12));
          expect(loss.deltaFor(epsilon)).toBeLessThan(exact * 1.001 + 1e-6);
        }
      }
    }
  });

  it('composes steps of different kinds as RDP does, and closer', () => {
    const events = [
      { noiseMultiplier: 1.1, samplingRate: 0.02, steps: 300 },
      { noiseMultiplier: 4, samplingRate: 1, steps: 3 },
    ];
    const epsilon = epsilonForPld(events, 1e-5);
    expect(epsilon).toBeLessThan(epsilonFor(events, 1e-5).epsilon);
    expect(epsilon).toBeGreaterThan(epsilonForPld([events[0]], 1e-5));
    expect(epsilon).toBeGreaterThan(epsilonForPld([events[1]], 1e-5));
  });

  it('composes Gaussian steps of different noise to the closed form: 1 / z^2 adds up', () => {
    const events = [
      { noiseMultiplier: 2, samplingRate: 1, steps: 2 },
      { noiseMultiplier: 5, samplingRate: 1, steps: 7 },
      { noiseMultiplier: 30, samplingRate: 1, steps: 40 },
    ];
    const z = 1 / Math.sqrt(events.reduce((sum, { noiseMultiplier, steps }) => sum + steps / noiseMultiplier ** 2, 0));
    for (const delta of [1e-3, 1e-6, 1e-9]) {
      const epsilon = epsilonForPld(events, delta);
      expect(gaussianDelta(z, epsilon)).toBeLessThanOrEqual(delta);
      expect(gaussianDelta(z, epsilon - 1e-3)).toBeGreaterThan(delta);
      expect(epsilonFor(events, delta).epsilon).toBeGreaterThan(epsilon);
      expect(epsilonFor(events, delta).epsilon).toBeCloseTo(
        epsilonFor([{ noiseMultiplier: z, samplingRate: 1, steps: 1 }], delta).epsilon,
        9,
      );
    }
  });

  it('gives the same for equal steps however they are listed', () => {
    const step = { noiseMultiplier: 1.1, samplingRate: 0.02, steps: 100 };
    expect(epsilonForPld([step, { ...step, steps: 200 }], 1e-5)).toBeCloseTo(
      epsilonForPld([{ ...step, steps: 300 }], 1e-5),
      6,
    );
  });

  it('does not get smaller on a coarser grid', () => {
    const events = [{ noiseMultiplier: 0.9, samplingRate: 0.05, steps: 50 }];
    const fine = composePld(events, 1e-4).epsilonFor(1e-5);
    const coarse = composePld(events, 1e-2).epsilonFor(1e-5);
    expect(coarse).toBeGreaterThan(fine);
    expect(coarse).toBeLessThan(fine * 1.05);
  });

  it('answers for very little noise, on a coarser grid of its own choice', () => {
    const epsilon = epsilonForPld([{ noiseMultiplier: 0.02, samplingRate: 1, steps: 2 }], 1e-5);
    expect(gaussianDelta(0.02 / Math.SQRT2, epsilon)).toBeLessThanOrEqual(1e-5);
    expect(epsilon).toBeLessThan(3000);
  });

  it('calibrates noise', () => {
    const target = { epsilon: 2, delta: 1e-5, samplingRate: 0.01, steps: 100 };
    const noiseMultiplier = noiseMultiplierFor(target, 1e-2, epsilonForPld);
    expect(epsilonForPld([{ ...target, noiseMultiplier }], 1e-5)).toBeLessThanOrEqual(2);
    expect(noiseMultiplier).toBeLessThan(noiseMultiplierFor(target));
  });

  it('is right for a delta near 1', () => {
    const epsilon = epsilonForPld([{ noiseMultiplier: 0.1, samplingRate: 1, steps: 1 }], 0.999);
    expect(gaussianDelta(0.1, epsilon)).toBeLessThanOrEqual(0.999);
    expect(gaussianDelta(0.1, epsilon * 0.99)).toBeGreaterThan(0.999);
  });

  it('is 0 for nothing, infinite without noise and at delta 0', () => {
    expect(epsilonForPld([], 1e-5)).toBe(0);
    expect(deltaForPld([{ noiseMultiplier: 1, samplingRate: 0, steps: 5 }], 0)).toBe(0);
    expect(epsilonForPld([{ noiseMultiplier: 0, samplingRate: 0.5, steps: 1 }], 1e-5)).toBe(Infinity);
    expect(deltaForPld([{ noiseMultiplier: 0, samplingRate: 0.5, steps: 1 }], 1)).toBe(1);
    expect(epsilonForPld([{ noiseMultiplier: 1, samplingRate: 0.5, steps: 1 }], 0)).toBe(Infinity);
  });

  it('refuses a negative epsilon, a delta of 1 and a grid of 0', () => {
    expect(() => deltaForPld([{ noiseMultiplier: 1, samplingRate: 1, steps: 1 }], -1)).toThrow('epsilon');
    expect(() => epsilonForPld([{ noiseMultiplier: 1, samplingRate: 1, steps: 1 }], 1)).toThrow('delta');
    expect(() => composePld([], 0)).toThrow('finestSpacing');
  });
});

describe('the Fourier transform', () => {
  it('equals the definition', () => {
    const n = 16;
    const re = Float64Array.from({ length: n }, (_, i) => Math.sin(i * i));
    const im = Float64Array.from({ length: n }, (_, i) => Math.cos(3 * i));
    const [fastRe, fastIm] = [re.slice(), im.slice()];
    transformInto(fourierPlan(n), fastRe, fastIm);
    for (let k = 0; k < n; k++) {
      let [a, b] = [0, 0];
      for (let j = 0; j < n; j++) {
        const angle = (-2 * Math.PI * j * k) / n;
        a += re[j] * Math.cos(angle) - im[j] * Math.sin(angle);
        b += re[j] * Math.sin(angle) + im[j] * Math.cos(angle);
      }
      expect(Math.abs(fastRe[k] - a) + Math.abs(fastIm[k] - b)).toBeLessThan(1e-13);
    }
  });
  it('is undone by itself with the parts exchanged', () => {
    const plan = fourierPlan(1024);
    const values = Float64Array.from({ length: 1024 }, (_, i) => (i * 37) % 101);
    const [re, im] = [values.slice(), new Float64Array(1024)];
    transformInto(plan, re, im);
    transformInto(plan, im, re);
    for (let i = 0; i < 1024; i++) expect(Math.abs(re[i] / 1024 - values[i])).toBeLessThan(1e-11);
  });
});
