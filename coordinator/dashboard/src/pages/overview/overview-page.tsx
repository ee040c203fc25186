import { Skeleton } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import { lazy, Suspense } from 'react';
import type { Overview as OverviewState } from '@fedlora/shared';
import { api } from '../../api.js';
import { LoadError } from '../../blocks/load-error.js';
import { Loading } from '../../blocks/loading.js';
import { Nothing, Section } from '../../blocks/section.js';
import { useLiveQuery } from '../../live/live.js';
import { mergeIntoOverview, newestRun } from '../../live/merge.js';
import { isOver } from '../../phases.js';
import { useDocumentTitle } from '../../shell/document-title.js';
import { Organisations } from './organisations.js';
import { RoundLive } from '../../run/round-live.js';
import { RoundsHistory } from '../../run/rounds-history.js';
import { RunSummary } from '../../run/run-summary.js';

const TrainingCharts = lazy(() => import('../../run/training-charts.js'));

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
      <h1 className="visually-hidden">Overview</h1>
      {data ? (
        <Overview overview={data} />
      ) : error ? (
        <LoadError error={error} isTrying={query.isFetching} onRetry={() => void query.refetch()} />
      ) : (
        <Loading what="the overview" heights={[190, 260, 220]} />
      )}
    </div>
  );
}

function Overview({ overview }: { overview: OverviewState }) {
  const { runs, rounds, organisations } = overview;
  const run = newestRun(runs);
  const others = runs.filter((one) => one !== run && (one.status === 'running' || one.status === 'paused'));
  const [newest] = rounds;
  return (
    <>
      {run === null ? (
        <Section testId="run-summary" title="No run yet">
          <Nothing title="The coordinator is ready">
            Invite the organisations and certify them; then plan a run. It appears here by itself.
          </Nothing>
        </Section>
      ) : (
        <>
          <RunSummary run={run} />
          <RoundLive
            run={run}
            round={newest !== undefined && (!isOver(newest.phase) || run.status === 'running') ? newest : null}
            organisations={organisations}
          />
        </>
      )}
      {others.map((one) => (
        <RunSummary key={one.id} run={one} />
      ))}
      <Organisations organisations={organisations} />
      {run !== null && (
        <>
          <Suspense fallback={<Skeleton height={300} />}>
            <TrainingCharts rounds={rounds} run={run} show="main" />
          </Suspense>
          <RoundsHistory
            rounds={rounds}
            firstRows={5}
            after={
              <p className="faint more">
                More of this run, with all curves and its terms, is on{' '}
                <Link to="/runs/$runId" params={{ runId: run.id }}>
                  its page
                </Link>
                .
              </p>
            }
          />
        </>
      )}
      <footer className="faint footer">Fedlora coordinator {overview.version}</footer>
    </>
  );
}
