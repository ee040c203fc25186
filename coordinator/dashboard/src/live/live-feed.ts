/** Events of the live connection, each with a value that is always whole. */

import type { LiveEvents } from '@fedlora/shared';

export type LiveEvent = {
  [Name in keyof LiveEvents]: { readonly name: Name; readonly value: Parameters<LiveEvents[Name]>[0] };
}[keyof LiveEvents];

/** More than arrive while an answer is awaited. */
const MOST_REMEMBERED = 500;

/** Tells listeners, and remembers for a while: an answer that was asked for before an event may be older than it. */
export class LiveFeed {
  private readonly listeners = new Set<(event: LiveEvent) => void>();
  private readonly remembered: LiveEvent[] = [];
  private told = 0;

  tell(event: LiveEvent): void {
    this.told += 1;
    this.remembered.push(event);
    if (this.remembered.length > MOST_REMEMBERED) this.remembered.shift();
    for (const listener of this.listeners) listener(event);
  }

  /** Returns what ends it. */
  listen(listener: (event: LiveEvent) => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  /** The present moment, for `since`. */
  mark(): number {
    return this.told;
  }

  since(mark: number): readonly LiveEvent[] {
    const count = this.told - mark;
    return count === 0 ? [] : this.remembered.slice(-count);
  }
}
