/** Users, their second factors and their set-up links in the database. */

import type { Transaction } from 'kysely';
import type { Role, UserView } from '@fedlora/shared';
import type { Database, Tables, UsersTable } from '../storage/database.js';

export type User = Readonly<UsersTable>;
type Db = Database | Transaction<Tables>;

export class UsersRepository {
  constructor(private readonly db: Database) {}

  async list(): Promise<User[]> {
    return this.db.selectFrom('users').selectAll().orderBy('name').execute();
  }

  async byId(id: string, db: Db = this.db): Promise<User | undefined> {
    return db.selectFrom('users').selectAll().where('id', '=', id).executeTakeFirst();
  }

  async byName(name: string, db: Db = this.db): Promise<User | undefined> {
    return db.selectFrom('users').selectAll().where('name', '=', name).executeTakeFirst();
  }

  async bySubject(issuer: string, subject: string, db: Db = this.db): Promise<User | undefined> {
    return db
      .selectFrom('users')
      .selectAll()
      .where('issuer', '=', issuer)
      .where('subject', '=', subject)
      .executeTakeFirst();
  }

  async add(user: User, trx: Transaction<Tables>): Promise<void> {
    await trx.insertInto('users').values(user).execute();
  }

  async change(id: string, change: Partial<Omit<User, 'id' | 'name'>>, db: Db = this.db): Promise<void> {
    await db.updateTable('users').set(change).where('id', '=', id).execute();
  }

  /** Whether a step of the second factor is later than the last that was used; it is used by this. */
  async takeStep(id: string, step: number): Promise<boolean> {
    const taken = await this.db
      .updateTable('users')
      .set({ totp_step: step })
      .where('id', '=', id)
      .where((is) => is.or([is('totp_step', 'is', null), is('totp_step', '<', step)]))
      .executeTakeFirst();
    return taken.numUpdatedRows > 0n;
  }

  /** Administrators of everything who can sign in: with a password, or with the provider of this issuer. */
  async admins(issuer: string | undefined, db: Db = this.db): Promise<User[]> {
    return db
      .selectFrom('users')
      .selectAll()
      .where('role', '=', 'admin')
      .where('runs', 'is', null)
      .where('disabled', '=', 0)
      .where((is) => is.or([is('password_hash', 'is not', null), is('issuer', '=', issuer ?? null)]))
      .execute();
  }

  /** One link for each user: a new one takes the place of the one before. */
  async link(userId: string, tokenHash: string, expiresAt: number, trx: Transaction<Tables>): Promise<void> {
    await trx.deleteFrom('setup_links').where('user_id', '=', userId).execute();
    await trx
      .insertInto('setup_links')
      .values({ token_hash: tokenHash, user_id: userId, expires_at: expiresAt })
      .execute();
  }

  /** Takes a link away and tells whose it was and until when it was good. */
  async takeLink(
    tokenHash: string,
    trx: Transaction<Tables>,
  ): Promise<{ readonly user_id: string; readonly expires_at: number } | undefined> {
    return trx
      .deleteFrom('setup_links')
      .where('token_hash', '=', tokenHash)
      .returning(['user_id', 'expires_at'])
      .executeTakeFirst();
  }

  async setRecoveryCodes(userId: string, hashes: readonly string[], trx: Transaction<Tables>): Promise<void> {
    await trx.deleteFrom('recovery_codes').where('user_id', '=', userId).execute();
    for (const hash of hashes)
      await trx.insertInto('recovery_codes').values({ user_id: userId, code_hash: hash }).execute();
  }

  /** Whether there was such a code; it is spent by this. */
  async takeRecoveryCode(userId: string, hash: string, trx: Transaction<Tables>): Promise<boolean> {
    const taken = await trx
      .deleteFrom('recovery_codes')
      .where('user_id', '=', userId)
      .where('code_hash', '=', hash)
      .executeTakeFirst();
    return taken.numDeletedRows > 0n;
  }
}

export function runsOf(stored: string | null): readonly string[] | null {
  return stored === null ? null : (JSON.parse(stored) as string[]);
}

export function userView(user: User): UserView {
  return {
    id: user.id,
    name: user.name,
    // Safe: only validated requests write it.
    role: user.role as Role,
    runs: runsOf(user.runs),
    disabled: user.disabled !== 0,
    hasPassword: user.password_hash !== null,
    hasSecondFactor: user.totp_secret !== null,
    fromProvider: user.subject !== null,
    createdAt: user.created_at,
    lastSignInAt: user.last_sign_in_at,
  };
}
