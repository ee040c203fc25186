import { describe, expect, it } from 'vitest';
import { AdamW, learningRateAt, limitNorm, Sgd } from './optimizer.js';

describe('AdamW', () => {
  it('moves by the learning rate at first, whatever the size of the gradient', () => {
    const parameters = Float32Array.of(1, 1);
    new AdamW(2).step(parameters, Float32Array.of(1e-3, -50), 0.1);
    expect(parameters[0]).toBeCloseTo(0.9, 4);
    expect(parameters[1]).toBeCloseTo(1.1, 4);
  });

  it('decays weights apart from the gradient', () => {
    const parameters = Float32Array.of(2);
    new AdamW(1, { weightDecay: 0.5 }).step(parameters, Float32Array.of(0), 0.1);
    expect(parameters[0]).toBeCloseTo(1.9, 6);
  });
});

describe('Sgd', () => {
  it('gathers speed', () => {
    const parameters = Float32Array.of(0);
    const optimizer = new Sgd(1, { momentum: 0.5 });
    optimizer.step(parameters, Float32Array.of(1), 0.1);
    optimizer.step(parameters, Float32Array.of(1), 0.1);
    expect(parameters[0]).toBeCloseTo(-0.1 - 0.15, 6);
  });
});

describe('learningRateAt', () => {
  const options = { peak: 2, warmupSteps: 4, steps: 12 };
  it.each([
    [0, 'linear', 0],
    [3, 'linear', 1.5],
    [4, 'linear', 2],
    [8, 'linear', 1],
    [12, 'linear', 0],
    [8, 'cosine', 1],
    [6, 'cosine', 1 + Math.SQRT1_2],
    [11, 'constant', 2],
  ] as const)('step %i, %s: %d', (step, schedule, rate) => {
    expect(learningRateAt(step, schedule, options)).toBeCloseTo(rate, 12);
  });

  it('without warm-up starts at its peak', () => {
    expect(learningRateAt(0, 'linear', { peak: 3, warmupSteps: 0, steps: 5 })).toBe(3);
  });
});

describe('limitNorm', () => {
  it('shortens what is too long, leaves the rest, and says how long it was', () => {
    const gradient = Float32Array.of(3, 4);
    expect(limitNorm(gradient, 10)).toBe(5);
    expect([...gradient]).toEqual([3, 4]);
    expect(limitNorm(gradient, 1)).toBe(5);
    expect(gradient[0]).toBeCloseTo(0.6, 6);
  });
});
