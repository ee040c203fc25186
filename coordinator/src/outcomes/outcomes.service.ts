/** Outcomes of versions in use: which metrics may be reported, and what was. */

import {
  FedloraError,
  type OutcomeComparisonView,
  type OutcomeMetric,
  type OutcomeMetricRequest,
  type OutcomeRequest,
  type OutcomesView,
} from '@fedlora/shared';
import type { AuditLog } from '../audit/audit-log.js';
import type { Origin } from '../audit/origin.js';
import type { Announcements } from '../observe/announcements.js';
import type { ReleaseViews } from '../release/release-views.js';
import { outcomeComparison, outcomesView } from './outcome-views.js';
import type { HourlySums, OutcomesRepository } from './outcomes.repository.js';

const HOUR_MS = 3600_000;
/** Of sums that were added up in floating point, relative to the largest that they can be. */
const ROUNDING = 1e-9;

export interface OutcomesParts {
  readonly outcomes: OutcomesRepository;
  readonly releaseViews: ReleaseViews;
  readonly audit: AuditLog;
  readonly announcements: Announcements;
  readonly now: () => number;
}

export class OutcomesService {
  constructor(private readonly parts: OutcomesParts) {}

  /** Those that may be reported, by name. */
  async metrics(repository: string): Promise<OutcomeMetric[]> {
    return (await this.parts.outcomes.metrics(repository)).filter(({ isOpen }) => isOpen).map(withoutState);
  }

  /**
   * Makes these the metrics that may be reported. What was reported of others stays in the database, and is shown again once they are
   * declared again.
   *
   * @throws FedloraError outcomes/invalid-metric | outcomes/metric-fixed
   */
  async declare(repository: string, requests: readonly OutcomeMetricRequest[], by: Origin): Promise<OutcomeMetric[]> {
    const { outcomes, audit, announcements } = this.parts;
    const metrics = requests.map(metricOf);
    if (new Set(metrics.map(({ name }) => name)).size < metrics.length)
      throw new FedloraError('outcomes/invalid-metric', 'A name is there twice.');
    const before = await outcomes.metrics(repository);
    for (const metric of metrics) {
      const known = before.find(({ name }) => name === metric.name);
      if (known !== undefined && labelOf(known) !== labelOf(metric))
        throw new FedloraError('outcomes/metric-fixed', `"${metric.name}" was declared as ${labelOf(known)}.`);
    }
    const listed = (all: readonly OutcomeMetric[]): string => all.map(labelOf).sort().join(', ');
    await audit.recording(async (trx) => {
      await outcomes.declare(repository, metrics, trx);
      const change = {
        before: { metrics: listed(before.filter(({ isOpen }) => isOpen)) },
        after: { metrics: listed(metrics) },
      };
      return [{ event: 'outcomes.declared', by, details: { repository }, ...change }, undefined] as const;
    });
    announcements.tell('repository.changed', repository);
    return this.metrics(repository);
  }

  /** Adds outcomes to the present hour. @throws FedloraError version/unknown | outcomes/unknown-metric | outcomes/impossible */
  async report(version: string, requests: readonly OutcomeRequest[]): Promise<void> {
    const { outcomes, releaseViews } = this.parts;
    const { repository } = await releaseViews.version(version);
    const metrics = await this.metrics(repository);
    const hour = this.hour();
    const sums = requests.map((request): HourlySums => {
      const metric = metrics.find(({ name }) => name === request.metric);
      if (metric === undefined)
        throw new FedloraError(
          'outcomes/unknown-metric',
          `Of ${repository} these are reported: ${metrics.map(({ name }) => name).join(', ') || 'none'}.`,
        );
      return { ...possible(metric, request), metric: metric.name, hour };
    });
    await outcomes.add(version, sums);
  }

  /** @throws FedloraError version/unknown */
  async of(version: string): Promise<OutcomesView> {
    const { repository } = await this.parts.releaseViews.version(version);
    return outcomesView(version, await this.metrics(repository), await this.parts.outcomes.of(version), this.hour());
  }

  /** Metrics that are the same in the repositories of both. @throws FedloraError version/unknown */
  async comparison(left: string, right: string): Promise<OutcomeComparisonView> {
    const { outcomes, releaseViews } = this.parts;
    const [ofLeft, ofRight] = [
      await this.metrics((await releaseViews.version(left)).repository),
      await this.metrics((await releaseViews.version(right)).repository),
    ];
    const common = new Set(ofRight.map(labelOf));
    return outcomeComparison(
      ofLeft.filter((metric) => common.has(labelOf(metric))),
      { version: left, sums: await outcomes.of(left) },
      { version: right, sums: await outcomes.of(right) },
    );
  }

  private hour(): number {
    return Math.floor(this.parts.now() / HOUR_MS);
  }
}

/** @throws FedloraError outcomes/invalid-metric */
function metricOf({ name, kind, minimum, maximum }: OutcomeMetricRequest): OutcomeMetric {
  if (kind === 'proportion') {
    if (minimum !== undefined || maximum !== undefined)
      throw new FedloraError('outcomes/invalid-metric', `"${name}" is a proportion, which has no bounds of its own.`);
    return { name, kind, minimum: 0, maximum: 1 };
  }
  if (minimum === undefined || maximum === undefined || minimum >= maximum)
    throw new FedloraError('outcomes/invalid-metric', `"${name}" is a score: it needs a minimum below its maximum.`);
  return { name, kind, minimum, maximum };
}

/** The sums of a report that outcomes of the metric can have. @throws FedloraError outcomes/impossible */
function possible(
  { name, kind, minimum, maximum }: OutcomeMetric,
  { count, sum, sumOfSquares }: OutcomeRequest,
): { readonly count: number; readonly sum: number; readonly squares: number } {
  const impossible = (why: string): FedloraError => new FedloraError('outcomes/impossible', `"${name}": ${why}`);
  if (kind === 'proportion') {
    if (!Number.isInteger(sum) || sum < 0 || sum > count)
      throw impossible(`of ${count} outcomes, a whole number from 0 to ${count} can be so.`);
    if (sumOfSquares !== undefined) throw impossible('a proportion has no sum of squares.');
    return { count, sum, squares: sum };
  }
  if (sumOfSquares === undefined) throw impossible('a score needs sumOfSquares, too.');
  const slack = ROUNDING * count * Math.max(Math.abs(minimum), Math.abs(maximum));
  if (sum < count * minimum - slack || sum > count * maximum + slack)
    throw impossible(`${count} scores from ${minimum} to ${maximum} do not add up to that.`);
  // With values between a and b, x^2 is at most (a + b) x - a b; and no sum of squares is below n times the mean's.
  const largest = (minimum + maximum) * sum - count * minimum * maximum;
  const slackOfSquares = ROUNDING * count * Math.max(minimum ** 2, maximum ** 2);
  if (sumOfSquares < (sum * sum) / count - slackOfSquares || sumOfSquares > largest + slackOfSquares)
    throw impossible('the sum of squares does not go with the sum.');
  return { count, sum, squares: sumOfSquares };
}

function withoutState({ name, kind, minimum, maximum }: OutcomeMetric): OutcomeMetric {
  return { name, kind, minimum, maximum };
}

function labelOf({ name, kind, minimum, maximum }: OutcomeMetric): string {
  return kind === 'proportion' ? `${name} (proportion)` : `${name} (score from ${minimum} to ${maximum})`;
}
