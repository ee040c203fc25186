import { Button, SegmentedControl } from '@mantine/core';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import type { RunView } from '@fedlora/shared';
import { api } from '../../api.js';
import { DataTable, type Column } from '../../blocks/data-table.js';
import { Moment } from '../../blocks/moment.js';
import { PageFrame } from '../../blocks/page-frame.js';
import { MoreButton, usePagedList } from '../../blocks/paged-list.js';
import { Nothing, Section } from '../../blocks/section.js';
import { formatNumber, shorten } from '../../format.js';
import { useRefetchOn } from '../../live/use-refetch-on.js';
import { useMay, useSession } from '../../session.js';
import { RunStatusTag } from '../../run/run-status.js';
import { runStatuses, statusWords } from '../../run/status-words.js';

const columns: readonly Column<RunView>[] = [
  {
    name: 'Run',
    kind: 'title',
    cell: (run) => (
      <Link to="/runs/$runId" params={{ runId: run.id }}>
        {run.title}
      </Link>
    ),
    sortBy: ({ title }) => title,
  },
  { name: 'Status', cell: ({ status }) => <RunStatusTag status={status} />, sortBy: ({ status }) => status },
  {
    name: 'Rounds',
    kind: 'number',
    hint: 'Finished rounds, of those that are planned. Aborted attempts do not count.',
    cell: ({ completedRounds, plannedRounds }) => `${completedRounds} of ${plannedRounds}`,
    sortBy: ({ completedRounds }) => completedRounds,
  },
  {
    name: 'Epsilon',
    kind: 'number',
    hint: 'Privacy spent so far, of what all planned rounds will spend; without unit, smaller is more private. Hover δ and unit on the run’s page.',
    cell: ({ unit, epsilon, projectedEpsilon }) =>
      unit === 'none' ? (
        <span className="bad">none</span>
      ) : (
        `${formatNumber(epsilon)} of ${formatNumber(projectedEpsilon)}`
      ),
    sortBy: ({ epsilon }) => epsilon,
  },
  {
    name: 'Members',
    kind: 'number',
    hint: 'Organisations that its roster names.',
    cell: ({ members }) => members.length,
    sortBy: ({ members }) => members.length,
  },
  { name: 'Base model', cell: ({ baseName }) => baseName, sortBy: ({ baseName }) => baseName },
  {
    name: 'Started',
    cell: ({ createdAt }) => <Moment at={createdAt} />,
    sortBy: ({ createdAt }) => createdAt,
  },
  {
    name: 'Newest version',
    hint: 'First ten of the forty digits of its identifier.',
    cell: ({ version }) => <code title={version}>{shorten(version)}</code>,
  },
];

/** Every run that the user may see. */
export default function RunsPage() {
  const { me } = useSession();
  // Whoever is limited to some runs cannot make another.
  const mayPlan = useMay('runs.manage') && me.runs === null;
  const { status } = useSearch({ from: '/runs' });
  const navigate = useNavigate({ from: '/runs' });
  useRefetchOn(['runs', 'list'], 'run.changed');
  const list = usePagedList(['runs', 'list', status ?? 'all'], (at) => api.runs({ ...at, status }));
  return (
    <PageFrame
      title="Runs"
      lead="Each run trains one adapter, round after round, under terms that its members signed off."
      actions={
        mayPlan && (
          <Button size="xs" renderRoot={(props) => <Link to="/runs/plan" {...props} />}>
            Plan a run
          </Button>
        )
      }
    >
      <Section
        testId="runs"
        title="Runs"
        aside={
          <SegmentedControl
            size="xs"
            aria-label="Show runs of this status"
            value={status ?? 'all'}
            onChange={(value) =>
              void navigate({ search: { status: runStatuses.find((one) => one === value) }, replace: true })
            }
            data={[
              { value: 'all', label: 'All' },
              ...runStatuses.map((value) => ({ value, label: statusWords[value].label })),
            ]}
          />
        }
      >
        <DataTable
          {...list}
          label="Runs, newest first"
          columns={columns}
          rowKey={({ id }) => id}
          empty={
            status === undefined ? (
              <Nothing title="No run yet">Invite and certify the organisations first; then plan a run.</Nothing>
            ) : (
              <Nothing title={`No run is ${statusWords[status].label.toLowerCase()}`}>
                Choose another status above.
              </Nothing>
            )
          }
        />
        <MoreButton list={list} what="runs" />
      </Section>
    </PageFrame>
  );
}
