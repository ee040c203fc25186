/** The present time as React state, on the coordinator's clock, which is read from the `Date` of its answers. */

import { useEffect, useState } from 'react';

/**
 * Between what the coordinator's clock minus ours lies, milliseconds. Answers carry whole seconds; each narrows this down, so that
 * a few give it to a fraction of a second.
 */
let offset = { least: -Infinity, most: Infinity };

/** `date`: of an answer, that was asked for and came at these times of ours. */
export function noteServerDate(date: string | null, askedAt: number, answeredAt: number): void {
  const at = Date.parse(date ?? '');
  if (Number.isNaN(at)) return;
  const said = { least: at - answeredAt, most: at + 1_000 - askedAt };
  const both = { least: Math.max(offset.least, said.least), most: Math.min(offset.most, said.most) };
  // They contradict each other after a clock was set.
  offset = both.least <= both.most ? both : said;
}

/** Coordinator's clock minus ours, milliseconds. */
export function serverOffset(): number {
  const { least, most } = offset;
  return Number.isFinite(least) ? (least + most) / 2 : 0;
}

export function serverNow(): number {
  return Date.now() + serverOffset();
}

export function useServerNow(everyMs = 1_000): number {
  const [now, setNow] = useState(serverNow);
  useEffect(() => {
    const timer = window.setInterval(() => setNow(serverNow()), everyMs);
    return () => window.clearInterval(timer);
  }, [everyMs]);
  return now;
}
