import type { OrganisationRound } from '@fedlora/shared';
import { DataTable, type Column } from '../../blocks/data-table.js';
import { Moment } from '../../blocks/moment.js';
import { Nothing, Section } from '../../blocks/section.js';

/** At most ten, newest first. */
export function LatestRounds({ rounds }: { rounds: readonly OrganisationRound[] }) {
  const failed = rounds.filter(({ failure }) => failure !== null).length;
  return (
    <Section
      testId="latest-rounds"
      title="Latest rounds"
      aside={rounds.length > 0 && `${rounds.length - failed} of ${rounds.length} to the end`}
    >
      <DataTable
        label="latest rounds"
        columns={columns}
        rows={rounds}
        error={null}
        isFetching={false}
        onRetry={() => undefined}
        rowKey={({ roundId }) => roundId}
        empty={<Nothing title="No round yet">Rounds that it takes part in appear here when they have ended.</Nothing>}
      />
    </Section>
  );
}

const columns: readonly Column<OrganisationRound>[] = [
  { name: 'Round', kind: 'title', cell: ({ number }) => number },
  { name: 'Run', isWide: true, cell: ({ runId }) => <code>{runId}</code> },
  { name: 'Ended', cell: ({ endedAt }) => <Moment at={endedAt} /> },
  {
    name: 'Outcome',
    hint: 'Of the round as a whole: done, if it gave a version.',
    cell: ({ outcome }) => <span className={`tag tone-${outcome === 'done' ? 'plain' : 'bad'}`}>{outcome}</span>,
  },
  {
    name: 'Its part',
    hint: 'Whether it stayed to the end, or why it did not.',
    isWide: true,
    cell: ({ failure }) => (failure === null ? 'stayed to the end' : <span className="bad">{failure}</span>),
  },
];
