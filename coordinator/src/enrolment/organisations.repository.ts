/** Organisations and their keys in the database. */

import type { DeclaredBudget } from '@fedlora/shared';
import type { Transaction } from 'kysely';
import type { Database, OrganisationKeysTable, OrganisationsTable, Tables } from '../storage/database.js';

export type Organisation = Readonly<OrganisationsTable>;
export type OrganisationKey = Readonly<OrganisationKeysTable>;

/** As `seen` stored it. */
export function budgetOf(text: string): DeclaredBudget {
  return JSON.parse(text) as DeclaredBudget;
}

export class OrganisationsRepository {
  constructor(private readonly db: Database) {}

  async list(): Promise<Organisation[]> {
    return this.db.selectFrom('organisations').selectAll().orderBy('name').execute();
  }

  async byName(name: string, trx?: Transaction<Tables>): Promise<Organisation | undefined> {
    return (trx ?? this.db).selectFrom('organisations').selectAll().where('name', '=', name).executeTakeFirst();
  }

  async byIdentity(identity: string): Promise<Organisation | undefined> {
    return this.db.selectFrom('organisations').selectAll().where('identity', '=', identity).executeTakeFirst();
  }

  /** The organisations that are offered no rounds, by name, with the word for why. */
  async outOfRounds(): Promise<ReadonlyMap<string, 'left' | 'suspended'>> {
    const rows = await this.db
      .selectFrom('organisations')
      .select(['name', 'left_at'])
      .where((or) => or.or([or('suspended_at', 'is not', null), or('left_at', 'is not', null)]))
      .execute();
    return new Map(rows.map(({ name, left_at: leftAt }) => [name, leftAt === null ? 'suspended' : 'left']));
  }

  /** Every key of an organisation, newest first. */
  async keysOf(name: string): Promise<OrganisationKey[]> {
    return this.db
      .selectFrom('organisation_keys')
      .selectAll()
      .where('name', '=', name)
      .orderBy('enrolled_at', 'desc')
      .orderBy('replaced_at', (order) => order.desc().nullsFirst())
      .execute();
  }

  async certify(name: string, certificate: string, trx: Transaction<Tables>): Promise<void> {
    await this.change(name, { certificate }, trx);
  }

  /** Keeps the organisation out of rounds, or with `null` lets it in again. */
  async setSuspension(
    name: string,
    suspension: { readonly at: number; readonly reason: string | null } | null,
    trx: Transaction<Tables>,
  ): Promise<void> {
    await this.change(
      name,
      { suspended_at: suspension?.at ?? null, suspension_reason: suspension?.reason ?? null },
      trx,
    );
  }

  async markLeft(name: string, at: number, trx: Transaction<Tables>): Promise<void> {
    await this.change(name, { left_at: at }, trx);
  }

  /** `client`: what it said of itself; without a budget, none that it declared before holds any more. */
  async seen(
    name: string,
    at: number,
    client?: { readonly version: string; readonly device: string; readonly budget: DeclaredBudget | null },
  ): Promise<void> {
    const budget = client?.budget ?? null;
    await this.change(name, {
      last_seen_at: at,
      ...(client === undefined
        ? {}
        : {
            client_version: client.version,
            device: client.device,
            declared_budget: budget === null ? null : JSON.stringify(budget),
          }),
    });
  }

  /** What organisations have declared, by name. */
  async declaredBudgets(): Promise<ReadonlyMap<string, DeclaredBudget>> {
    const rows = await this.db
      .selectFrom('organisations')
      .select(['name', 'declared_budget as text'])
      .where('declared_budget', 'is not', null)
      .execute();
    return new Map(rows.flatMap(({ name, text }) => (text === null ? [] : [[name, budgetOf(text)]])));
  }

  /** How far the client's clock was off at a sign-in; `null`: it did not tell its time. */
  async noteClock(
    name: string,
    reading: { readonly skewMs: number; readonly uncertaintyMs: number; readonly measuredAt: number } | null,
  ): Promise<void> {
    await this.change(name, {
      clock_skew_ms: reading?.skewMs ?? null,
      clock_uncertainty_ms: reading?.uncertaintyMs ?? null,
      clock_measured_at: reading?.measuredAt ?? null,
    });
  }

  /** Stores an organisation, or the new key of one, or takes one in again that had left; without a certificate. */
  async enrol(
    organisation: { readonly name: string; readonly identity: string },
    at: number,
    trx: Transaction<Tables>,
  ): Promise<void> {
    const { name, identity } = organisation;
    await trx
      .insertInto('organisations')
      .values({
        name,
        identity,
        certificate: null,
        enrolled_at: at,
        last_seen_at: null,
        client_version: null,
        device: null,
        suspended_at: null,
        suspension_reason: null,
        clock_skew_ms: null,
        clock_uncertainty_ms: null,
        clock_measured_at: null,
        left_at: null,
        declared_budget: null,
      })
      .onConflict((conflict) =>
        conflict.column('name').doUpdateSet({ identity, certificate: null, enrolled_at: at, left_at: null }),
      )
      .execute();
    await trx
      .updateTable('organisation_keys')
      .set({ replaced_at: at })
      .where('name', '=', name)
      .where('replaced_at', 'is', null)
      .execute();
    await trx
      .insertInto('organisation_keys')
      .values({ identity, name, enrolled_at: at, replaced_at: null })
      .onConflict((conflict) => conflict.column('identity').doUpdateSet({ enrolled_at: at, replaced_at: null }))
      .execute();
  }

  private async change(
    name: string,
    values: Partial<OrganisationsTable>,
    db: Database | Transaction<Tables> = this.db,
  ): Promise<void> {
    await db.updateTable('organisations').set(values).where('name', '=', name).execute();
  }
}
