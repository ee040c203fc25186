/** Outcomes as the API shows them: rates and means with intervals, drift, and two versions against one another. */

import type {
  MetricComparison,
  MetricOutcomes,
  OutcomeComparisonView,
  OutcomeDifference,
  OutcomeEstimate,
  OutcomeMetric,
  OutcomesView,
} from '@fedlora/shared';
import type { HourlySums } from './outcomes.repository.js';
import { added, differenceOf, estimateOf, holm, NO_OUTCOMES, type Difference, type Sums } from './statistics.js';

const RECENT_HOURS = 24;
const BEFORE_DAYS = 28;
/** How often a version that does as it did is called drifting, for all metrics of one look. Who looks all day is alarmed oftener. */
const DRIFT_LEVEL = 0.01;
/** How often two versions that do the same are called different, for all metrics of one look. */
const DIFFERENCE_LEVEL = 0.05;

/** @param hour the present one, counted since 1970 */
export function outcomesView(
  version: string,
  metrics: readonly OutcomeMetric[],
  sums: readonly HourlySums[],
  hour: number,
): OutcomesView {
  const parts = metrics.map((metric) => {
    const own = sums.filter((one) => one.metric === metric.name);
    const between = (from: number, to: number): Sums => total(own.filter((one) => one.hour > from && one.hour <= to));
    const recent = between(hour - RECENT_HOURS, hour);
    const before = between(hour - RECENT_HOURS - 24 * BEFORE_DAYS, hour - RECENT_HOURS);
    return { metric, all: total(own), recent, before, difference: differenceOf(metric.kind, recent, before) };
  });
  const drifts = judged(
    parts.map(({ difference }) => difference),
    DRIFT_LEVEL,
  );
  return {
    version,
    recentHours: RECENT_HOURS,
    beforeDays: BEFORE_DAYS,
    isDrifting: drifts.some(({ verdict }) => verdict === 'shown'),
    metrics: parts.map(({ metric, all, recent, before }, i): MetricOutcomes => {
      const of = (some: Sums): OutcomeEstimate | null => estimateView(metric, some);
      return { metric, all: of(all), recent: of(recent), before: of(before), drift: drifts[i] };
    }),
  };
}

interface OfVersion {
  readonly version: string;
  readonly sums: readonly HourlySums[];
}

/** `metrics`: those of both. */
export function outcomeComparison(
  metrics: readonly OutcomeMetric[],
  left: OfVersion,
  right: OfVersion,
): OutcomeComparisonView {
  const hours = new Set<number>();
  const parts = metrics.map((metric) => {
    const ofLeft = byHour(left.sums, metric);
    const ofRight = byHour(right.sums, metric);
    const common = [...ofLeft.keys()].filter((hour) => ofRight.has(hour));
    for (const hour of common) hours.add(hour);
    // Safe: hours of both.
    const [one, other] = [ofLeft, ofRight].map((sums) => total(common.map((hour) => sums.get(hour)!)));
    return { metric, one, other, difference: differenceOf(metric.kind, other, one) };
  });
  const differences = judged(
    parts.map(({ difference }) => difference),
    DIFFERENCE_LEVEL,
  );
  return {
    left: left.version,
    right: right.version,
    hours: hours.size,
    metrics: parts.map(({ metric, one, other }, i): MetricComparison => ({
      metric,
      left: estimateView(metric, one),
      right: estimateView(metric, other),
      difference: differences[i],
    })),
  };
}

function byHour(sums: readonly HourlySums[], { name }: OutcomeMetric): Map<number, Sums> {
  return new Map(sums.filter(({ metric }) => metric === name).map((one) => [one.hour, one]));
}

function total(sums: readonly Sums[]): Sums {
  return sums.reduce(added, NO_OUTCOMES);
}

function estimateView({ kind }: OutcomeMetric, sums: Sums): OutcomeEstimate | null {
  const found = estimateOf(kind, sums);
  return found === null ? null : { count: sums.count, ...found };
}

function judged(differences: readonly (Difference | null)[], level: number): OutcomeDifference[] {
  const adjusted = holm(differences.flatMap((one) => one?.p ?? []));
  let next = 0;
  return differences.map((one): OutcomeDifference => {
    if (one === null) return { verdict: 'too-few', estimate: null, low: null, high: null, p: null };
    const p = adjusted[next++];
    return { ...one, p, verdict: p < level ? 'shown' : 'not-shown' };
  });
}
