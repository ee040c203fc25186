import type { OutcomeMetric } from '@fedlora/shared';
import { seededRandom } from '@fedlora/protocol/node';
import { describe, expect, it } from 'vitest';
import { outcomeComparison, outcomesView } from './outcome-views.js';
import type { HourlySums } from './outcomes.repository.js';

const NOW = 500_000;
const accepted: OutcomeMetric = { name: 'accepted', kind: 'proportion', minimum: 0, maximum: 1 };
const of = (hour: number, sum: number, count: number, metric = 'accepted'): HourlySums => {
  return { metric, hour, count, sum, squares: sum };
};

describe('outcomesView', () => {
  it('flags a version that does worse today than in the weeks before', () => {
    const view = outcomesView('v', [accepted], [of(NOW - 30, 800, 1000), of(NOW, 120, 200)], NOW);
    expect(view).toMatchObject({ isDrifting: true, recentHours: 24, beforeDays: 28 });
    expect(view.metrics[0]).toMatchObject({
      all: { count: 1200 },
      recent: { count: 200, estimate: 0.6 },
      before: { count: 1000, estimate: 0.8 },
      drift: { verdict: 'shown' },
    });
    expect(view.metrics[0].drift.estimate).toBeCloseTo(-0.2, 12);
  });

  it('counts the last 24 hours as recent and the 28 days before them as before', () => {
    const first = NOW - 24 - 24 * 28;
    const sums = [of(first, 1, 1), of(first + 1, 10, 10), of(NOW - 24, 100, 100), of(NOW - 23, 1000, 1000)];
    const [{ recent, before, all }] = outcomesView('v', [accepted], sums, NOW).metrics;
    expect([recent?.count, before?.count, all?.count]).toEqual([1000, 110, 1111]);
  });

  it('flags no version that does as it did, whatever chance does to twenty metrics a day', () => {
    const metrics = Array.from({ length: 20 }, (_, i): OutcomeMetric => ({ ...accepted, name: `m${i}` }));
    const random = seededRandom('drift');
    const binomial = (n: number): number => random(n).reduce((sum, byte) => sum + (byte < 179 ? 1 : 0), 0);
    let flagged = 0;
    for (let day = 0; day < 300; day++) {
      const sums = metrics.flatMap(({ name }) => [
        of(NOW - 48, binomial(400), 400, name),
        of(NOW, binomial(200), 200, name),
      ]);
      if (outcomesView('v', metrics, sums, NOW).isDrifting) flagged++;
    }
    // 300 looks of 20 tests each at a level of 0.01 for all: 3 expected; over 9 has a chance below 0.001. Without Holm it would be 55.
    expect(flagged).toBeLessThanOrEqual(9);
  });
});

describe('outcomeComparison', () => {
  it('leaves out hours in which only one was in use', () => {
    const left = { version: 'a', sums: [of(1, 10, 100), of(2, 50, 100)] };
    const right = { version: 'b', sums: [of(2, 55, 100), of(3, 99, 100)] };
    const { hours, metrics } = outcomeComparison([accepted], left, right);
    expect(hours).toBe(1);
    expect(metrics[0]).toMatchObject({
      left: { count: 100, estimate: 0.5 },
      right: { count: 100, estimate: 0.55 },
      difference: { verdict: 'not-shown' },
    });
  });

  it('says too few where they were never in use together', () => {
    const left = { version: 'a', sums: [of(1, 50, 100)] };
    const right = { version: 'b', sums: [of(2, 55, 100)] };
    expect(outcomeComparison([accepted], left, right)).toMatchObject({
      hours: 0,
      metrics: [{ left: null, right: null, difference: { verdict: 'too-few' } }],
    });
  });
});
