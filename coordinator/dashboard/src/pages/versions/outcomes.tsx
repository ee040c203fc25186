import { useQuery, type UseQueryResult } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import type {
  DifferenceVerdict,
  MetricComparison,
  MetricOutcomes,
  OutcomeDifference,
  OutcomeEstimate,
  OutcomeMetric,
} from '@fedlora/shared';
import { api } from '../../api.js';
import { DataTable, type Column } from '../../blocks/data-table.js';
import { Hint } from '../../blocks/hint.js';
import { Nothing, Section } from '../../blocks/section.js';
import { count, formatNumber } from '../../format.js';
import { hints } from './version-words.js';

/** Reports come every few minutes, and are added up by the hour. */
const REFETCH_MS = 60_000;

/** How one version does in use, and whether it does as it did. */
export function Outcomes({ version }: { version: string }) {
  const query = useQuery({
    queryKey: ['versions', 'outcomes', version],
    queryFn: () => api.outcomes(version),
    refetchInterval: REFETCH_MS,
  });
  const { data } = query;
  return (
    <InUse<MetricOutcomes>
      query={query}
      label="Outcomes of using it"
      aside={
        data?.isDrifting === true && (
          <Hint text={hints.drift} plain>
            <span className="tag tone-bad">drifts</span>
          </Hint>
        )
      }
      columns={[
        { name: 'Ever', kind: 'number', hint: hints.outcome, cell: ({ metric, all }) => estimate(metric, all) },
        {
          name: `Last ${data?.recentHours ?? 24} hours`,
          kind: 'number',
          hint: hints.outcome,
          cell: ({ metric, recent }) => estimate(metric, recent),
        },
        {
          name: `${data?.beforeDays ?? 28} days before`,
          kind: 'number',
          hint: hints.outcome,
          cell: ({ metric, before }) => estimate(metric, before),
        },
        {
          name: 'Drift',
          hint: hints.drift,
          cell: ({ metric, drift }) => <Difference metric={metric} of={drift} words={driftWords} />,
        },
      ]}
    />
  );
}

/** Two versions that were in use at the same time. */
export function OutcomesSideBySide({ left, right }: { left: string; right: string }) {
  const query = useQuery({
    queryKey: ['versions', 'outcomes', left, right],
    queryFn: () => api.compareOutcomes(left, right),
    refetchInterval: REFETCH_MS,
  });
  const { data } = query;
  return (
    <InUse<MetricComparison>
      query={query}
      label="Outcomes of both"
      aside={
        data !== undefined && (
          <Hint text={hints.commonHours}>
            {data.hours === 0 ? 'never in use together' : `${count(data.hours, 'hour')} in use together`}
          </Hint>
        )
      }
      columns={[
        {
          name: 'First',
          kind: 'number',
          hint: hints.outcome,
          cell: ({ metric, left: own }) => estimate(metric, own),
        },
        {
          name: 'Second',
          kind: 'number',
          hint: hints.outcome,
          cell: ({ metric, right: own }) => estimate(metric, own),
        },
        {
          name: 'Second − first',
          hint: hints.outcomeDifference,
          cell: ({ metric, difference }) => <Difference metric={metric} of={difference} words={differenceWords} />,
        },
      ]}
    />
  );
}

interface InUseProps<Row> {
  readonly query: UseQueryResult<{ readonly metrics: readonly Row[] }>;
  /** What the rows are, for readers of the screen. */
  readonly label: string;
  readonly aside: ReactNode;
  /** Beside the metric's name. */
  readonly columns: readonly Column<Row>[];
}

/** A row for each metric. */
function InUse<Row extends { readonly metric: OutcomeMetric }>({ query, label, aside, columns }: InUseProps<Row>) {
  return (
    <Section testId="outcomes" title="In use" aside={aside}>
      <DataTable<Row>
        rows={query.data?.metrics}
        error={query.error}
        isFetching={query.isFetching}
        onRetry={() => void query.refetch()}
        label={label}
        rowKey={({ metric }) => metric.name}
        empty={<NoMetrics />}
        columns={[{ name: 'Metric', kind: 'title', cell: ({ metric }) => <MetricName metric={metric} /> }, ...columns]}
      />
    </Section>
  );
}

function NoMetrics() {
  return (
    <Nothing title="Nothing is reported">
      Services can say what came of using versions, once it is declared: <code>fedlora admin outcomes declare</code>.
    </Nothing>
  );
}

function MetricName({ metric: { name, kind, minimum, maximum } }: { metric: OutcomeMetric }) {
  return (
    <Hint
      text={kind === 'proportion' ? 'Share of outcomes that were so.' : `Mean of scores from ${minimum} to ${maximum}.`}
    >
      {name}
    </Hint>
  );
}

/** With its interval, and of how many. */
function estimate(metric: OutcomeMetric, own: OutcomeEstimate | null) {
  if (own === null) return '–';
  return (
    <span className="outcome">
      {shown(metric, own.estimate)}{' '}
      <span className="unit">
        ({shown(metric, own.low)} to {shown(metric, own.high)}), {own.count} in all
      </span>
    </span>
  );
}

type Words = Readonly<Record<DifferenceVerdict, { readonly word: string; readonly tone: string }>>;

const driftWords: Words = {
  shown: { word: 'drifts', tone: 'bad' },
  'not-shown': { word: 'steady', tone: 'good' },
  'too-few': { word: 'too few to tell', tone: 'plain' },
};

const differenceWords: Words = {
  shown: { word: 'different', tone: 'warn' },
  'not-shown': { word: 'no difference shown', tone: 'plain' },
  'too-few': { word: 'too few to tell', tone: 'plain' },
};

function Difference({ metric, of, words }: { metric: OutcomeMetric; of: OutcomeDifference; words: Words }) {
  const { word, tone } = words[of.verdict];
  return (
    <span className="outcome">
      <span className={`tag tone-${tone}`}>{word}</span>{' '}
      {of.estimate !== null && (
        <>
          {shown(metric, of.estimate, true)}{' '}
          <span className="unit">
            ({shown(metric, of.low, true)} to {shown(metric, of.high, true)}), {chance(of.p)}
          </span>
        </>
      )}
    </span>
  );
}

function chance(p: number | null): string {
  return p !== null && p < 0.001 ? 'p below 0.001' : `p ${formatNumber(p, 3)}`;
}

/** `isChange`: of proportions, in points. */
function shown({ kind }: OutcomeMetric, value: number | null, isChange = false): string {
  if (value === null) return '–';
  const sign = isChange && value > 0 ? '+' : '';
  if (kind === 'score') return `${sign}${formatNumber(value, 2)}`;
  return `${sign}${formatNumber(100 * value, 1)}${isChange ? ' points' : ' %'}`;
}
