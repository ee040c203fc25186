/**
 * Large messages to many, each its own: a few are on their way at a time, so that memory holds a few of them and not all.
 *
 * A receiver that is slow to take its message keeps its place for a while only: a handful of bad links, or of bad receivers, must not
 * keep all others waiting.
 */

import { setTimeout as wait } from 'node:timers/promises';

/** On their way at a time. */
export const LANES = 32;
/** How long one receiver may keep its place. */
const LONGEST_PLACE_MS = 2_000;

/** `send` resolves when the message has gone. @throws what `send` throws; others that are on their way go on */
export async function inTurn<Receiver>(
  receivers: readonly Receiver[],
  send: (receiver: Receiver) => Promise<void>,
  longestMs = LONGEST_PLACE_MS,
): Promise<void> {
  const left = receivers.values();
  const lane = async (): Promise<void> => {
    for (const receiver of left) {
      const isOver = new AbortController();
      const longest = wait(longestMs, undefined, { signal: isOver.signal, ref: false }).catch(() => undefined);
      try {
        await Promise.race([send(receiver), longest]);
      } finally {
        isOver.abort();
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(LANES, receivers.length) }, lane));
}
