/** Invitations in the database: by the hash of their token, never the token. */

import type { Transaction } from 'kysely';
import type { Database, InvitationsTable, Tables } from '../storage/database.js';

export type Invitation = Readonly<InvitationsTable>;

export class InvitationsRepository {
  constructor(private readonly db: Database) {}

  async list(): Promise<Invitation[]> {
    return this.db.selectFrom('invitations').selectAll().execute();
  }

  async byToken(tokenHash: string): Promise<Invitation | undefined> {
    return this.db.selectFrom('invitations').selectAll().where('token_hash', '=', tokenHash).executeTakeFirst();
  }

  async byId(id: string, trx: Transaction<Tables>): Promise<Invitation | undefined> {
    return trx.selectFrom('invitations').selectAll().where('id', '=', id).executeTakeFirst();
  }

  async add(invitation: Invitation, trx: Transaction<Tables>): Promise<void> {
    await trx.insertInto('invitations').values(invitation).execute();
  }

  /** Uses the invitation up, unless somebody was faster; returns whether it did. */
  async spend(tokenHash: string, at: number, trx: Transaction<Tables>): Promise<boolean> {
    const { numUpdatedRows } = await trx
      .updateTable('invitations')
      .set({ spent_at: at })
      .where('token_hash', '=', tokenHash)
      .where('spent_at', 'is', null)
      .where('withdrawn_at', 'is', null)
      .executeTakeFirst();
    return numUpdatedRows > 0n;
  }

  async withdraw(id: string, at: number, trx: Transaction<Tables>): Promise<void> {
    await trx.updateTable('invitations').set({ withdrawn_at: at }).where('id', '=', id).execute();
  }
}
