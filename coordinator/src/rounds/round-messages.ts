/** The messages of a round that has not ended, as the database has them. */

import { bytesOf, type StoredBytes } from '@fedlora/protocol';
import type { RequestPhase } from '@fedlora/shared';
import type { NamelessFile } from '../storage/nameless-file.js';

/** A message of a participant. */
export interface FreshMessage {
  readonly participant: number;
  readonly phase: RequestPhase;
  readonly message: Uint8Array;
}

/** Shares are most of what a round keeps of each participant, and are read a few at a time: they are not held in memory. */
const IN_THE_FILE: RequestPhase = 'sharing';

export class RoundMessages {
  private readonly phases: Readonly<Record<RequestPhase, Map<number, StoredBytes>>> = {
    advertising: new Map(),
    revealing: new Map(),
    sharing: new Map(),
    training: new Map(),
    checking: new Map(),
    unmasking: new Map(),
  };

  constructor(private readonly file: NamelessFile) {}

  /**
   * Makes everything ready that keeping these messages needs. They are there once what is returned is called, which cannot fail: the
   * caller stores them in between.
   *
   * @throws Error of the system, as on a full disk
   */
  keep(messages: readonly FreshMessage[]): () => void {
    const ready = messages.map(({ participant, phase, message }) => ({
      participant,
      phase,
      stored: phase === IN_THE_FILE ? this.file.keep(message) : message,
    }));
    return () => ready.forEach(({ participant, phase, stored }) => this.phases[phase].set(participant, stored));
  }

  has(phase: RequestPhase, participant: number): boolean {
    return this.phases[phase].has(participant);
  }

  get(phase: RequestPhase, participant: number): Uint8Array | undefined {
    const stored = this.phases[phase].get(participant);
    return stored === undefined ? undefined : bytesOf(stored);
  }

  /** By participant, in the order of arrival. */
  all(phase: RequestPhase): ReadonlyMap<number, StoredBytes> {
    return this.phases[phase];
  }

  /** Frees what the file takes. Shares cannot be read any more. */
  close(): void {
    this.file.close();
  }
}
