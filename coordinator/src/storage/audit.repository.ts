/** What operators did and what was refused, append-only. */

import type { Database } from './database.js';

export class AuditRepository {
  constructor(
    private readonly db: Database,
    private readonly now: () => number,
  ) {}

  /** Records an event. `details` holds plain values, never secrets. */
  async record(event: string, details: Readonly<Record<string, string | number | boolean | null>>): Promise<void> {
    await this.db
      .insertInto('audit')
      .values({ at: this.now(), event, details: JSON.stringify(details) })
      .execute();
  }
}
