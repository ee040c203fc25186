/**
 * What wrong tries cost: after five in a row a name is locked, for a minute at first and twice as long each time, up to an hour.
 *
 * Kept for any name that was tried, whether a user has it or not, and on disk, so that a restart opens nothing.
 */

import type { Database } from '../storage/database.js';

const FREE_FAILURES = 5;
const FIRST_LOCK_MS = 60_000;
const LONGEST_LOCK_MS = 3600_000;
/** Failures this old no longer count. */
const FORGET_MS = 24 * 3600_000;

export class Lockout {
  constructor(
    private readonly db: Database,
    private readonly now: () => number,
  ) {}

  /** How long a name is still locked, in milliseconds; 0 if it is not. */
  async lockedFor(name: string): Promise<number> {
    const row = await this.db
      .selectFrom('sign_in_failures')
      .select('locked_until')
      .where('name', '=', name)
      .executeTakeFirst();
    return Math.max(0, (row?.locked_until ?? 0) - this.now());
  }

  /** Counts a failure. Returns how many there were in a row. */
  async failed(name: string): Promise<number> {
    const now = this.now();
    return this.db.transaction().execute(async (trx) => {
      await trx
        .deleteFrom('sign_in_failures')
        .where('last_at', '<', now - FORGET_MS)
        .execute();
      const row = await trx
        .selectFrom('sign_in_failures')
        .select('failures')
        .where('name', '=', name)
        .executeTakeFirst();
      const failures = (row?.failures ?? 0) + 1;
      const lock = failures < FREE_FAILURES ? 0 : FIRST_LOCK_MS * 2 ** Math.min(failures - FREE_FAILURES, 10);
      const entry = { failures, last_at: now, locked_until: now + Math.min(lock, LONGEST_LOCK_MS) };
      await trx
        .insertInto('sign_in_failures')
        .values({ name, ...entry })
        .onConflict((conflict) => conflict.column('name').doUpdateSet(entry))
        .execute();
      return failures;
    });
  }

  async forget(name: string): Promise<void> {
    await this.db.deleteFrom('sign_in_failures').where('name', '=', name).execute();
  }
}
