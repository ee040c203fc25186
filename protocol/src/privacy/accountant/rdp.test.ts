import { describe, expect, it } from 'vitest';
import { noiseMultiplierFor, stepsWithinBudget } from './calibrate.js';
import { composeRdp, deltaFor, epsilonFor, gaussianRdp, rdpToEpsilon, subsampledGaussianRdp } from './rdp.js';
import { gaussianDelta, subsampledGaussianDelta } from './single-step.js';
import { erfc, normalBetween } from './special.js';
import { composeZcdp, gaussianZcdp, zcdpToEpsilon } from './zcdp.js';

describe('subsampledGaussianRdp', () => {
  it('is alpha / (2 z^2) at full participation', () => {
    expect(subsampledGaussianRdp(1, 2.5, 7)).toBe(7 / 12.5);
    expect(gaussianRdp(2.5, 7)).toBe(7 / 12.5);
  });
  it('is 0 when nobody takes part or the noise is infinite', () => {
    expect(subsampledGaussianRdp(0, 1, 2)).toBe(0);
    expect(subsampledGaussianRdp(0.1, Infinity, 2)).toBe(0);
  });
  it('is infinite without noise', () => expect(subsampledGaussianRdp(0.1, 0, 2)).toBe(Infinity));
  it('has a closed form at order 2: log(1 + q^2 (exp(1/z^2) - 1))', () => {
    for (const [q, z] of [
      [1e-6, 3],
      [0.01, 1],
      [0.3, 0.7],
    ]) {
      const exact = Math.log1p(q * q * Math.expm1(1 / (z * z)));
      expect(Math.abs(subsampledGaussianRdp(q, z, 2) / exact - 1)).toBeLessThan(1e-12);
    }
  });
  it('at fractional orders joins the whole orders smoothly', () => {
    // Orders 1e-9 away from a whole one differ by less than a relative 1e-8: sum and integral agree.
    for (const [q, z] of [
      [1e-4, 5],
      [0.01, 1],
      [0.5, 0.6],
      [0.9, 30],
    ]) {
      for (const order of [2, 3, 11, 64]) {
        const ratio = subsampledGaussianRdp(q, z, order + 1e-9) / subsampledGaussianRdp(q, z, order);
        expect(Math.abs(ratio - 1)).toBeLessThan(1e-7);
      }
    }
  });
  it('does not decrease with the order', () => {
    for (const z of [0.02, 0.5, 4]) {
      let before = 0;
      for (const order of [1.1, 1.5, 2, 2.5, 3, 10.7, 11, 200]) {
        const rdp = subsampledGaussianRdp(0.02, z, order);
        expect(rdp).toBeGreaterThanOrEqual(before * (1 - 1e-12));
        before = rdp;
      }
    }
  });
  it.each([1, 0.5, NaN, Infinity])('refuses the order %d', (order) =>
    expect(() => subsampledGaussianRdp(0.1, 1, order)).toThrow('order'),
  );
});

