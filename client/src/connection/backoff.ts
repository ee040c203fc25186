/** How long to wait before trying again: longer each time, and never all clients at once. */

import { setTimeout as wait } from 'node:timers/promises';
import { FedloraError } from '@fedlora/shared';

export interface BackoffOptions {
  readonly firstMs?: number;
  readonly mostMs?: number;
}

/** However long a coordinator asks for, it is asked again after so long: it may have been wrong. */
const LONGEST_ASKED_MS = 600_000;

/** Delays that double from `firstMs` to `mostMs`, each cut by a random half. The randomness spreads load; nothing private rests on it. */
export class Backoff {
  private attempts = 0;

  constructor(private readonly options: BackoffOptions = {}) {}

  /**
   * Delay before the next attempt, in milliseconds. Where the coordinator said when to come again (`after`, what it refused with), no
   * less than that, and up to half of it more: it said the same to all the others.
   */
  nextMs(after?: unknown): number {
    const { firstMs = 200, mostMs = 30_000 } = this.options;
    const longest = Math.min(mostMs, firstMs * 2 ** Math.min(this.attempts, 30));
    this.attempts += 1;
    const own = longest * (0.5 + Math.random() / 2);
    return Math.max(own, askedMs(after) * (1 + Math.random() / 2));
  }

  /** Waits for the next delay. Rejects with the signal's reason when it is aborted. */
  async wait(signal?: AbortSignal, after?: unknown): Promise<void> {
    await wait(this.nextMs(after), undefined, signal === undefined ? {} : { signal }).catch((error: unknown) => {
      // The timer rejects with an error of its own.
      signal?.throwIfAborted();
      throw error;
    });
  }

  reset(): void {
    this.attempts = 0;
  }
}

/** What an error says of when to come again; 0 if nothing. */
function askedMs(error: unknown): number {
  const ms = error instanceof FedloraError ? error.details.retryAfterMs : undefined;
  return typeof ms === 'number' ? Math.min(LONGEST_ASKED_MS, Math.max(0, ms)) : 0;
}
