/** Adapter versions in the database: lineage, and what was said of them. Their files are in `version-store.ts`. */

import { sql, type Transaction } from 'kysely';
import type { VersionMark, VersionRecord, VersionView } from '@fedlora/shared';
import type { Database, Tables, VersionsTable } from '../storage/database.js';

type Row = VersionsTable & { readonly repository: string };

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
    return (await this.read((query) => query.where('versions.id', '=', id))).at(0);
  }

  /** Newest first; `after` is the last version of the page before. */
  ofRepository(repository: string, limit: number, after?: string): Promise<VersionView[]> {
    return this.read((query) => {
      const all = query.where('runs.repository', '=', repository).limit(limit);
      if (after === undefined) return all;
      const last = sql`(SELECT created_at, number, id FROM versions WHERE id = ${after})`;
      return all.where(sql<boolean>`(versions.created_at, versions.number, versions.id) < ${last}`);
    });
  }

  /** The versions of a run up to a number, newest first: each comes from the one after it. */
  lineOf(runId: string, number: number, limit: number): Promise<VersionView[]> {
    return this.read((query) =>
      query.where('versions.run_id', '=', runId).where('versions.number', '<=', number).limit(limit),
    );
  }

  /** The version that a run began with. */
  async firstOf(runId: string): Promise<VersionView | undefined> {
    return (await this.lineOf(runId, 0, 1)).at(0);
  }

  /** The newest version that rounds made and that was not revoked. */
  async newestTrained(repository: string): Promise<VersionView | undefined> {
    const found = await this.read((query) =>
      query
        .where('runs.repository', '=', repository)
        .where('versions.number', '>', 0)
        .where('versions.revoked_at', 'is', null)
        .limit(1),
    );
    return found.at(0);
  }

  /** Every revoked version of a repository, newest first. */
  revokedOf(repository: string): Promise<VersionView[]> {
    return this.read((query) =>
      query.where('runs.repository', '=', repository).where('versions.revoked_at', 'is not', null),
    );
  }

  async count(repository: string): Promise<number> {
    const { count } = await this.db
      .selectFrom('versions')
      .innerJoin('runs', 'runs.id', 'versions.run_id')
      .select((row) => row.fn.countAll<number>().as('count'))
      .where('runs.repository', '=', repository)
      .executeTakeFirstOrThrow();
    return Number(count);
  }

  async revoke(id: string, { at, reason }: VersionMark, trx: Transaction<Tables>): Promise<void> {
    await trx.updateTable('versions').set({ revoked_at: at, revoked_reason: reason }).where('id', '=', id).execute();
  }

  /** `null` takes the mark away. */
  async deprecate(id: string, mark: VersionMark | null, trx: Transaction<Tables>): Promise<void> {
    await trx
      .updateTable('versions')
      .set({ deprecated_at: mark?.at ?? null, deprecated_reason: mark?.reason ?? null })
      .where('id', '=', id)
      .execute();
  }

  /** Newest first. */
  private async read(narrow: (query: ReturnType<VersionsRepository['all']>) => ReturnType<VersionsRepository['all']>) {
    const rows: Row[] = await narrow(this.all()).execute();
    return rows.map(viewOf);
  }

  private all() {
    return this.db
      .selectFrom('versions')
      .innerJoin('runs', 'runs.id', 'versions.run_id')
      .selectAll('versions')
      .select('runs.repository')
      .orderBy('versions.created_at', 'desc')
      .orderBy('versions.number', 'desc')
      .orderBy('versions.id', 'desc');
  }
}

function viewOf(row: Row): VersionView {
  return {
    id: row.id,
    runId: row.run_id,
    repository: row.repository,
    parent: row.parent,
    roundId: row.round_id,
    number: row.number,
    createdAt: row.created_at,
    epsilon: row.epsilon,
    bytes: row.bytes,
    revoked: markOf(row.revoked_at, row.revoked_reason),
    deprecated: markOf(row.deprecated_at, row.deprecated_reason),
  };
}

function markOf(at: number | null, reason: string | null): VersionMark | null {
  return at === null ? null : { at, reason: reason ?? '' };
}
