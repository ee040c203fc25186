import { Button } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import type { RunView } from '@fedlora/shared';
import { api } from '../../api.js';
import { DataTable, type RowsState } from '../../blocks/data-table.js';
import { Moment } from '../../blocks/moment.js';
import { Nothing, Section } from '../../blocks/section.js';
import { useMay } from '../../session.js';
import { summaryOf } from './schedule-draft.js';
import { ScheduleEditor } from './schedule-editor.js';

/** The runs that have not ended, with what plans their rounds. */
export function Schedules(runs: RowsState<RunView>) {
  const [edited, setEdited] = useState<RunView | null>(null);
  const mayEdit = useMay('runs.manage');
  return (
    <Section testId="schedules" title="Schedules">
      <DataTable
        {...runs}
        label="Schedules"
        rowKey={({ id }) => id}
        empty={<Nothing title="No run goes on">Start a run, and its schedule appears here.</Nothing>}
        columns={[
          { name: 'Run', kind: 'title', cell: ({ title }) => title },
          { name: 'Schedule', isWide: true, cell: ({ id }) => <Summary runId={id} /> },
          {
            name: 'Next round',
            hint: 'When the schedule’s next round is due.',
            cell: ({ nextRoundAt }) => <Moment at={nextRoundAt} never="no fixed time" />,
          },
          { name: 'Now', isWide: true, cell: ({ reason }) => reason ?? '–' },
          {
            name: 'Edit',
            kind: 'actions',
            cell: (run) =>
              mayEdit && (
                <Button
                  size="xs"
                  variant="default"
                  aria-label={`Edit the schedule of ${run.title}`}
                  onClick={() => setEdited(run)}
                >
                  Edit
                </Button>
              ),
          },
        ]}
      />
      {edited !== null && <ScheduleEditor run={edited} onClose={() => setEdited(null)} />}
    </Section>
  );
}

function Summary({ runId }: { runId: string }) {
  const { data } = useQuery({ queryKey: ['calendar', 'schedule', runId], queryFn: () => api.schedule(runId) });
  return <>{data === undefined ? '…' : summaryOf(data.value.schedule)}</>;
}
