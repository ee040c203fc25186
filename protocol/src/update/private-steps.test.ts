import { describe, expect, it } from 'vitest';
import { aLocalManifest } from '../../../test/support/a-manifest.js';
import { quantize, quantizeReleased } from '../encoding/quantize.js';
import { measuredUnit, privateStepsTerms, readRoundMetrics, unitBound } from '../manifest/manifest.js';
import { clippedRecordSum } from '../privacy/clip.js';
import { withMetrics } from './metrics.js';
import { PrivateSteps } from './private-steps.js';
import type { PrivateStep } from './stages.js';

const terms = { stepsPerUnit: 2 ** 10, expectedRecords: 8, updateBound: 3, metricScale: 1 / 4 };

/** Levels as they come from noise, which is not the matter here. */
const aStep = (...values: number[]): PrivateStep =>
  // Safe: a test's.
  ({ levels: Int32Array.from(values, (value) => value * terms.stepsPerUnit) }) as PrivateStep;

const descend = (parameters: Float32Array, gradient: Float64Array): void =>
  gradient.forEach((value, i) => (parameters[i] -= 0.5 * value));

describe('PrivateSteps', () => {
  it('descends along each sum over the expected count, whatever count there was, and adds the metrics up', () => {
    const steps = new PrivateSteps(Float32Array.of(1, -1), 2, terms);
    steps.take(aStep(8, 16, 0.5, 3), descend);
    expect([...steps.parameters()]).toEqual([0.5, -2]);
    steps.take(aStep(-4, 0, 0.25, 1), descend);
    expect([...steps.parameters()]).toEqual([0.75, -2]);
    const { values, l2Norm } = steps.release();
    expect([...values]).toEqual([-0.25, -1, 0.75 / 4, 4 / 4]);
    expect(l2Norm).toBe(Math.SQRT2 * 3);
  });

  it('releases nothing longer than its bound; of numbers that are scaled down the ratios stay', () => {
    const steps = new PrivateSteps(new Float32Array(2), 2, terms);
    steps.take(aStep(-480, 640, 30, 40), descend);
    const { values } = steps.release();
    expect(Math.hypot(values[0], values[1])).toBeCloseTo(3, 12);
    expect(values[1] / values[0]).toBeCloseTo(-4 / 3, 12);
    expect(Math.hypot(values[2], values[3])).toBeCloseTo(3, 12);
    expect(values[3] / values[2]).toBeCloseTo(4 / 3, 12);
  });

  it('releases no difference where steps ran out of f32, but its numbers', () => {
    const steps = new PrivateSteps(Float32Array.of(1, 2), 1, terms);
    steps.take(aStep(8, 8, 2), (parameters) => (parameters[0] = Infinity));
    expect([...steps.release().values]).toEqual([0, 0, 0.5]);
  });

  it('keeps a start and parameters of its own, and forgets them when told to', () => {
    const start = Float32Array.of(1, 2);
    const steps = new PrivateSteps(start, 0, terms);
    start.fill(9);
    steps.parameters().fill(9);
    expect([...steps.parameters()]).toEqual([1, 2]);
    steps.wipe();
    expect([...steps.parameters()]).toEqual([0, 0]);
  });

  it('refuses a step of another length', () => {
    const steps = new PrivateSteps(new Float32Array(2), 2, terms);
    expect(() => steps.take(aStep(1, 2, 3), descend)).toThrowError(
      expect.objectContaining({ code: 'update/wrong-length' }),
    );
  });
});

describe('readRoundMetrics', () => {
  it('reads from the sum of released updates what the records of all steps and organisations told', () => {
    const metrics = {
      weight: 0.1,
      lossBound: 8,
      clipping: { quantile: 0.5, learningRate: 1 },
      evaluation: { fraction: 0.25 },
    };
    const manifest = aLocalManifest({ steps: 2, expectedRecords: 4, maximumRecords: 8 }, { metrics });
    const training = privateStepsTerms(manifest, manifest.training as never);
    const sum = new Float64Array(3 + 6);
    for (const losses of [
      [1, 3],
      [2, 8],
    ]) {
      const steps = new PrivateSteps(new Float32Array(3), 6, training);
      for (let step = 0; step < 2; step += 1) {
        const heldOut = [{ loss: 4 + step, exact: step }];
        const values = withMetrics(
          new Float64Array(3),
          { losses, norms: [0.5, 2], heldOut },
          metrics,
          measuredUnit(manifest),
        );
        const { levels } = quantize(clippedRecordSum(values, 3, unitBound(manifest)), training.stepsPerUnit);
        steps.take({ levels } as unknown as PrivateStep, () => undefined);
      }
      const { levels } = quantizeReleased(steps.release(), manifest.encoding.stepsPerUnit);
      levels.forEach((level, i) => (sum[i] += level / manifest.encoding.stepsPerUnit));
    }
    const read = readRoundMetrics(manifest, sum, 2);
    // Rounding at 2^16 steps of numbers that were scaled by 4 / 16.
    expect(read.meanLoss).toBeCloseTo((1 + 3 + 2 + 8) / 4, 2);
    expect(read.count).toBeCloseTo(8, 2);
    // 3 trained records are expected in each of 2 steps of 2 organisations: 4 within the bound and 4 beyond are one half.
    expect(read.fractionWithin).toBeCloseTo(0.5, 2);
    expect(read.heldOut?.meanLoss).toBeCloseTo(4.5, 2);
    expect(read.heldOut?.accuracy).toBeCloseTo(0.5, 2);
    expect(read.heldOut?.count).toBeCloseTo(4, 2);
  });
});
