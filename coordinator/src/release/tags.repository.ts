/** Tags in the database. */

import type { Transaction } from 'kysely';
import type { TagView } from '@fedlora/shared';
import type { Database, Tables } from '../storage/database.js';

export class TagsRepository {
  constructor(private readonly db: Database) {}

  /** By name. */
  async of(repository: string): Promise<TagView[]> {
    const rows = await this.db
      .selectFrom('version_tags')
      .selectAll()
      .where('repository', '=', repository)
      .orderBy('name')
      .execute();
    return rows.map(({ name, version, created_at: createdAt, created_by: createdBy }) => ({
      name,
      version,
      createdAt,
      createdBy,
    }));
  }

  async add(
    repository: string,
    { name, version, createdAt, createdBy }: TagView,
    trx: Transaction<Tables>,
  ): Promise<void> {
    await trx
      .insertInto('version_tags')
      .values({ repository, name, version, created_at: createdAt, created_by: createdBy })
      .execute();
  }

  async remove(repository: string, name: string, trx: Transaction<Tables>): Promise<void> {
    await trx.deleteFrom('version_tags').where('repository', '=', repository).where('name', '=', name).execute();
  }
}
