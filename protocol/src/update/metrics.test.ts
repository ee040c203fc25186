import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ProtocolError } from '../errors.js';
import { seededRandom } from '../node/random.js';
import { discreteGaussianSampler } from '../privacy/noise.js';
import { aggregatedLength } from './layout.js';
import {
  boundWithMetrics,
  LARGEST_WEIGHT_IN_BOUNDS,
  metricCount,
  readMetrics,
  suggestedBound,
  withMetrics,
  type MeasuredUnit,
  type MetricTerms,
  type ReleasedNumbers,
} from './metrics.js';

const plain: MetricTerms = { weight: 0.1, lossBound: 8 };
const clipping = { quantile: 0.5, learningRate: 0.2 };
const whole: MetricTerms = { ...plain, clipping, evaluation: { fraction: 0.1 } };
const none = new Float64Array(0);
const record = (l2Bound: number): MeasuredUnit => ({ kind: 'record', l2Bound });
const update = (l2Bound: number): MeasuredUnit => ({ kind: 'update', l2Bound });

function codeOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof ProtocolError) return error.code;
    throw error;
  }
  return 'accepted';
}

const norm = (values: Float64Array): number => Math.hypot(...values);

describe('the metrics of a round', () => {
  it('take two coordinates, one more for the clip and three more for held-out rows', () => {
    expect(metricCount(plain)).toBe(2);
    expect(metricCount({ clipping })).toBe(3);
    expect(metricCount(whole)).toBe(6);
    const modules = [{ name: 'q', inFeatures: 8, outFeatures: 4 }];
    expect(aggregatedLength(modules, 2, 'B', whole)).toBe(2 * 4 + 6);
  });

  it('are read back as they were released, where nothing was clipped', () => {
    const heldOut = [
      { loss: 1, exact: 1 },
      { loss: 3, exact: 0 },
    ];
    const values = withMetrics(
      Float32Array.of(5, 6),
      { losses: [2, 4, 3], norms: [0.5, 2, 0.8], heldOut },
      whole,
      record(1),
    );
    expect([...values.slice(0, 2)]).toEqual([5, 6]);
    const estimate = readMetrics(values, whole, record(1), 3);
    expect(estimate.meanLoss).toBeCloseTo(3, 12);
    expect(estimate.count).toBeCloseTo(3, 12);
    expect(estimate.fractionWithin).toBeCloseTo(2 / 3, 12);
    expect(estimate.heldOut?.meanLoss).toBeCloseTo(2, 12);
    expect(estimate.heldOut?.accuracy).toBeCloseTo(1 / 2, 12);
    expect(estimate.heldOut?.count).toBeCloseTo(2, 12);
  });

  it('without the new terms are the two of before', () => {
    const values = withMetrics(Float64Array.of(1), { losses: [4, 8] }, plain, record(1));
    expect([...values]).toEqual([1, 0.1 * 1.5, 0.2]);
    expect(readMetrics(values, plain, record(1), 2)).toEqual({ meanLoss: expect.closeTo(6, 12) as number, count: 2 });
  });

  it('give one unit no longer a vector than the noise is made for, whatever its numbers are', () => {
    const anyNumber = fc.double({ noNaN: true, noDefaultInfinity: true });
    fc.assert(
      fc.property(anyNumber, fc.double(), fc.double(), anyNumber, (loss, gradientNorm, heldOutLoss, exact) => {
        const bound = boundWithMetrics(update(1), whole) * (1 + 1e-12);
        const ofRecord = boundWithMetrics(record(1), whole) * (1 + 1e-12);
        const values = Float64Array.of(0.6, -0.8);
        const heldOut = [{ loss: heldOutLoss, exact }];
        const asUpdate = { losses: [loss], norms: [gradientNorm], heldOut };
        expect(norm(withMetrics(values, asUpdate, whole, update(1)))).toBeLessThanOrEqual(bound);
        const trained = { losses: [loss], norms: [gradientNorm], heldOut: [] };
        expect(norm(withMetrics(values, trained, whole, record(1)))).toBeLessThanOrEqual(ofRecord);
        const measured = { losses: [], norms: [], heldOut };
        expect(norm(withMetrics(new Float64Array(2), measured, whole, record(1)))).toBeLessThanOrEqual(ofRecord);
      }),
    );
  });

  it('reach the bound, so that the noise is not more than it must be', () => {
    const most = { losses: [9], norms: [2], heldOut: [{ loss: 9, exact: 1 }] };
    expect(norm(withMetrics(Float64Array.of(1), most, whole, update(1)))).toBeCloseTo(
      boundWithMetrics(update(1), whole),
      12,
    );
    expect(boundWithMetrics(update(1), whole)).toBeCloseTo(Math.sqrt(1 + 5.25 * 0.01), 15);
    const trained = { losses: [9], norms: [2], heldOut: [] };
    const ofRecord = boundWithMetrics(record(1), whole);
    expect(ofRecord).toBeCloseTo(Math.sqrt(1 + 2.25 * 0.01), 15);
    expect(norm(withMetrics(Float64Array.of(1), trained, whole, record(1)))).toBeCloseTo(ofRecord, 12);
    expect(boundWithMetrics(record(3), plain)).toBe(Math.sqrt(9 + 2 * 0.01));
    expect(boundWithMetrics(update(3), plain)).toBe(Math.sqrt(9 + 2 * 0.01));
  });

  it('measure held-out records at no cost in noise, as sharply as the missing gradient leaves room for', () => {
    const evaluation = { fraction: 0.1 };
    const terms = { ...plain, evaluation };
    expect(boundWithMetrics(record(1), terms)).toBe(boundWithMetrics(record(1), plain));
    const measured = withMetrics(none, { losses: [], heldOut: [{ loss: 9, exact: 1 }] }, terms, record(1));
    expect(norm(measured)).toBeCloseTo(boundWithMetrics(record(1), terms), 12);
    expect(measured[2]).toBeCloseTo(Math.sqrt(1.02 / 3), 12);
    // Those of an update stand beside a gradient.
    expect(withMetrics(none, { losses: [], heldOut: [{ loss: 9, exact: 1 }] }, terms, update(1))[2]).toBeCloseTo(
      0.1,
      12,
    );
  });

  it.each([
    [0, 1],
    [0.875, 1],
    [0.9375, 0.5],
    [0.96875, 0.25],
    [1, 0],
    [1e9, 0],
    [Infinity, 0],
    [NaN, 0],
  ])('count a norm of %d bounds as within to the part %d', (length, part) => {
    const values = withMetrics(none, { losses: [1], norms: [3 * length] }, { ...plain, clipping }, record(3));
    expect(values[2]).toBeCloseTo(0.1 * (part - 0.5), 12);
  });

  it('attack: a norm at the bound that the records beside it push over moves a number no more than the norm itself', () => {
    const terms = { weight: LARGEST_WEIGHT_IN_BOUNDS * 2, lossBound: 8, clipping };
    const counted = (length: number): number =>
      withMetrics(none, { losses: [1], norms: [length] }, terms, record(2))[2];
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 3, noNaN: true }),
        fc.double({ min: 0, max: 1e-3, noNaN: true }),
        (at, eta) => {
          expect(Math.abs(counted(at + eta) - counted(at))).toBeLessThanOrEqual(eta + 1e-15);
        },
      ),
    );
  });

  it('change by one unit’s bound at most when a record is added', () => {
    const records = [1, 2, 3].map((value) => ({ losses: [value], norms: [value / 2], heldOut: [] }));
    const all = withMetrics(none, { losses: [1, 2, 3], norms: [0.5, 1, 1.5], heldOut: [] }, whole, record(1));
    const without = withMetrics(none, { losses: [1, 2], norms: [0.5, 1], heldOut: [] }, whole, record(1));
    const last = withMetrics(none, records[2], whole, record(1));
    all.forEach((value, i) => expect(value - without[i]).toBeCloseTo(last[i], 12));
  });

  it('never fail on held-out rows: what is not a number is the largest loss and no exact answer', () => {
    const at = (loss: number, exact = 1) =>
      readMetrics(
        withMetrics(none, { losses: [1], norms: [1], heldOut: [{ loss, exact }] }, whole, record(1)),
        whole,
        record(1),
        1,
      ).heldOut;
    for (const loss of [NaN, Infinity, -Infinity])
      expect(at(loss)).toEqual({ meanLoss: 8, accuracy: 0, count: expect.closeTo(1, 9) as number });
    expect(at(1, NaN)?.accuracy).toBe(0);
    expect(at(1, 7)?.accuracy).toBe(1);
  });

  it('count a gradient whose norm is not a number as outside the bound', () => {
    const values = withMetrics(none, { losses: [1, 1], norms: [NaN, Infinity], heldOut: [] }, whole, record(1));
    expect(readMetrics(values, whole, record(1), 2).fractionWithin).toBe(0);
  });

  it.each<[string, ReleasedNumbers, MetricTerms, string]>([
    ['a training loss that is no number', { losses: [NaN] }, plain, 'update/not-finite'],
    ['norms that nobody asked for', { losses: [1], norms: [1] }, plain, 'update/wrong-length'],
    ['held-out rows that nobody asked for', { losses: [1], heldOut: [] }, plain, 'update/wrong-length'],
    ['no norms', { losses: [1], heldOut: [] }, whole, 'update/wrong-length'],
    ['a norm too few', { losses: [1, 2], norms: [1], heldOut: [] }, whole, 'update/wrong-length'],
  ])('are refused with %s', (_, numbers, terms, code) => {
    expect(codeOf(() => withMetrics(none, numbers, terms, record(1)))).toBe(code);
  });

  it('are no numbers at all when nobody took part', () => {
    const estimate = readMetrics(new Float64Array(6), whole, record(1), 10);
    expect(estimate).toEqual({
      meanLoss: undefined,
      count: 0,
      fractionWithin: 0.5,
      heldOut: { meanLoss: undefined, accuracy: undefined, count: 0 },
    });
  });
});

