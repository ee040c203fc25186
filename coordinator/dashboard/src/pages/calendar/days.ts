/** The days that a view of the calendar shows, in the zone of this browser; a day may have 23 or 25 hours. */

export type View = 'month' | 'week';

export interface Day {
  /** Unix milliseconds, from inclusive to exclusive. */
  readonly from: number;
  readonly to: number;
  /** False for the days of other months that fill the weeks of a month. */
  readonly isInMonth: boolean;
}

/** Whole weeks from Monday on around an instant. */
export function daysOf(view: View, around: number): Day[] {
  const date = new Date(around);
  const [year, month] = [date.getFullYear(), date.getMonth()];
  const first = view === 'month' ? new Date(year, month, 1) : new Date(year, month, date.getDate());
  const monday = first.getDate() - ((first.getDay() + 6) % 7);
  const last = view === 'month' ? new Date(year, month + 1, 0).getDate() : monday + 6;
  const days: Day[] = [];
  for (let day = monday; day <= last || days.length % 7 !== 0; day += 1) {
    const from = new Date(year, month, day);
    days.push({
      from: from.getTime(),
      to: new Date(year, month, day + 1).getTime(),
      isInMonth: view === 'week' || from.getMonth() === month,
    });
  }
  return days;
}

/** An instant in the next view (`by` 1) or the one before (-1). */
export function step(view: View, around: number, by: number): number {
  const date = new Date(around);
  return view === 'month'
    ? new Date(date.getFullYear(), date.getMonth() + by, 1).getTime()
    : new Date(date.getFullYear(), date.getMonth(), date.getDate() + 7 * by).getTime();
}

export function titleOf(view: View, days: readonly Day[]): string {
  if (view === 'month') {
    const inMonth = days.find((day) => day.isInMonth) ?? days[0];
    return new Date(inMonth.from).toLocaleDateString('en', { month: 'long', year: 'numeric' });
  }
  const format = new Intl.DateTimeFormat('en', { day: 'numeric', month: 'short', year: 'numeric' });
  return format.formatRange(days[0].from, days[days.length - 1].from);
}

export function timeOfDay(at: number): string {
  return new Date(at).toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' });
}

export const ownTimeZone = new Intl.DateTimeFormat().resolvedOptions().timeZone;
