/** What downstream services say of versions in use, as the HTTP API shows it: numbers only. */

/** `proportion`: each outcome is or is not, as an answer that was accepted. `score`: each is a number within bounds. */
export const outcomeKinds = ['proportion', 'score'] as const;
export type OutcomeKind = (typeof outcomeKinds)[number];

/** What may be reported of a repository's versions: declared by an operator, and nothing else is taken. */
export interface OutcomeMetric {
  readonly name: string;
  readonly kind: OutcomeKind;
  /** Of a single outcome; 0 and 1 for a proportion. */
  readonly minimum: number;
  readonly maximum: number;
}

/** By name. */
export interface OutcomeMetricsView {
  readonly metrics: readonly OutcomeMetric[];
}

/** A rate or mean with its interval of 95 %. */
export interface OutcomeEstimate {
  /** Outcomes that it is of. */
  readonly count: number;
  readonly estimate: number;
  readonly low: number;
  readonly high: number;
}

/** `shown`: more than chance explains. `too-few`: nobody can tell yet. */
export const differenceVerdicts = ['shown', 'not-shown', 'too-few'] as const;
export type DifferenceVerdict = (typeof differenceVerdicts)[number];

export interface OutcomeDifference {
  readonly verdict: DifferenceVerdict;
  /** With its interval of 95 %; `null` where outcomes are too few. */
  readonly estimate: number | null;
  readonly low: number | null;
  readonly high: number | null;
  /** Raised for all tests of the same answer (Holm). */
  readonly p: number | null;
}

export interface MetricOutcomes {
  readonly metric: OutcomeMetric;
  /** `null`: none, or a single score. */
  readonly all: OutcomeEstimate | null;
  readonly recent: OutcomeEstimate | null;
  readonly before: OutcomeEstimate | null;
  /** recent - before. `shown` means that the version drifts. */
  readonly drift: OutcomeDifference;
}

/** How a version does in use, and whether it does as it did. */
export interface OutcomesView {
  readonly version: string;
  /** Hours up to now that `recent` is of; `before` is of the days before them. */
  readonly recentHours: number;
  readonly beforeDays: number;
  readonly isDrifting: boolean;
  readonly metrics: readonly MetricOutcomes[];
}

export interface MetricComparison {
  readonly metric: OutcomeMetric;
  readonly left: OutcomeEstimate | null;
  readonly right: OutcomeEstimate | null;
  /** right - left. */
  readonly difference: OutcomeDifference;
}

/** Two versions that were in use at the same time. */
export interface OutcomeComparisonView {
  readonly left: string;
  readonly right: string;
  /** Hours in which outcomes of both were reported: only those are compared, since hours differ from one another as well. */
  readonly hours: number;
  readonly metrics: readonly MetricComparison[];
}
