/** What audits found out about versions, in the database: counts of guesses. Who reported them is in the audit log. */

import type { Transaction } from 'kysely';
import type { Database, Tables } from '../storage/database.js';

/** The counts of one audit, as they were reported. */
export interface StoredAudit {
  readonly version: string;
  readonly seal: string;
  readonly canaries: number;
  readonly guesses: number;
  readonly right: number;
  readonly at: number;
}

export class AuditFindingsRepository {
  constructor(private readonly db: Database) {}

  /** Of these versions, oldest first. */
  async of(versions: readonly string[]): Promise<StoredAudit[]> {
    const rows = await this.db
      .selectFrom('version_audits')
      .selectAll()
      .where('version', 'in', [...versions, ''])
      .orderBy('at')
      .orderBy('seal')
      .execute();
    return rows.map(({ right_guesses: right, ...row }) => ({ ...row, right }));
  }

  /** Of all versions that rounds of a run made, as far as they were reported before a time, oldest first. */
  async ofRun(runId: string, before: number): Promise<(StoredAudit & { readonly epsilon: number | null })[]> {
    const rows = await this.db
      .selectFrom('version_audits')
      .innerJoin('versions', 'versions.id', 'version_audits.version')
      .selectAll('version_audits')
      .select('versions.epsilon')
      .where('versions.run_id', '=', runId)
      .where('versions.merge', 'is', null)
      .where('version_audits.at', '<', before)
      .orderBy('version_audits.at')
      .orderBy('version_audits.seal')
      .execute();
    return rows.map(({ right_guesses: right, ...row }) => ({ ...row, right }));
  }

  async add({ right, ...audit }: StoredAudit, trx: Transaction<Tables>): Promise<void> {
    await trx
      .insertInto('version_audits')
      .values({ ...audit, right_guesses: right })
      .execute();
  }
}
