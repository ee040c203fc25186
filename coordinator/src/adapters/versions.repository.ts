/** Adapter versions in the database: lineage. Their files are in `version-store.ts`. */

import type { Transaction } from 'kysely';
import type { VersionRecord, VersionView } from '@fedlora/shared';
import type { Database, Tables, VersionsTable } from '../storage/database.js';

export class VersionsRepository {
  constructor(private readonly db: Database) {}

  async add(record: VersionRecord, trx: Transaction<Tables>): Promise<void> {
    await trx
      .insertInto('versions')
      .values({
        id: record.id,
        run_id: record.runId,
        parent: record.parent,
        round_id: record.roundId,
        number: record.completedRounds,
        created_at: record.createdAt,
        epsilon: record.epsilon,
        bytes: record.files.reduce((sum, file) => sum + file.bytes, 0),
      })
      .execute();
  }

  async byId(id: string): Promise<VersionView | undefined> {
    const row = await this.db.selectFrom('versions').selectAll().where('id', '=', id).executeTakeFirst();
    return row === undefined ? undefined : viewOf(row);
  }
}

function viewOf(row: VersionsTable): VersionView {
  return {
    id: row.id,
    runId: row.run_id,
    parent: row.parent,
    roundId: row.round_id,
    number: row.number,
    createdAt: row.created_at,
    epsilon: row.epsilon,
    bytes: row.bytes,
  };
}