describe('the suggested bound', () => {
  it('goes up while too few gradients are within it, and down while too many are', () => {
    expect(suggestedBound(1, 0.2, clipping)).toBeGreaterThan(1);
    expect(suggestedBound(1, 0.9, clipping)).toBeLessThan(1);
    expect(suggestedBound(3, 0.5, clipping)).toBe(3);
    expect(codeOf(() => suggestedBound(1, 1.1, clipping))).toBe('privacy/invalid-parameter');
    expect(codeOf(() => suggestedBound(1, NaN, clipping))).toBe('privacy/invalid-parameter');
  });

  it('followed from run to run finds the median norm from a hundred times too small, through the noise of a round', () => {
    // Norms uniform in (0, 2): the median is 1. Noise of z = 1 on a sum of 200 records, in steps of 2^-16 of the update.
    const random = seededRandom('norms');
    const norms = Array.from({ length: 200 }, () => new DataView(random(4).buffer).getUint32(0) / 2 ** 31);
    const steps = 2 ** 16;
    let bound = 0.01;
    for (let round = 0; round < 100; round++) {
      const terms: MetricTerms = { weight: bound / 10, lossBound: 8, clipping };
      const exact = withMetrics(none, { losses: norms.map(() => 1), norms }, terms, record(bound));
      const unit = boundWithMetrics(record(bound), terms) / bound;
      const sampler = discreteGaussianSampler(unit * steps);
      const noise = new Int32Array(exact.length);
      sampler.addTo(noise, random);
      const noisy = exact.map((value, i) => value + (noise[i] / steps) * bound);
      bound = suggestedBound(bound, readMetrics(noisy, terms, record(bound), norms.length).fractionWithin ?? 0, {
        ...clipping,
        learningRate: 0.3,
      });
    }
    expect(bound).toBeGreaterThan(0.75);
    expect(bound).toBeLessThan(1.3);
  });
});
