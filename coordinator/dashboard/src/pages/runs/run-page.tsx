import { Button, Skeleton } from '@mantine/core';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useParams } from '@tanstack/react-router';
import { lazy, Suspense, useState } from 'react';
import type { RunView } from '@fedlora/shared';
import { everyItem } from '@fedlora/shared/client';
import { api } from '../../api.js';
import { LoadError } from '../../blocks/load-error.js';
import { Loading } from '../../blocks/loading.js';
import { PageFrame } from '../../blocks/page-frame.js';
import { Section } from '../../blocks/section.js';
import { useLiveQuery } from '../../live/live.js';
import { isOver } from '../../phases.js';
import { mergeIntoOrganisations, mergeIntoRounds, mergeIntoRun, type LoadedRounds } from '../../run/merge-run.js';
import { Pace } from '../../run/pace.js';
import { RoundLive } from '../../run/round-live.js';
import { RoundsHistory } from '../../run/rounds-history.js';
import { RunControls } from '../../run/run-controls.js';
import { RunSummary } from '../../run/run-summary.js';
import { RunTerms } from '../../run/run-terms.js';

const TrainingCharts = lazy(() => import('../../run/training-charts.js'));

const ROUNDS_A_PAGE = 200;

/** One run: the round under way, what was learnt and spent, every round, and the terms. */
export default function RunPage() {
  const { runId } = useParams({ from: '/runs/$runId' });
  const query = useLiveQuery({ queryKey: ['runs', runId], fetch: () => api.run(runId), merge: mergeIntoRun });
  const { data: run, error } = query;
  if (run === undefined) {
    return (
      <PageFrame title="Run">
        {error ? (
          <LoadError error={error} isTrying={query.isFetching} onRetry={() => void query.refetch()} />
        ) : (
          <Loading what="the run" heights={[190, 260]} />
        )}
      </PageFrame>
    );
  }
  return <LoadedRun key={run.id} run={run} />;
}

function LoadedRun({ run }: { run: RunView }) {
  const [pages, setPages] = useState(1);
  const rounds = useRounds(run.id, pages);
  const organisations = useLiveQuery({
    queryKey: ['organisations', 'all'],
    fetch: () => everyItem((at) => api.organisations(at)),
    merge: mergeIntoOrganisations,
  });
  const terms = useQuery({
    queryKey: ['runs', run.id, 'terms'],
    queryFn: () => api.runTerms(run.id),
    staleTime: Infinity,
  });

  const newest = rounds.data?.rounds.at(0);
  const isNewestShown = newest !== undefined && (!isOver(newest.phase) || run.status === 'running');
  return (
    <PageFrame
      title={run.title}
      tabTitle={newest && !isOver(newest.phase) ? `Round ${newest.number}: ${newest.phase}` : null}
      actions={<RunControls run={run} />}
    >
      <RunSummary run={run} isOnItsPage />
      <RoundLive run={run} round={isNewestShown ? newest : null} organisations={organisations.data ?? []} />
      {rounds.data ? (
        <>
          <Section testId="run-pace" title="Pace">
            <Pace run={run} rounds={rounds.data.rounds} manifest={terms.data?.manifest} />
          </Section>
          <Suspense fallback={<Skeleton height={300} />}>
            <TrainingCharts rounds={rounds.data.rounds} run={run} />
          </Suspense>
          <RoundsHistory
            rounds={rounds.data.rounds}
            after={
              rounds.data.hasOlder && (
                <Button
                  className="more"
                  size="xs"
                  variant="default"
                  loading={rounds.isFetching}
                  onClick={() => setPages(pages + 1)}
                >
                  Load older rounds
                </Button>
              )
            }
          />
        </>
      ) : rounds.error ? (
        <LoadError error={rounds.error} isTrying={rounds.isFetching} onRetry={() => void rounds.refetch()} />
      ) : (
        <Skeleton height={300} />
      )}
      {terms.data ? (
        <RunTerms terms={terms.data} />
      ) : (
        terms.error && (
          <LoadError error={terms.error} isTrying={terms.isFetching} onRetry={() => void terms.refetch()} />
        )
      )}
    </PageFrame>
  );
}

function useRounds(runId: string, pages: number) {
  return useLiveQuery<LoadedRounds>({
    queryKey: ['runs', runId, 'rounds', pages],
    fetch: () => loadRounds(runId, pages),
    merge: mergeIntoRounds,
    placeholderData: keepPreviousData,
  });
}

async function loadRounds(runId: string, pages: number): Promise<LoadedRounds> {
  let loaded: LoadedRounds = { runId, rounds: [], hasOlder: true };
  let cursor: string | undefined;
  for (let page = 0; page < pages && loaded.hasOlder; page += 1) {
    const { items, nextCursor } = await api.rounds(runId, { limit: ROUNDS_A_PAGE, cursor });
    loaded = { runId, rounds: [...loaded.rounds, ...items], hasOlder: nextCursor !== null };
    cursor = nextCursor ?? undefined;
  }
  return loaded;
}
