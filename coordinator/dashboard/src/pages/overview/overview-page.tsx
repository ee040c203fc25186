import { Skeleton } from '@mantine/core';
import { lazy, Suspense } from 'react';
import type { Overview as OverviewState } from '@fedlora/shared';
import { api } from '../../api.js';
import { LoadError } from '../../blocks/load-error.js';
import { Nothing, Section } from '../../blocks/section.js';
import { useLiveQuery } from '../../live/live.js';
import { mergeIntoOverview, newestRun } from '../../live/merge.js';
import { isOver } from '../../phases.js';
import { useDocumentTitle } from '../../shell/document-title.js';
import { Organisations } from './organisations.js';
import { RoundLive } from './round-live.js';
import { RoundsHistory } from './rounds-history.js';
import { RunSummary } from './run-summary.js';

const TrainingCharts = lazy(() => import('../../charts/training-charts.js'));

export default function OverviewPage() {
  const query = useLiveQuery({ queryKey: ['overview'], fetch: () => api.overview(), merge: mergeIntoOverview });
  const { data, error } = query;
  const current = data?.rounds.find((round) => !isOver(round.phase));
  useDocumentTitle(
    current && `Round ${current.number}: ${current.phase}`,
    (data && newestRun(data.runs)?.title) ?? 'Overview',
  );
  return (
    <div className="page">
      {data ? (
        <Overview overview={data} />
      ) : error ? (
        <LoadError error={error} isTrying={query.isFetching} onRetry={() => void query.refetch()} />
      ) : (
        <Loading />
      )}
    </div>
  );
}

function Overview({ overview }: { overview: OverviewState }) {
  const run = newestRun(overview.runs);
  const [newest] = overview.rounds;
  return (
    <>
      {run === null ? (
        <Section testId="run-summary" title="No run yet">
          <Nothing title="The coordinator is ready">
            Invite the organisations and certify them; then start a run with <code>POST /api/v1/runs</code>. It appears
            here by itself.
          </Nothing>
        </Section>
      ) : (
        <>
          <RunSummary run={run} />
          <RoundLive
            run={run}
            round={newest !== undefined && (!isOver(newest.phase) || run.status === 'running') ? newest : null}
          />
        </>
      )}
      <Organisations organisations={overview.organisations} />
      {run !== null && (
        <>
          <Suspense fallback={<Skeleton height={300} />}>
            <TrainingCharts rounds={overview.rounds} run={run} />
          </Suspense>
          <RoundsHistory rounds={overview.rounds} />
        </>
      )}
      <footer className="faint footer">Fedlora coordinator {overview.version}</footer>
    </>
  );
}

function Loading() {
  return (
    <div className="loading" aria-busy="true" aria-label="Loading the overview" data-testid="loading">
      <Skeleton height={190} />
      <Skeleton height={260} />
      <Skeleton height={220} />
    </div>
  );
}
