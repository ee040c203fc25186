import { Alert, Button, Skeleton } from '@mantine/core';
import { lazy, Suspense, useEffect } from 'react';
import { ApiProblem } from '@fedlora/shared/client';
import { isRefusal, type OverviewState } from '../api.js';
import { ClockOffset, useServerNow } from '../clock.js';
import { formatAgo } from '../format.js';
import { useLiveOverview } from '../live.js';
import { newestRun } from '../merge.js';
import { isOver } from '../phases.js';
import { Header } from './header.js';
import { Organisations } from './organisations.js';
import { RoundLive } from './round-live.js';
import { RoundsHistory } from './rounds-history.js';
import { RunSummary } from './run-summary.js';
import { Nothing, Section } from './section.js';

const TrainingCharts = lazy(() => import('../charts/training-charts.js'));

interface OverviewPageProps {
  readonly onSignOut: (reason: string | null) => void;
}

export function OverviewPage({ onSignOut }: OverviewPageProps) {
  const { query, connection, awaySince } = useLiveOverview();
  const { data, error } = query;

  useEffect(() => {
    if (!isRefusal(error)) return;
    onSignOut(
      error.status === 403
        ? 'Your user may not see the overview. Ask an administrator for another role.'
        : 'Your sign-in has ended.',
    );
  }, [error, onSignOut]);

  const run = data ? newestRun(data.runs) : null;
  usePageTitle(data, run?.title ?? null);

  return (
    <ClockOffset value={data?.clockOffsetMs ?? 0}>
      <Header title={run?.title ?? null} connection={connection} onSignOut={() => onSignOut(null)} />
      {connection === 'away' && data && awaySince !== null && (
        <OfflineBanner
          since={awaySince + data.clockOffsetMs}
          isAnswering={!query.isError}
          onRetry={() => void query.refetch()}
        />
      )}
      <main className="page">
        {data ? (
          <Overview overview={data} />
        ) : error && !isRefusal(error) ? (
          <LoadError error={error} isTrying={query.isFetching} onRetry={() => void query.refetch()} />
        ) : (
          <Loading />
        )}
      </main>
    </ClockOffset>
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

/** What the tab shows, for an operator who looks at another one. */
function usePageTitle(overview: OverviewState | undefined, runTitle: string | null): void {
  const current = overview?.rounds.find((round) => !isOver(round.phase));
  const parts = [current && `Round ${current.number}: ${current.phase}`, runTitle, 'Fedlora'].filter(Boolean);
  const title = parts.join(' · ');
  useEffect(() => {
    document.title = title;
  }, [title]);
}

function OfflineBanner(props: { since: number; isAnswering: boolean; onRetry: () => void }) {
  const now = useServerNow();
  return (
    <div className="offline" role="alert" data-testid="offline-banner">
      <span>
        <strong>Not live.</strong> The live connection was lost {formatAgo(props.since, now)}.{' '}
        {props.isAnswering
          ? 'Values are refreshed every 10 seconds until it is back.'
          : 'The coordinator does not answer: the values below are from before.'}
      </span>
      <button type="button" className="quiet-button" onClick={props.onRetry}>
        Try now
      </button>
    </div>
  );
}

function LoadError({ error, isTrying, onRetry }: { error: Error; isTrying: boolean; onRetry: () => void }) {
  const title =
    error instanceof ApiProblem ? 'The coordinator answered with an error' : 'The coordinator cannot be reached';
  const remedy =
    error instanceof ApiProblem
      ? (error.remedy ?? 'Its log has the details.')
      : 'Check that it runs and that this machine can reach it. The page tries again by itself.';
  return (
    <Alert color="red" role="alert" title={title} data-testid="load-error">
      {error instanceof ApiProblem && <p>{error.message}</p>}
      <p>{remedy}</p>
      <Button size="xs" variant="default" onClick={onRetry} loading={isTrying}>
        Try now
      </Button>
    </Alert>
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
