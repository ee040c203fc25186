/** The times of a cron expression in a time zone. */

import { Cron } from 'croner';

const SECOND_MS = 1000;

export interface Occurrences {
  /** The first after an instant; `undefined` if none ever comes. */
  after(instant: number): number | undefined;
  /** The last that is not after an instant. */
  lastUntil(instant: number): number | undefined;
}

/**
 * When clocks go forward, a time of day that does not exist comes at the end of the gap; when they go back, one that comes twice counts
 * the first time. An expression with a wildcard or a step in minutes or hours goes on through both, as cron does.
 *
 * @param cron five fields: minute, hour, day of the month, month, day of the week
 * @throws what croner says is wrong with the expression; see `cronProblem`
 */
export function occurrencesOf(cron: string, timeZone: string): Occurrences {
  const pattern = new Cron(cron, { timezone: timeZone, mode: '5-part', fixedTimeRule: 'no-wildcard', paused: true });
  return {
    after: (instant) => pattern.nextRun(new Date(instant))?.getTime(),
    // Croner counts in seconds: what it finds before the next one may be a little too late.
    lastUntil: (instant) =>
      pattern
        .previousRuns(2, new Date(instant + SECOND_MS))
        .map((date) => date.getTime())
        .find((at) => at <= instant),
  };
}

/** Why an expression cannot be used, in words that follow its name; `undefined` if it can. */
export function cronProblem(cron: string, timeZone: string, now: number): string | undefined {
  // Croner also takes dates and nicknames, which would say less than five fields do.
  if (cron.trim().split(/\s+/).length !== 5)
    return 'must have five fields: minute, hour, day of the month, month, day of the week.';
  try {
    return occurrencesOf(cron, timeZone).after(now) === undefined ? 'names a day that never comes.' : undefined;
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    return `cannot be read: ${said.replace(/^\w+: /, '').replace(/\.?$/, '.')}`;
  }
}

/** The instant of a local date and time, such as `2026-12-24T18:00`; in a gap, as long after its beginning as the clock would say. */
export function instantOf(local: string, timeZone: string): number | undefined {
  return new Cron(`${local}:00`, { timezone: timeZone, paused: true }).nextRun(new Date(0))?.getTime();
}

export function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false; // It says so of names it does not know, and of nothing else.
  }
}
