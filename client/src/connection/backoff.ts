/** How long to wait before trying again: longer each time, and never all clients at once. */

import { setTimeout as wait } from 'node:timers/promises';

export interface BackoffOptions {
  readonly firstMs?: number;
  readonly mostMs?: number;
}

/** Delays that double from `firstMs` to `mostMs`, each cut by a random half. The randomness spreads load; nothing private rests on it. */
export class Backoff {
  private attempts = 0;

  constructor(private readonly options: BackoffOptions = {}) {}

  /** Delay before the next attempt, in milliseconds. */
  nextMs(): number {
    const { firstMs = 200, mostMs = 30_000 } = this.options;
    const longest = Math.min(mostMs, firstMs * 2 ** Math.min(this.attempts, 30));
    this.attempts += 1;
    return longest * (0.5 + Math.random() / 2);
  }

  /** Waits for the next delay. Rejects with the signal's reason when it is aborted. */
  async wait(signal?: AbortSignal): Promise<void> {
    await wait(this.nextMs(), undefined, signal === undefined ? {} : { signal }).catch((error: unknown) => {
      // The timer rejects with an error of its own.
      signal?.throwIfAborted();
      throw error;
    });
  }

  reset(): void {
    this.attempts = 0;
  }
}
