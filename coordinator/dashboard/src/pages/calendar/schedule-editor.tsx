import { Alert, Button, Chip, Group, Modal, NumberInput, Select, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { keepPreviousData, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState, type ReactNode } from 'react';
import type { RunSchedule, RunView, SchedulePreview, WeeklyWindow } from '@fedlora/shared';
import { api, explain } from '../../api.js';
import { fieldProblemsOf } from '../../blocks/api-form.js';
import { LoadError } from '../../blocks/load-error.js';
import { Refusal } from '../../blocks/refusal.js';
import { ownTimeZone } from './days.js';
import { withPart } from './schedule-draft.js';

interface EditorProps {
  readonly run: RunView;
  readonly onClose: () => void;
}

/** Long enough to type a number, short enough to see what it does. */
const PREVIEW_AFTER_MS = 400;
const days: readonly WeeklyWindow['days'][number][] = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];

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
  const set = <Name extends keyof RunSchedule>(name: Name, value: RunSchedule[Name] | undefined): void =>
    setDraft((before) => withPart(before, name, value));
  const { quorum = {}, retries = {}, stop = {}, weeklyWindows = [], windows = [] } = draft;
  const progress = stop.noProgress;
  const number = (label: string, field: string, value: number | undefined, change: (value?: number) => void) => (
    <NumberInput
      label={label}
      value={value ?? ''}
      error={problems[field]}
      onChange={(typed) => change(typeof typed === 'number' ? typed : undefined)}
    />
  );
  return (
    <form
      className="schedule-form"
      data-testid="schedule-form"
      onSubmit={(event) => {
        event.preventDefault();
        saving.mutate();
      }}
    >
      <fieldset>
        <legend>Times</legend>
        <TextInput
          label="Cron"
          description="Minute, hour, day, month, weekday; empty: rounds follow each other"
          placeholder="0 3 * * mon-fri"
          value={draft.cron ?? ''}
          error={problems.cron}
          data-autofocus
          onChange={({ currentTarget: { value } }) => set('cron', value === '' ? undefined : value)}
        />
        <Select
          label="Time zone"
          description={`Of times and windows; this browser’s is ${ownTimeZone}`}
          data={timeZones}
          value={draft.timeZone ?? 'UTC'}
          error={problems.timeZone}
          searchable
          allowDeselect={false}
          onChange={(zone) => set('timeZone', zone ?? undefined)}
        />
        {number('Start within, minutes (60)', 'startWithinMinutes', draft.startWithinMinutes, (value) =>
          set('startWithinMinutes', value),
        )}
      </fieldset>
      <fieldset>
        <legend>Maintenance windows: no round starts in them</legend>
        {weeklyWindows.map((window, i) => (
          <WindowRow
            key={i}
            name={`weekly window ${i + 1}`}
            kind="time"
            window={window}
            problems={problems}
            path={`weeklyWindows.${i}`}
            onChange={(changed) => set('weeklyWindows', weeklyWindows.with(i, { ...window, ...changed }))}
            onRemove={() => set('weeklyWindows', weeklyWindows.toSpliced(i, 1))}
          >
            <Chip.Group
              multiple
              value={window.days}
              onChange={(chosen) =>
                set(
                  'weeklyWindows',
                  weeklyWindows.with(i, { ...window, days: days.filter((day) => chosen.includes(day)) }),
                )
              }
            >
              <Group gap={4}>
                {days.map((day) => (
                  <Chip key={day} value={day} size="xs">
                    {day}
                  </Chip>
                ))}
              </Group>
            </Chip.Group>
          </WindowRow>
        ))}
        {windows.map((window, i) => (
          <WindowRow
            key={i}
            name={`window ${i + 1}`}
            kind="datetime-local"
            window={window}
            problems={problems}
            path={`windows.${i}`}
            onChange={(changed) => set('windows', windows.with(i, { ...window, ...changed }))}
            onRemove={() => set('windows', windows.toSpliced(i, 1))}
          />
        ))}
        {problems.weeklyWindows !== undefined && <p className="bad">{problems.weeklyWindows}</p>}
        <Group className="schedule-window">
          <Button
            size="xs"
            variant="default"
            onClick={() => set('weeklyWindows', [...weeklyWindows, { days: ['sat'], from: '22:00', until: '04:00' }])}
          >
            Add one for every week
          </Button>
          <Button size="xs" variant="default" onClick={() => set('windows', [...windows, { from: '', until: '' }])}>
            Add one for once
          </Button>
        </Group>
      </fieldset>
      <fieldset>
        <legend>Organisations</legend>
        {number('Beyond the threshold (0)', 'quorum.beyondThreshold', quorum.beyondThreshold, (value) =>
          set('quorum', withPart(quorum, 'beyondThreshold', value)),
        )}
        {number('Wait for all others, seconds', 'quorum.waitSeconds', quorum.waitSeconds, (value) =>
          set('quorum', withPart(quorum, 'waitSeconds', value)),
        )}
      </fieldset>
      <fieldset>
        <legend>After an aborted round</legend>
        {number('Attempts (3)', 'retries.attempts', retries.attempts, (value) =>
          set('retries', withPart(retries, 'attempts', value)),
        )}
        {number('First pause, seconds (30)', 'retries.firstPauseSeconds', retries.firstPauseSeconds, (value) =>
          set('retries', withPart(retries, 'firstPauseSeconds', value)),
        )}
        {number('Longest pause, seconds (600)', 'retries.longestPauseSeconds', retries.longestPauseSeconds, (value) =>
          set('retries', withPart(retries, 'longestPauseSeconds', value)),
        )}
      </fieldset>
      <fieldset>
        <legend>Stop when</legend>
        {number('Rounds are done', 'stop.rounds', stop.rounds, (value) => set('stop', withPart(stop, 'rounds', value)))}
        {number('Held-out loss is at most, nats', 'stop.heldOutLoss', stop.heldOutLoss, (value) =>
          set('stop', withPart(stop, 'heldOutLoss', value)),
        )}
        {number('Exact answers are at least, fraction', 'stop.heldOutAccuracy', stop.heldOutAccuracy, (value) =>
          set('stop', withPart(stop, 'heldOutAccuracy', value)),
        )}
        {number('Epsilon would pass', 'stop.epsilon', stop.epsilon, (value) =>
          set('stop', withPart(stop, 'epsilon', value)),
        )}
        {number('No progress over rounds', 'stop.noProgress', progress?.rounds, (value) =>
          set(
            'stop',
            withPart(stop, 'noProgress', value === undefined ? undefined : { by: 0.01, ...progress, rounds: value }),
          ),
        )}
        {progress !== undefined &&
          number('Progress is, in loss or fraction', 'stop.noProgress.by', progress.by, (value) =>
            set('stop', withPart(stop, 'noProgress', { ...progress, by: value ?? 0 })),
          )}
      </fieldset>
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

interface WindowRowProps {
  readonly name: string;
  readonly kind: 'time' | 'datetime-local';
  readonly window: { readonly from: string; readonly until: string };
  readonly problems: Readonly<Record<string, string>>;
  readonly path: string;
  readonly onChange: (changed: { from?: string; until?: string }) => void;
  readonly onRemove: () => void;
  readonly children?: ReactNode;
}

function WindowRow({ name, kind, window, problems, path, onChange, onRemove, children }: WindowRowProps) {
  return (
    <div className="schedule-window">
      {children}
      {problems[`${path}.days`] !== undefined && <span className="bad">{problems[`${path}.days`]}</span>}
      {(['from', 'until'] as const).map((end) => (
        <TextInput
          key={end}
          type={kind}
          label={end === 'from' ? 'From' : 'Until'}
          aria-label={`${end === 'from' ? 'From' : 'Until'}, ${name}`}
          value={window[end]}
          error={problems[`${path}.${end}`]}
          onChange={({ currentTarget: { value } }) => onChange({ [end]: value })}
        />
      ))}
      <Button size="xs" variant="default" onClick={onRemove} aria-label={`Remove ${name}`}>
        Remove
      </Button>
    </div>
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

const timeZones = ['UTC', ...Intl.supportedValuesOf('timeZone').filter((zone) => zone !== 'UTC')];
