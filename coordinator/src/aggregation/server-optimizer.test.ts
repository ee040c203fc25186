import type { ServerOptimizerTerms } from '@fedlora/protocol';
import { describe, expect, it } from 'vitest';
import { applyOptimizer, learningRateAt, type Moments } from './server-optimizer.js';

const adam: ServerOptimizerTerms = {
  kind: 'adam',
  learningRate: 0.02,
  finalLearningRateFraction: 0.1,
  beta1: 0.9,
  beta2: 0.95,
};
const F32 = 1e-6; // relative: moments and values are kept in f32

/** The formula of spikes/demo-base/dp_simulation.py for one coordinate, in plain numbers. */
function recordedSteps(gradients: readonly number[], learningRate: number, noiseStddev: number): number[] {
  const nv = noiseStddev ** 2;
  let [value, mom, sec] = [0.3, 0, 0];
  return gradients.map((u, i) => {
    const t = i + 1;
    mom = 0.9 * mom + 0.1 * u;
    sec = 0.95 * sec + 0.05 * u * u;
    const vh = Math.max(sec / (1 - 0.95 ** t) - nv, Math.max(nv, 1e-12));
    value += (-learningRate * (mom / (1 - 0.9 ** t))) / Math.sqrt(vh);
    return value;
  });
}

function steps(
  server: ServerOptimizerTerms,
  gradients: readonly number[],
  learningRate: number,
  noiseStddev: number,
): number[] {
  let values: Float32Array = Float32Array.of(0.3);
  let moments: Moments | undefined;
  return gradients.map((gradient) => {
    const stepped = applyOptimizer(server, values, Float64Array.of(gradient), moments, { learningRate, noiseStddev });
    ({ values, moments } = stepped);
    return values[0];
  });
}

describe('applyOptimizer', () => {
  it.each([0, 0.004, 0.02])('takes the recorded Adam steps with noise of standard deviation %d', (noiseStddev) => {
    const gradients = [0.01, -0.02, 0.015, 0.03, -0.001, 0.02, 0.018];
    const got = steps(adam, gradients, 0.02, noiseStddev);
    recordedSteps(gradients, 0.02, noiseStddev).forEach((value, i) => expect(got[i]).toBeCloseTo(value, 5));
  });

  it('moves no coordinate faster than its mean over the noise, however small the second moment', () => {
    // A second moment of less than the noise's variance must not make the step large: the floor holds.
    const noiseStddev = 0.1;
    const [value] = steps(adam, [0.01], 0.02, noiseStddev);
    expect(0.3 - value).toBeCloseTo((0.02 * 0.01) / noiseStddev, 6);
  });

  it('leaves a coordinate that never had a gradient where it is', () => {
    expect(steps(adam, [0, 0, 0], 0.02, 0)).toEqual([Math.fround(0.3), Math.fround(0.3), Math.fround(0.3)]);
  });

  it('is plain averaging as sgd without momentum at learning rate 1', () => {
    const sgd: ServerOptimizerTerms = { ...adam, kind: 'sgd', learningRate: 1, beta1: 0 };
    const [first, second] = steps(sgd, [-0.25, 0.5], 1, 0);
    expect(first).toBeCloseTo(0.55, 6);
    expect(second).toBeCloseTo(0.05, 6);
  });

  it('carries sgd momentum from step to step', () => {
    const sgd: ServerOptimizerTerms = { ...adam, kind: 'sgd', beta1: 0.5 };
    const [first, second] = steps(sgd, [0.1, 0.1], 1, 0);
    expect(0.3 - first).toBeCloseTo(0.1, 6);
    expect(first - second).toBeCloseTo(0.15, 6);
  });

  it('does not change what it was given', () => {
    const values = Float32Array.of(1, 2);
    const moments: Moments = { step: 3, first: Float32Array.of(0.1, 0.2), second: Float32Array.of(0.3, 0.4) };
    const { moments: after } = applyOptimizer(adam, values, Float64Array.of(0.5, 0.5), moments, {
      learningRate: 1,
      noiseStddev: 0,
    });
    expect([...values]).toEqual([1, 2]);
    expect(moments.first[0]).toBeCloseTo(0.1, 6);
    expect(after.step).toBe(4);
    expect(Math.abs(after.first[0] - (0.9 * Math.fround(0.1) + 0.05))).toBeLessThan(F32);
  });
});

describe('learningRateAt', () => {
  it('falls linearly from the learning rate to its final fraction in the last planned round', () => {
    expect(learningRateAt(adam, 0, 101)).toBe(0.02);
    expect(learningRateAt(adam, 50, 101)).toBeCloseTo(0.02 * 0.55, 12);
    expect(learningRateAt(adam, 100, 101)).toBeCloseTo(0.002, 12);
    expect(learningRateAt(adam, 0, 1)).toBe(0.02);
  });
});
