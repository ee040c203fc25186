/**
 * Costly work that a thousand clients may ask for at the same moment, as after a restart: some of it goes on at once, some waits its
 * turn, in order, and whoever comes beyond that is told when to come again. So memory is bounded, and nobody's request fails for the
 * number of others.
 */

import { FedloraError } from '@fedlora/shared';
import { AtMost } from '../storage/at-most.js';

export interface AdmissionBounds {
  readonly atOnce: number;
  /** Beyond those. */
  readonly waiting: number;
  /** Of one asker, going on or waiting: nobody fills the places of the others. */
  readonly ofEach: number;
  /** When to come again, in milliseconds. Clients add a random part, so that they do not come together. */
  readonly retryAfterMs: number;
}

/** What is admitted so: by kind. */
export interface AdmissionsBounds {
  /** Pieces of contributions, each with a buffer of a connection. */
  readonly uploads: AdmissionBounds;
  /** Sign-ins whose signature is good. Each is a commit of the database. */
  readonly signIns: AdmissionBounds;
  /** Hellos on sockets. Each is a commit, and a look at the open rounds. */
  readonly hellos: AdmissionBounds;
}

/**
 * An upload takes as long as its sender's line, so many go on at once: 128 at 50 kB/s take 50 Mbit/s. A connection that waits holds
 * some 100 KiB of its piece. A session and a hello take a commit, and there are at most two for each organisation that is enrolled.
 */
export const DEFAULT_ADMISSIONS: AdmissionsBounds = {
  uploads: { atOnce: 128, waiting: 128, ofEach: 2, retryAfterMs: 2_000 },
  signIns: { atOnce: 16, waiting: 4_000, ofEach: 2, retryAfterMs: 2_000 },
  hellos: { atOnce: 16, waiting: 4_000, ofEach: 2, retryAfterMs: 2_000 },
};

export class Admission {
  private readonly turns: AtMost;
  private readonly held = new Map<string, number>();
  private inside = 0;

  constructor(private readonly bounds: AdmissionBounds) {
    this.turns = new AtMost(bounds.atOnce);
  }

  /** Does the work when it is its turn. @throws FedloraError coordinator/busy: `details.retryAfterMs`; and what the work throws */
  async take<Result>(who: string, work: () => Promise<Result>): Promise<Result> {
    const { atOnce, waiting, ofEach, retryAfterMs } = this.bounds;
    const held = this.held.get(who) ?? 0;
    if (held >= ofEach || this.inside >= atOnce + waiting)
      throw new FedloraError('coordinator/busy', undefined, { details: { retryAfterMs } });
    this.inside += 1;
    this.held.set(who, held + 1);
    try {
      return await this.turns.take(work);
    } finally {
      this.inside -= 1;
      const left = (this.held.get(who) ?? 1) - 1;
      if (left === 0) this.held.delete(who);
      else this.held.set(who, left);
    }
  }
}

/** One of each kind, for the whole coordinator. */
export class Admissions {
  readonly uploads: Admission;
  readonly signIns: Admission;
  readonly hellos: Admission;

  constructor(bounds: AdmissionsBounds = DEFAULT_ADMISSIONS) {
    this.uploads = new Admission(bounds.uploads);
    this.signIns = new Admission(bounds.signIns);
    this.hellos = new Admission(bounds.hellos);
  }
}