describe('epsilonFor', () => {
  const step = { noiseMultiplier: 1.1, samplingRate: 0.02, steps: 300 };
  it('is 0 for nothing', () => {
    expect(epsilonFor([], 1e-5).epsilon).toBe(0);
    expect(epsilonFor([{ ...step, steps: 0 }], 1e-5).epsilon).toBe(0);
    expect(epsilonFor([{ ...step, samplingRate: 0 }], 1e-5).epsilon).toBe(0);
    expect(epsilonFor([{ ...step, steps: 0, noiseMultiplier: 0 }], 1e-5).epsilon).toBe(0);
  });
  it('is infinite without noise, and at delta 0', () => {
    expect(epsilonFor([{ ...step, noiseMultiplier: 0 }], 1e-5).epsilon).toBe(Infinity);
    expect(epsilonFor([step], 0).epsilon).toBe(Infinity);
  });
  it('depends on the total of equal steps, not on how they are listed', () => {
    const split = [
      { ...step, steps: 100 },
      { ...step, steps: 200 },
    ];
    expect(epsilonFor(split, 1e-5).epsilon).toBeCloseTo(epsilonFor([step], 1e-5).epsilon, 12);
  });
  it('is never below the exact epsilon of one step', () => {
    for (const q of [0.001, 0.1, 0.7, 1]) {
      for (const z of [0.3, 1, 4]) {
        const { epsilon } = epsilonFor([{ noiseMultiplier: z, samplingRate: q, steps: 1 }], 1e-6);
        expect(subsampledGaussianDelta(q, z, epsilon)).toBeLessThanOrEqual(1e-6);
      }
    }
  });
  it('is undone by deltaFor', () => {
    const { epsilon } = epsilonFor([step], 1e-5);
    const { delta } = deltaFor([step], epsilon);
    expect(delta).toBeGreaterThanOrEqual(1e-5);
    expect(delta).toBeLessThan(1e-5 * (1 + 1e-6));
  });
  it.each([-1e-9, 1, NaN])('refuses delta %d', (delta) => expect(() => epsilonFor([step], delta)).toThrow('delta'));
  it.each([{ noiseMultiplier: -1 }, { samplingRate: 1.1 }, { samplingRate: NaN }, { steps: 1.5 }, { steps: -1 }])(
    'refuses %o',
    (wrong) => expect(() => epsilonFor([{ ...step, ...wrong }], 1e-5)).toThrow(Object.keys(wrong)[0]),
  );
});

describe('composeRdp', () => {
  it('adds up what each event costs', () => {
    const [a, b] = [
      { noiseMultiplier: 2, samplingRate: 1, steps: 3 },
      { noiseMultiplier: 1, samplingRate: 0.1, steps: 5 },
    ];
    const { rdp } = composeRdp([a, b], [4]);
    expect(rdp[0]).toBeCloseTo(3 * 0.5 + 5 * subsampledGaussianRdp(0.1, 1, 4), 14);
  });
  it('converts at the best of its orders', () => {
    expect(rdpToEpsilon({ orders: [2, 8], rdp: [0.1, 12] }, 1e-5).order).toBe(2);
    expect(rdpToEpsilon({ orders: [2, 8], rdp: [0.1, 0.4] }, 1e-5).order).toBe(8);
  });
});

describe('zCDP', () => {
  it('is 1 / (2 z^2) a step', () => {
    expect(gaussianZcdp(4)).toBe(1 / 32);
    expect(composeZcdp([{ noiseMultiplier: 4, samplingRate: 1, steps: 3 }])).toBe(3 / 32);
  });
  it('agrees with RDP at full participation, and is a little tighter for its real orders', () => {
    const events = [{ noiseMultiplier: 9, samplingRate: 1, steps: 77 }];
    const byRdp = epsilonFor(events, 1e-6).epsilon;
    const byZcdp = zcdpToEpsilon(composeZcdp(events), 1e-6);
    expect(byZcdp).toBeLessThanOrEqual(byRdp);
    expect(byZcdp).toBeGreaterThan(byRdp * 0.999);
  });
  it('is above the exact Gaussian curve for every size of rho', () => {
    for (const z of [0.05, 0.7, 6, 300, 1e5]) {
      expect(gaussianDelta(z, zcdpToEpsilon(gaussianZcdp(z), 1e-7))).toBeLessThanOrEqual(1e-7);
    }
  });
  it('is 0 for nothing and infinite without noise or delta', () => {
    expect(zcdpToEpsilon(0, 1e-5)).toBe(0);
    expect(zcdpToEpsilon(Infinity, 1e-5)).toBe(Infinity);
    expect(zcdpToEpsilon(1, 0)).toBe(Infinity);
  });
  it('refuses subsampled steps', () => {
    expect(() => composeZcdp([{ noiseMultiplier: 1, samplingRate: 0.5, steps: 1 }])).toThrow('full participation');
  });
});

