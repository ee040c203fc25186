import type { CalendarRound, CalendarView } from '@fedlora/shared';
import { useServerNow } from '../../clock.js';
import { formatDuration } from '../../format.js';
import { timeOfDay, type Day, type View } from './days.js';

interface GridProps {
  readonly view: View;
  readonly days: readonly Day[];
  readonly calendar: CalendarView;
  readonly onShowWeek: (at: number) => void;
}

/** Of a day in the month; the week shows all. */
const MOST_OF_DAY = 4;

/** One cell for each day: what happened in it, what is planned, and when no round starts. */
export function CalendarGrid({ view, days, calendar, onShowWeek }: GridProps) {
  const now = useServerNow(30_000);
  return (
    <ol className={`calendar calendar-${view}`} data-testid="calendar-days">
      {days.map((day) => (
        <DayCell key={day.from} {...{ day, view, calendar, now, onShowWeek }} />
      ))}
    </ol>
  );
}

function DayCell({
  day,
  view,
  calendar,
  now,
  onShowWeek,
}: Omit<GridProps, 'days'> & { readonly day: Day; readonly now: number }) {
  const entries = entriesOf(day, calendar, now);
  const windows = calendar.windows.filter(({ from, until }) => from < day.to && until > day.from);
  const shown = view === 'week' ? entries : entries.slice(0, MOST_OF_DAY);
  const date = new Date(day.from);
  const isToday = now >= day.from && now < day.to;
  const kinds = [
    'calendar-day',
    !day.isInMonth && 'calendar-other',
    entries.length + windows.length === 0 && 'calendar-empty',
  ];
  return (
    <li className={kinds.filter(Boolean).join(' ')} aria-current={isToday ? 'date' : undefined}>
      <h3>
        <span className="calendar-weekday">{date.toLocaleDateString('en', { weekday: 'short' })} </span>
        {date.toLocaleDateString('en', { day: 'numeric', month: 'short' })}
        {isToday && <span className="faint"> today</span>}
      </h3>
      <DayStrip day={day} windows={windows} />
      <ul>
        {windows.map(({ runId, from, until }) => (
          <li key={`${runId}${from}`} className="calendar-window">
            {from <= day.from ? 'until' : `${timeOfDay(from)} to`} {until > day.to ? 'the next day' : timeOfDay(until)}:
            no round of {titleOf(runId, calendar)} starts
          </li>
        ))}
        {shown.map((entry) => (
          <li key={entry.key} className={`calendar-entry calendar-${entry.kind}`} title={entry.more}>
            <strong>{timeOfDay(entry.at)}</strong> {entry.text}
          </li>
        ))}
      </ul>
      {entries.length > shown.length && (
        <button type="button" className="calendar-more" onClick={() => onShowWeek(day.from)}>
          {entries.length - shown.length} more
        </button>
      )}
    </li>
  );
}

/** A day from midnight to midnight, shaded where no round starts. */
function DayStrip({ day, windows }: { day: Day; windows: CalendarView['windows'] }) {
  const share = (at: number): number =>
    (100 * (Math.min(Math.max(at, day.from), day.to) - day.from)) / (day.to - day.from);
  return (
    <div className="calendar-strip" aria-hidden="true">
      {windows.map(({ runId, from, until }) => (
        <span key={`${runId}${from}`} style={{ left: `${share(from)}%`, width: `${share(until) - share(from)}%` }} />
      ))}
    </div>
  );
}

interface Entry {
  readonly key: string;
  readonly at: number;
  readonly kind: 'done' | 'aborted' | 'open' | 'planned' | 'left-out';
  readonly text: string;
  /** On hover. */
  readonly more?: string;
}

function entriesOf(day: Day, calendar: CalendarView, now: number): Entry[] {
  const isIn = (at: number): boolean => at >= day.from && at < day.to;
  const rounds = calendar.rounds
    .filter(({ startedAt }) => isIn(startedAt))
    .map((one) => roundEntry(one, calendar, now));
  const planned = calendar.planned
    .filter(({ at }) => isIn(at))
    .map(({ runId, at, startsAt }): Entry => {
      const title = titleOf(runId, calendar);
      const key = `${runId} ${at}`;
      if (startsAt === null)
        return {
          key,
          at,
          kind: 'left-out',
          text: `${title}: left out`,
          more: 'A maintenance window keeps it for too long.',
        };
      const delay = startsAt === at ? '' : `, starts at ${timeOfDay(startsAt)}`;
      return { key, at, kind: 'planned', text: `${title}: planned${delay}` };
    });
  return [...rounds, ...planned].toSorted((a, b) => a.at - b.at);
}

function roundEntry(round: CalendarRound, calendar: CalendarView, now: number): Entry {
  const { id, runId, number, phase, cause, startedAt, endedAt, scheduledFor } = round;
  const lasted = formatDuration((endedAt ?? now) - startedAt);
  const outcome = phase === 'done' || phase === 'aborted' ? `${phase} after ${lasted}` : `goes on since ${lasted}`;
  const due = scheduledFor === null ? [] : [`Due at ${timeOfDay(scheduledFor)}.`];
  return {
    key: id,
    at: startedAt,
    kind: phase === 'done' || phase === 'aborted' ? phase : 'open',
    text: `${titleOf(runId, calendar)}, round ${number}: ${outcome}`,
    more: [...due, ...(cause === null ? [] : [cause])].join(' '),
  };
}

function titleOf(runId: string, { runs }: CalendarView): string {
  return runs.find(({ id }) => id === runId)?.title ?? runId;
}
