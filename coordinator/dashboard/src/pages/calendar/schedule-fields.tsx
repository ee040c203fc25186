import './schedule-fields.css';
import { Button, Chip, Group, NumberInput, Select, TextInput } from '@mantine/core';
import type { ReactNode } from 'react';
import type { RunSchedule, WeeklyWindow } from '@fedlora/shared';
import { ownTimeZone } from './days.js';
import { withPart } from './schedule-draft.js';

interface ScheduleFieldsProps {
  readonly schedule: RunSchedule;
  /** By path within the schedule. */
  readonly problems: Readonly<Record<string, string>>;
  readonly onChange: (schedule: RunSchedule) => void;
}

const days: readonly WeeklyWindow['days'][number][] = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];

/** All that a schedule has, for a run that goes on or one that is planned. */
export function ScheduleFields({ schedule, problems, onChange }: ScheduleFieldsProps) {
  const set = <Name extends keyof RunSchedule>(name: Name, value: RunSchedule[Name] | undefined): void =>
    onChange(withPart(schedule, name, value));
  const { quorum = {}, retries = {}, stop = {}, weeklyWindows = [], windows = [] } = schedule;
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
    <div className="schedule-fields">
      <fieldset>
        <legend>Times</legend>
        <TextInput
          label="Cron"
          description="Minute, hour, day, month, weekday; empty: rounds follow each other"
          placeholder="0 3 * * mon-fri"
          value={schedule.cron ?? ''}
          error={problems.cron}
          data-autofocus
          onChange={({ currentTarget: { value } }) => set('cron', value === '' ? undefined : value)}
        />
        <Select
          label="Time zone"
          description={`Of times and windows; this browser’s is ${ownTimeZone}`}
          data={timeZones}
          value={schedule.timeZone ?? 'UTC'}
          error={problems.timeZone}
          searchable
          allowDeselect={false}
          onChange={(zone) => set('timeZone', zone ?? undefined)}
        />
        {number('Start within, minutes (60)', 'startWithinMinutes', schedule.startWithinMinutes, (value) =>
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
    </div>
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

const timeZones = ['UTC', ...Intl.supportedValuesOf('timeZone').filter((zone) => zone !== 'UTC')];
