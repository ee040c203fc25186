/** Adapter versions in the database: lineage, and what was said of them. Their files are in `version-store.ts`. */

import { sql, type Transaction } from 'kysely';
import type { MergeLineage, MergeView, VersionMark, VersionRecord, VersionView } from '@fedlora/shared';
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
        merge: record.merge === undefined ? null : JSON.stringify(mergeView(record, record.merge)),
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

  /** The versions that rounds of a run made, up to a number, newest first: each comes from the one after it. */
  lineOf(runId: string, number: number, limit: number): Promise<VersionView[]> {
    return this.read((query) =>
      query
        .where('versions.run_id', '=', runId)
        .where('versions.number', '<=', number)
        .where('versions.merge', 'is', null)
        .limit(limit),
    );
  }

  /** The newest revoked version that any of these is or comes from, through every merge. */
  async revokedAncestor(ids: readonly string[]): Promise<string | null> {
    for (const version of await this.read((query) => query.where('versions.id', 'in', [...ids, '']))) {
      const { id, runId, number, revoked, merge } = version;
      if (revoked !== null) return id;
      const above =
        merge !== null
          ? await this.revokedAncestor(merge.parents.map((parent) => parent.version))
          : (
              await this.read((query) =>
                query
                  .where('versions.run_id', '=', runId)
                  .where('versions.number', '<=', number)
                  .where('versions.merge', 'is', null)
                  .where('versions.revoked_at', 'is not', null)
                  .limit(1),
              )
            ).at(0)?.id;
      if (above != null) return above;
    }
    return null;
  }

  /** The version that a run began with. */
  async firstOf(runId: string): Promise<VersionView | undefined> {
    return (await this.lineOf(runId, 0, 1)).at(0);
  }

  /** The newest version that rounds or merges made and that was not revoked. */
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
    // Safe: only `add` writes it.
    merge: row.merge === null ? null : (JSON.parse(row.merge) as MergeView),
  };
}

function mergeView({ unit, delta }: VersionRecord, { method, rank, parents, releases }: MergeLineage): MergeView {
  return { method, rank, parents, unit, delta, runs: releases.map(({ runId }) => runId) };
}

function markOf(at: number | null, reason: string | null): VersionMark | null {
  return at === null ? null : { at, reason: reason ?? '' };
}
