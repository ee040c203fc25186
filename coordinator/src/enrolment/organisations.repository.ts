/** Organisations and their invitations in the database. */

import type { Transaction } from 'kysely';
import type { Database, InvitationsTable, OrganisationsTable, Tables } from '../storage/database.js';

export type Organisation = Readonly<OrganisationsTable>;
export type Invitation = Readonly<InvitationsTable>;

export class OrganisationsRepository {
  constructor(private readonly db: Database) {}

  async list(): Promise<Organisation[]> {
    return this.db.selectFrom('organisations').selectAll().orderBy('name').execute();
  }

  async byName(name: string): Promise<Organisation | undefined> {
    return this.db.selectFrom('organisations').selectAll().where('name', '=', name).executeTakeFirst();
  }

  async byIdentity(identity: string): Promise<Organisation | undefined> {
    return this.db.selectFrom('organisations').selectAll().where('identity', '=', identity).executeTakeFirst();
  }

  async certify(name: string, certificate: string, trx: Transaction<Tables>): Promise<void> {
    await trx.updateTable('organisations').set({ certificate }).where('name', '=', name).execute();
  }

  async seen(name: string, at: number, client?: { readonly version: string; readonly device: string }): Promise<void> {
    await this.db
      .updateTable('organisations')
      .set({
        last_seen_at: at,
        ...(client === undefined ? {} : { client_version: client.version, device: client.device }),
      })
      .where('name', '=', name)
      .execute();
  }

  async invite(invitation: Invitation, trx: Transaction<Tables>): Promise<void> {
    await trx.insertInto('invitations').values(invitation).execute();
  }

  async invitation(tokenHash: string): Promise<Invitation | undefined> {
    return this.db.selectFrom('invitations').selectAll().where('token_hash', '=', tokenHash).executeTakeFirst();
  }

  /** Spends the invitation and stores the organisation, or its new key without a certificate: both or neither. */
  async enrol(
    tokenHash: string,
    organisation: { readonly name: string; readonly identity: string },
    at: number,
    trx: Transaction<Tables>,
  ): Promise<void> {
    await trx.updateTable('invitations').set({ spent_at: at }).where('token_hash', '=', tokenHash).execute();
    await trx
      .insertInto('organisations')
      .values({
        ...organisation,
        certificate: null,
        enrolled_at: at,
        last_seen_at: null,
        client_version: null,
        device: null,
      })
      .onConflict((conflict) =>
        conflict.column('name').doUpdateSet({ identity: organisation.identity, certificate: null, enrolled_at: at }),
      )
      .execute();
  }
}
