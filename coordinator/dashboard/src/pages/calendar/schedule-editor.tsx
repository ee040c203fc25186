import { Alert, Button, Group, Modal } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { keepPreviousData, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import type { RunSchedule, RunView, SchedulePreview } from '@fedlora/shared';
import { api, explain } from '../../api.js';
import { fieldProblemsOf } from '../../blocks/api-form.js';
import { LoadError } from '../../blocks/load-error.js';
import { Refusal } from '../../blocks/refusal.js';
import { ownTimeZone } from './days.js';
import { ScheduleFields } from './schedule-fields.js';

interface EditorProps {
  readonly run: RunView;
  readonly onClose: () => void;
}

/** Long enough to type a number, short enough to see what it does. */
const PREVIEW_AFTER_MS = 400;

/** The schedule of a run in a dialog. What is wrong and what comes next is the coordinator's word, asked for while it is typed. */
export function ScheduleEditor({ run, onClose }: EditorProps) {
  const query = useQuery({
    // Not under the key of the calendar, which is asked again at every change.
    queryKey: ['schedule being edited', run.id],
    queryFn: () => api.schedule(run.id),
    gcTime: 0,
    // What was looked at: a change by somebody else is refused, and not overwritten.
    staleTime: Infinity,
    refetchOnWindowFocus: false,
  });
  return (
    <Modal
      opened
      onClose={onClose}
      title={`Schedule of ${run.title}`}
      size="xl"
      closeOnClickOutside={false}
      closeButtonProps={{ 'aria-label': 'Close' }}
    >
      {query.data === undefined && query.error !== null && (
        <LoadError error={query.error} isTrying={query.isFetching} onRetry={() => void query.refetch()} />
      )}
      {query.data !== undefined && (
        <Form runId={run.id} first={query.data.value.schedule ?? {}} tag={query.data.tag} onClose={onClose} />
      )}
    </Modal>
  );
}

interface FormProps {
  readonly runId: string;
  readonly first: RunSchedule;
  readonly tag: string | undefined;
  readonly onClose: () => void;
}

function Form({ runId, first, tag, onClose }: FormProps) {
  const [draft, setDraft] = useState(first);
  const client = useQueryClient();
  const [settled] = useDebouncedValue(draft, PREVIEW_AFTER_MS);
  const preview = useQuery({
    queryKey: ['schedule preview', runId, settled],
    queryFn: () => api.previewSchedule(runId, settled),
    placeholderData: keepPreviousData,
    retry: false,
  });
  const saving = useMutation({
    mutationFn: () => api.setSchedule(runId, draft, tag === undefined ? {} : { ifMatch: tag }),
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: ['calendar'] });
      onClose();
    },
  });
  const problems = problemsOf(preview.error, preview.data);
  return (
    <form
      className="schedule-form"
      data-testid="schedule-form"
      onSubmit={(event) => {
        event.preventDefault();
        saving.mutate();
      }}
    >
      <ScheduleFields schedule={draft} problems={problems} onChange={setDraft} />
      <Next
        preview={preview.data}
        error={preview.error}
        timeZone={draft.timeZone ?? 'UTC'}
        hasTimes={draft.cron !== undefined}
      />
      <Refusal error={saving.error} title="Nothing was changed" />
      <Group justify="flex-end">
        <Button variant="default" onClick={onClose}>
          Cancel
        </Button>
        <Button type="submit" loading={saving.isPending}>
          Save the schedule
        </Button>
      </Group>
    </form>
  );
}

interface NextProps {
  readonly preview: SchedulePreview | undefined;
  readonly error: Error | null;
  readonly timeZone: string;
  readonly hasTimes: boolean;
}

/** The next times as the coordinator reckons them, in both zones. */
function Next({ preview, error, timeZone, hasTimes }: NextProps) {
  if (error !== null || (preview?.problems.length ?? 0) > 0)
    return (
      <Alert color="yellow" title="This schedule would be refused" data-testid="schedule-problems">
        {error === null ? 'What is wrong stands next to the fields.' : explain(error)}
      </Alert>
    );
  if (!hasTimes || preview === undefined) return null;
  const format = (at: number, zone: string): string =>
    new Date(at).toLocaleString('en-GB', {
      timeZone: zone,
      weekday: 'short',
      day: 'numeric',
      month: 'short',
      hour: '2-digit',
      minute: '2-digit',
    });
  return (
    <section aria-label="Next times" data-testid="schedule-next">
      <strong>Next times</strong>
      <ol className="schedule-next">
        {preview.next.map(({ at, startsAt }) => (
          <li key={at}>
            {format(at, timeZone)} ({timeZone}){timeZone !== ownTimeZone && `, here ${format(at, ownTimeZone)}`}
            {startsAt === null && ': left out, a maintenance window lasts too long'}
            {startsAt !== null &&
              startsAt !== at &&
              `: starts at ${format(startsAt, timeZone)}, after a maintenance window`}
          </li>
        ))}
      </ol>
    </section>
  );
}

/** By field. */
function problemsOf(error: Error | null, preview: SchedulePreview | undefined): Readonly<Record<string, string>> {
  if (error !== null) return fieldProblemsOf(error);
  return Object.fromEntries(
    (preview?.problems ?? []).map(({ field, message, remedy }) => [field ?? '', `${message} ${remedy}`]),
  );
}
