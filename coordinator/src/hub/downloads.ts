/** How often the weights of versions were fetched, by day. Who fetched them is not kept. */

import type { Database } from '../storage/database.js';

const DAY_MS = 24 * 3600_000;

export class Downloads {
  constructor(
    private readonly db: Database,
    private readonly now: () => number,
  ) {}

  async count(version: string): Promise<void> {
    const day = Math.floor(this.now() / DAY_MS);
    await this.db
      .insertInto('version_downloads')
      .values({ version, day, count: 1 })
      .onConflict((conflict) =>
        conflict.columns(['version', 'day']).doUpdateSet((row) => ({ count: row('version_downloads.count', '+', 1) })),
      )
      .execute();
  }

  /** By version; those that were never fetched are missing. */
  async of(versions: readonly string[]): Promise<Map<string, number>> {
    const rows = await this.db
      .selectFrom('version_downloads')
      .select((row) => ['version', row.fn.sum<number>('count').as('count')])
      .where('version', 'in', versions)
      .groupBy('version')
      .execute();
    return new Map(rows.map(({ version, count }) => [version, Number(count)]));
  }

  async ofRepository(repository: string): Promise<number> {
    const row = await this.db
      .selectFrom('version_downloads')
      .innerJoin('versions', 'versions.id', 'version_downloads.version')
      .innerJoin('runs', 'runs.id', 'versions.run_id')
      .select((of) => of.fn.sum<number | null>('version_downloads.count').as('count'))
      .where('runs.repository', '=', repository)
      .executeTakeFirst();
    return Number(row?.count ?? 0);
  }
}