describe('noiseMultiplierFor', () => {
  const target = { epsilon: 3, delta: 1e-6, samplingRate: 0.02, steps: 500 };
  it('keeps the promise, with little to spare', () => {
    const noiseMultiplier = noiseMultiplierFor(target);
    const at = (z: number) => epsilonFor([{ noiseMultiplier: z, samplingRate: 0.02, steps: 500 }], 1e-6).epsilon;
    expect(at(noiseMultiplier)).toBeLessThanOrEqual(3);
    expect(at(noiseMultiplier * (1 - 2e-6))).toBeGreaterThan(3);
  });
  it('finds noise below and above 1', () => {
    expect(noiseMultiplierFor({ ...target, epsilon: 200 })).toBeLessThan(0.6);
    expect(noiseMultiplierFor({ ...target, samplingRate: 1, epsilon: 0.5 }, 1e-3)).toBeGreaterThan(100);
  });
  it('stops at the least noise it searches for', () => {
    expect(noiseMultiplierFor({ ...target, epsilon: 1e9 })).toBe(2 ** -7);
  });
  it('is 0 when nothing is asked of the data', () => expect(noiseMultiplierFor({ ...target, steps: 0 })).toBe(0));
  it('is privacy/not-reachable at delta 0', () =>
    expect(() => noiseMultiplierFor({ ...target, delta: 0 })).toThrow('search range'));
  it('refuses an epsilon of 0', () => expect(() => noiseMultiplierFor({ ...target, epsilon: 0 })).toThrow('epsilon'));
});

describe('stepsWithinBudget', () => {
  const budget = { epsilon: 2, delta: 1e-6, spent: [], noiseMultiplier: 1.2, samplingRate: 0.01 };
  const cost = (steps: number, spent = 0) =>
    epsilonFor([{ noiseMultiplier: 1.2, samplingRate: 0.01, steps: steps + spent }], 1e-6).epsilon;
  it('is the last number of steps that fits', () => {
    const steps = stepsWithinBudget(budget);
    expect(cost(steps)).toBeLessThanOrEqual(2);
    expect(cost(steps + 1)).toBeGreaterThan(2);
  });
  it('takes off what was spent', () => {
    const spent = [{ noiseMultiplier: 1.2, samplingRate: 0.01, steps: 300 }];
    expect(stepsWithinBudget({ ...budget, spent })).toBe(stepsWithinBudget(budget) - 300);
  });
  it('is 0 over the budget and without noise, and endless for steps that cost nothing', () => {
    expect(stepsWithinBudget({ ...budget, epsilon: 0 })).toBe(0);
    expect(stepsWithinBudget({ ...budget, noiseMultiplier: 0 })).toBe(0);
    expect(stepsWithinBudget({ ...budget, samplingRate: 0 })).toBe(Infinity);
  });
});

describe('special functions', () => {
  // mpmath 1.3, 25 digits.
  it.each([
    [0.1, 0.8875370839817152],
    [0.5, 0.4795001221869535],
    [1, 0.15729920705028513],
    [1.9999, 0.004679802092970608],
    [2, 0.004677734981047266],
    [3.5, 7.430983723414128e-7],
    [10, 2.088487583762545e-45],
    [25, 8.300172571196523e-274],
  ])('erfc(%d) is %d', (x, expected) => {
    expect(Math.abs(erfc(x) / expected - 1)).toBeLessThan(1e-13);
    expect(erfc(-x)).toBe(2 - erfc(x));
  });
  it('narrow and wide intervals of the normal distribution agree', () => {
    for (const from of [-9, -0.3, 0, 2, 8]) {
      let sum = 0;
      for (let i = 0; i < 8; i++) sum += normalBetween(from + i / 8, from + (i + 1) / 8);
      expect(Math.abs(sum / normalBetween(from, from + 1) - 1)).toBeLessThan(1e-12);
    }
  });
});
