/**
 * Who drives the rounds: one coordinator at a time, of several on one PostgreSQL database.
 *
 * Guarantee  Whatever changes rounds or runs asks `expectHeld` in the same transaction. Transactions come one after the other and each
 *            holder has a higher number than all before it, so a holder that was asleep while another took over changes nothing more.
 */

import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { FedloraError } from '@fedlora/shared';
import type { AnyDatabase } from './sql-differences.js';
import type { Database } from './database.js';

export interface Lease {
  /** @throws FedloraError coordinator/standing-by: another coordinator holds it */
  expectHeld(trx: AnyDatabase): Promise<void>;
}

/** Who holds it. */
export interface Holder {
  /** Higher than that of every holder before. */
  readonly token: number;
  /** At which other coordinators reach it; `undefined` if it named none. */
  readonly peerUrl: string | undefined;
}

/** How often whoever stands by looks whether the lease is free. */
export const LOOK_MS = 2000;

/** Ask again when somebody may have taken over. */
export function standingBy(summary?: string): FedloraError {
  return new FedloraError('coordinator/standing-by', summary, { details: { retryAfterMs: LOOK_MS } });
}

/** Of the embedded database, whose file one process has to itself. */
export const alwaysHeld: Lease = { expectHeld: () => Promise.resolve() };

const NAME = 'driver';
/** How long nobody drives after a holder has died without a word. */
export const LEASE_MS = 15_000;

/** Times are the database's, so clocks of machines may differ. */
export class DriverLease implements Lease {
  /** Its address. One column for both, so that no holder of a version that knows no addresses leaves another's in its row. */
  private readonly holder: string;
  /** Grows with every holder; `undefined` while this is none. */
  private token: number | undefined;
  /** Who else held it when it was last asked for. */
  private other: Holder | undefined;

  constructor(
    private readonly db: Database,
    readonly lengthMs = LEASE_MS,
    peerUrl?: string,
  ) {
    this.holder = peerUrl ?? randomUUID();
  }

  /** Takes it if nobody has it, or whoever has it has let it run out. */
  async tryTake(): Promise<boolean> {
    const token = await this.db.transaction().execute(async (trx) => {
      const last = await trx
        .selectFrom('leases')
        .select(['token', 'holder', (is) => is('expires_at', '>', this.clock).as('is_held')])
        .where('name', '=', NAME)
        .executeTakeFirst();
      this.other = last !== undefined && Boolean(last.is_held) ? holderOf(last) : undefined;
      if (this.other !== undefined) return undefined;
      const taken = { holder: this.holder, token: (last?.token ?? 0) + 1, expires_at: this.end };
      await trx
        .insertInto('leases')
        .values({ name: NAME, ...taken })
        .onConflict((conflict) => conflict.column('name').doUpdateSet(taken))
        .execute();
      return taken.token;
    });
    this.token = token;
    return token !== undefined;
  }

  /** Whoever else held it when `tryTake` last failed. */
  get heldBy(): Holder | undefined {
    return this.other;
  }

  /** Holds it for longer. `false`: another has it. One that ran out while nobody else wanted it is still held. */
  async renew(): Promise<boolean> {
    const { numUpdatedRows } = await this.mine({ expires_at: this.end });
    return numUpdatedRows === 1n;
  }

  /** Lets another take it at once. */
  async giveBack(): Promise<void> {
    if (this.token !== undefined) await this.mine({ expires_at: 0 });
    this.token = undefined;
  }

  async expectHeld(trx: AnyDatabase): Promise<void> {
    const { rows } = await sql<{ token: number }>`SELECT token FROM leases WHERE name = ${NAME}`.execute(trx);
    if (this.token === undefined || rows.at(0)?.token !== this.token)
      throw standingBy('Another coordinator drives the rounds now.');
  }

  private mine(change: { readonly expires_at: ReturnType<DriverLease['clockAfter']> | number }) {
    return this.db
      .updateTable('leases')
      .set(change)
      .where('name', '=', NAME)
      .where('token', '=', this.token ?? 0)
      .executeTakeFirst();
  }

  private get clock() {
    return this.clockAfter(0);
  }

  private get end() {
    return this.clockAfter(this.lengthMs);
  }

  private clockAfter(ms: number) {
    return sql<number>`(${this.db.differences.clock} + ${ms})`;
  }
}

function holderOf({ token, holder }: { readonly token: number; readonly holder: string }): Holder {
  return { token: Number(token), peerUrl: URL.canParse(holder) ? holder : undefined };
}
