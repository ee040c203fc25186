import './calendar.css';
import { Button, SegmentedControl, Select } from '@mantine/core';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { getRouteApi } from '@tanstack/react-router';
import { everyItem } from '@fedlora/shared/client';
import type { CalendarView } from '@fedlora/shared';
import { api } from '../../api.js';
import { serverNow } from '../../clock.js';
import { LoadError } from '../../blocks/load-error.js';
import { Loading } from '../../blocks/loading.js';
import { PageFrame } from '../../blocks/page-frame.js';
import { Nothing, Section } from '../../blocks/section.js';
import { useRefetchOn } from '../../live/use-refetch-on.js';
import { CalendarGrid } from './calendar-grid.js';
import { daysOf, ownTimeZone, step, titleOf, type View } from './days.js';
import { Schedules } from './schedules.js';

const route = getRouteApi('/calendar');

/** Rounds that were, rounds that are planned, and the schedules that plan them. */
export default function CalendarPage() {
  const { view = 'month', at, run } = route.useSearch();
  const navigate = route.useNavigate();
  const around = at ?? serverNow();
  const days = daysOf(view, around);
  const range = { from: days[0].from, to: days[days.length - 1].to };
  useRefetchOn(['calendar'], 'run.changed', 'round.changed');
  const runs = useQuery({ queryKey: ['calendar', 'runs'], queryFn: () => everyItem((page) => api.runs(page)) });
  const query = useQuery({
    queryKey: ['calendar', range.from, range.to, run],
    queryFn: () => api.calendar({ ...range, run }),
    placeholderData: keepPreviousData,
  });
  const show = (change: { view?: View; at?: number | undefined; run?: string | undefined }): void =>
    void navigate({ search: (before) => ({ ...before, ...change }) });
  const { data: calendar, error } = query;
  return (
    <PageFrame
      title="Calendar"
      lead={`When rounds ran and when the next are due. Times are those of this browser: ${ownTimeZone}.`}
      actions={
        runs.data !== undefined &&
        runs.data.length > 1 && (
          <Select
            label="Run"
            placeholder="All runs"
            data={runs.data.map(({ id, title }) => ({ value: id, label: title }))}
            value={run ?? null}
            clearable
            clearButtonProps={{ 'aria-label': 'All runs' }}
            searchable
            onChange={(id) => show({ run: id ?? undefined })}
          />
        )
      }
    >
      <Section
        testId="calendar"
        title={titleOf(view, days)}
        aside={
          <span className="calendar-controls">
            <Button
              size="xs"
              variant="default"
              aria-label="Earlier"
              onClick={() => show({ at: step(view, around, -1) })}
            >
              ‹
            </Button>
            <Button size="xs" variant="default" onClick={() => show({ at: undefined })}>
              Today
            </Button>
            <Button size="xs" variant="default" aria-label="Later" onClick={() => show({ at: step(view, around, 1) })}>
              ›
            </Button>
            <SegmentedControl
              size="xs"
              aria-label="Show"
              data={[
                { value: 'month', label: 'Month' },
                { value: 'week', label: 'Week' },
              ]}
              value={view}
              onChange={(chosen) => show({ view: chosen })}
            />
          </span>
        }
      >
        {calendar === undefined && error === null && <Loading what="the calendar" heights={[320]} />}
        {error !== null && <LoadError error={error} isTrying={query.isFetching} onRetry={() => void query.refetch()} />}
        {calendar !== undefined && (
          <>
            <About calendar={calendar} />
            <CalendarGrid {...{ view, days, calendar }} onShowWeek={(day) => show({ view: 'week', at: day })} />
          </>
        )}
      </Section>
      <Schedules
        rows={runs.data?.filter(
          ({ id, status }) => (status === 'running' || status === 'paused') && (run ?? id) === id,
        )}
        error={runs.error}
        isFetching={runs.isFetching}
        onRetry={() => void runs.refetch()}
      />
    </PageFrame>
  );
}

/** What the days cannot say: other zones, and that there is nothing, or too much. */
function About({ calendar: { rounds, planned, runs, isCut } }: { calendar: CalendarView }) {
  const others = runs.filter(({ timeZone }) => timeZone !== null && timeZone !== ownTimeZone);
  return (
    <>
      {others.length > 0 && (
        <p className="faint">
          Schedules in other zones: {others.map(({ title, timeZone }) => `${title} in ${timeZone ?? ''}`).join('; ')}.
        </p>
      )}
      {isCut && <p className="warn">There is more than the calendar shows at once. Look at a week, or at one run.</p>}
      {rounds.length + planned.length === 0 && (
        <Nothing title="No round in this time">
          A round appears when it starts; rounds to come appear when a run’s schedule has times.
        </Nothing>
      )}
    </>
  );
}
