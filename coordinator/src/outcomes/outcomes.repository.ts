/** Declared metrics and reported sums in the database: one row an hour for each metric of a version. Who reported is not kept. */

import type { Transaction } from 'kysely';
import type { OutcomeKind, OutcomeMetric } from '@fedlora/shared';
import type { Database, Tables } from '../storage/database.js';
import type { Sums } from './statistics.js';

/** Sums of one hour, counted since 1970. */
export interface HourlySums extends Sums {
  readonly metric: string;
  readonly hour: number;
}

export class OutcomesRepository {
  constructor(private readonly db: Database) {}

  /** Every metric that was ever declared, by name; `isOpen`: it still may be reported. */
  async metrics(repository: string): Promise<(OutcomeMetric & { readonly isOpen: boolean })[]> {
    const rows = await this.db
      .selectFrom('outcome_metrics')
      .selectAll()
      .where('repository', '=', repository)
      .orderBy('name')
      .execute();
    return rows.map(({ name, kind, minimum, maximum, is_open: isOpen }) => {
      // Safe: only `declare` writes it.
      return { name, kind: kind as OutcomeKind, minimum, maximum, isOpen: isOpen === 1 };
    });
  }

  /** Makes these the ones that may be reported; what was reported of others stays. */
  async declare(repository: string, metrics: readonly OutcomeMetric[], trx: Transaction<Tables>): Promise<void> {
    await trx.updateTable('outcome_metrics').set({ is_open: 0 }).where('repository', '=', repository).execute();
    for (const { name, kind, minimum, maximum } of metrics)
      await trx
        .insertInto('outcome_metrics')
        .values({ repository, name, kind, minimum, maximum, is_open: 1 })
        .onConflict((conflict) => conflict.columns(['repository', 'name']).doUpdateSet({ is_open: 1 }))
        .execute();
  }

  /** Adds to an hour: all of it or nothing. */
  async add(version: string, sums: readonly HourlySums[]): Promise<void> {
    await this.db.transaction().execute(async (trx) => {
      for (const { metric, hour, count, sum, squares } of sums)
        await trx
          .insertInto('version_outcomes')
          .values({ version, metric, hour, count, sum, squares })
          .onConflict((conflict) =>
            conflict.columns(['version', 'metric', 'hour']).doUpdateSet((row) => ({
              count: row('version_outcomes.count', '+', count),
              sum: row('version_outcomes.sum', '+', sum),
              squares: row('version_outcomes.squares', '+', squares),
            })),
          )
          .execute();
    });
  }

  /** By hour. */
  async of(version: string): Promise<HourlySums[]> {
    return this.db
      .selectFrom('version_outcomes')
      .select(['metric', 'hour', 'count', 'sum', 'squares'])
      .where('version', '=', version)
      .orderBy('hour')
      .execute();
  }
}
