/** The hours in which an owner lets rounds begin: windows of the week in a time zone. */

import type { Kind } from './settings.js';

const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'] as const;
const MINUTES_OF_DAY = 24 * 60;
const WINDOW = /^(daily|[A-Z][a-z]{2}(?:[-,][A-Z][a-z]{2})*) (\d\d):(\d\d)-(\d\d):(\d\d)$/;

/** One window. It ends on the next day where `to` is not after `from`. */
interface Window {
  /** Days on which it begins, 0 for Sunday. */
  readonly days: ReadonlySet<number>;
  /** Minutes since midnight; `to` excluded. */
  readonly from: number;
  readonly to: number;
}

/** Open in any of the windows; always, if there is none. */
export interface Hours {
  readonly windows: readonly string[];
  /** IANA name; `undefined`: that of this machine. */
  readonly timeZone: string | undefined;
}

/** `Mon-Fri 20:00-06:00`, `Sat,Sun 00:00-24:00`, `daily 19:30-07:00`. */
export const windowsKind: Kind<readonly string[]> = {
  expected: 'a list of windows such as "Mon-Fri 20:00-06:00", "Sat,Sun 00:00-24:00" or "daily 19:30-07:00"',
  schema: { type: 'array', items: { type: 'string', pattern: WINDOW.source } },
  read: (input) =>
    Array.isArray(input) && input.every((item) => typeof item === 'string' && parseWindow(item) !== undefined)
      ? (input as string[])
      : undefined,
};

export const timeZoneKind: Kind<string> = {
  expected: 'the name of a time zone such as "Europe/Madrid"',
  schema: { type: 'string', minLength: 1 },
  read: (input) => {
    if (typeof input !== 'string' || input === '') return undefined;
    try {
      new Intl.DateTimeFormat('en-GB', { timeZone: input });
      return input;
    } catch {
      return undefined;
    }
  },
};

/** Whether a round may begin at `at`, Unix milliseconds. */
export function isOpenAt({ windows, timeZone }: Hours, at: number): boolean {
  if (windows.length === 0) return true;
  const { day, minute } = localTime(at, timeZone);
  const before = (day + 6) % 7;
  return windows.some((text) => {
    const window = parseWindow(text);
    if (window === undefined) return false; // never: they were read by `windowsKind`
    const { days, from, to } = window;
    if (from < to) return days.has(day) && minute >= from && minute < to;
    return (days.has(day) && minute >= from) || (days.has(before) && minute < to);
  });
}

function parseWindow(text: string): Window | undefined {
  const match = WINDOW.exec(text);
  if (match === null) return undefined;
  const days = daysOf(match[1]);
  const [fromHour, fromMinute, toHour, toMinute] = match.slice(2).map(Number);
  const from = 60 * fromHour + fromMinute;
  const to = 60 * toHour + toMinute;
  const isTime = fromMinute < 60 && toMinute < 60 && from < MINUTES_OF_DAY && to <= MINUTES_OF_DAY && from !== to;
  return days === undefined || !isTime ? undefined : { days, from, to };
}

/** `Mon-Fri` and `Fri-Mon` alike go forward through the week. */
function daysOf(text: string): ReadonlySet<number> | undefined {
  if (text === 'daily') return new Set(DAYS.keys());
  const days = new Set<number>();
  for (const part of text.split(',')) {
    const ends = part.split('-').map((name) => DAYS.indexOf(name as (typeof DAYS)[number]));
    if (ends.length > 2 || ends.includes(-1)) return undefined;
    const [first, last = first] = ends;
    for (let day = first; ; day = (day + 1) % 7) {
      days.add(day);
      if (day === last) break;
    }
  }
  return days;
}

function localTime(at: number, timeZone: string | undefined): { readonly day: number; readonly minute: number } {
  const parts = new Intl.DateTimeFormat('en-GB', {
    timeZone,
    weekday: 'short',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  }).formatToParts(at);
  const part = (type: string): string => parts.find((one) => one.type === type)?.value ?? '';
  return {
    day: DAYS.indexOf(part('weekday') as (typeof DAYS)[number]),
    minute: 60 * Number(part('hour')) + Number(part('minute')),
  };
}
