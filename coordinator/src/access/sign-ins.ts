/**
 * Sign-ins of users: a random token in a cookie, of which only the hash is stored. Ends when it was not used for an hour, twelve
 * hours after it began whatever happens, when it is ended, and when its user is disabled.
 */

import { createHash } from 'node:crypto';
import { permissionsOf, type Role, type SignInView } from '@fedlora/shared';
import { createId, createToken, tokenHash } from '../storage/keys.js';
import type { Database } from '../storage/database.js';
import type { Operator } from './principal.js';
import { runsOf } from './users.repository.js';

export const IDLE_MS = 3600_000;
export const LONGEST_MS = 12 * 3600_000;
/** How exactly the last use is known: writing it at every request would cost a flush of the disk each time. */
const USED_EVERY_MS = 60_000;
const MOST_AGENT = 200;

export interface SignInOrigin {
  readonly address: string;
  readonly agent: string;
}

export class SignIns {
  constructor(
    private readonly db: Database,
    private readonly now: () => number,
  ) {}

  /** Returns the token for the cookie. */
  async begin(userId: string, { address, agent }: SignInOrigin): Promise<string> {
    const now = this.now();
    const token = createToken();
    await this.db
      .deleteFrom('sign_ins')
      .where((is) => is.or([is('used_at', '<=', now - IDLE_MS), is('created_at', '<=', now - LONGEST_MS)]))
      .execute();
    await this.db
      .insertInto('sign_ins')
      .values({
        token_hash: tokenHash(token),
        id: createId(),
        user_id: userId,
        created_at: now,
        used_at: now,
        address,
        agent: agent.slice(0, MOST_AGENT),
      })
      .execute();
    return token;
  }

  /** Whose sign-in a token is, if it is still good. `isUse`: whether that keeps it from idling out. */
  async open(token: string, isUse: boolean): Promise<Operator | undefined> {
    const now = this.now();
    const row = await this.db
      .selectFrom('sign_ins')
      .innerJoin('users', 'users.id', 'sign_ins.user_id')
      .select(['sign_ins.id', 'sign_ins.created_at', 'sign_ins.used_at', 'sign_ins.token_hash'])
      .select(['users.id as user_id', 'users.name', 'users.role', 'users.runs'])
      .where('sign_ins.token_hash', '=', tokenHash(token))
      .where('users.disabled', '=', 0)
      .executeTakeFirst();
    if (row === undefined || row.used_at <= now - IDLE_MS || row.created_at <= now - LONGEST_MS) return undefined;
    if (isUse && row.used_at <= now - USED_EVERY_MS)
      await this.db.updateTable('sign_ins').set({ used_at: now }).where('token_hash', '=', row.token_hash).execute();
    const runs = runsOf(row.runs);
    return {
      kind: 'user',
      id: row.user_id,
      name: row.name,
      userId: row.user_id,
      // Safe: only validated requests write it.
      permissions: new Set(permissionsOf[row.role as Role]),
      runs: runs === null ? null : new Set(runs),
      signIn: { id: row.id, csrfToken: csrfTokenOf(token) },
    };
  }

  async list(userId: string, currentId: string | undefined): Promise<SignInView[]> {
    const now = this.now();
    const rows = await this.db
      .selectFrom('sign_ins')
      .selectAll()
      .where('user_id', '=', userId)
      .where('used_at', '>', now - IDLE_MS)
      .where('created_at', '>', now - LONGEST_MS)
      .execute();
    return rows.map((row) => ({
      id: row.id,
      createdAt: row.created_at,
      usedAt: row.used_at,
      address: row.address,
      agent: row.agent,
      current: row.id === currentId,
    }));
  }

  /** Ends one sign-in of a user. Returns whether there was one. */
  async end(userId: string, id: string): Promise<boolean> {
    const ended = await this.db
      .deleteFrom('sign_ins')
      .where('user_id', '=', userId)
      .where('id', '=', id)
      .executeTakeFirst();
    return ended.numDeletedRows > 0n;
  }

  /** Ends all of a user's, but for one. */
  async endAll(userId: string, exceptId?: string): Promise<void> {
    let ending = this.db.deleteFrom('sign_ins').where('user_id', '=', userId);
    if (exceptId !== undefined) ending = ending.where('id', '!=', exceptId);
    await ending.execute();
  }
}

/**
 * What a change must bring along in a header: another site can make a browser send the cookie, but can neither read it nor this.
 * Derived, so that every page of a sign-in has the same, and nothing more is stored.
 */
function csrfTokenOf(token: string): string {
  return createHash('sha256').update(`fedlora/csrf/v1\n${token}`).digest('base64url');
}
