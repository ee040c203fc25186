/**
 * API tokens for scripts: shown once, stored as a hash, with an expiry and a scope. A token can never do more than the user who
 * made it may do at that moment.
 */

import {
  FedloraError,
  permissionsOf,
  type ApiTokenView,
  type NewApiToken,
  type NewTokenRequest,
  type Permission,
  type Role,
} from '@fedlora/shared';
import type { AuditLog } from '../audit/audit-log.js';
import type { Origin } from '../audit/origin.js';
import type { Database } from '../storage/database.js';
import { createId, createToken, tokenHash } from '../storage/keys.js';
import { mayDo, type Operator } from './principal.js';
import { runsOf } from './users.repository.js';

/** By which scanners for lost secrets, and we, tell it from a client's session. */
export const API_TOKEN_PREFIX = 'fedlora_';
const LIFETIME_SECONDS = 90 * 24 * 3600;
const USED_EVERY_MS = 60_000;

interface Row {
  readonly id: string;
  readonly name: string;
  readonly permissions: string;
  readonly runs: string | null;
  readonly user_name: string;
  readonly created_at: number;
  readonly expires_at: number;
  readonly used_at: number | null;
}

export class ApiTokens {
  constructor(
    private readonly db: Database,
    private readonly audit: AuditLog,
    private readonly now: () => number,
  ) {}

  /** @throws FedloraError access/beyond-own-rights */
  async create(request: NewTokenRequest, maker: Operator, by: Origin): Promise<NewApiToken> {
    const runs = request.runs ?? (maker.runs === null ? null : [...maker.runs]);
    const isWithin =
      request.permissions.every((permission) => mayDo(maker, permission)) &&
      (maker.runs === null || (runs ?? []).every((run) => maker.runs?.has(run)));
    if (!isWithin) throw new FedloraError('access/beyond-own-rights');
    const token = API_TOKEN_PREFIX + createToken();
    const id = createId();
    const createdAt = this.now();
    const expiresAt = createdAt + (request.lifetimeSeconds ?? LIFETIME_SECONDS) * 1000;
    return this.audit.recording(async (trx) => {
      await trx
        .insertInto('api_tokens')
        .values({
          id,
          token_hash: tokenHash(token),
          name: request.name,
          permissions: JSON.stringify(request.permissions),
          runs: runs === null ? null : JSON.stringify(runs),
          user_id: maker.userId,
          created_at: createdAt,
          expires_at: expiresAt,
          used_at: null,
        })
        .execute();
      const { name: createdBy } = await trx
        .selectFrom('users')
        .select('name')
        .where('id', '=', maker.userId)
        .executeTakeFirstOrThrow();
      const { name, permissions } = request;
      const view = { id, name, permissions, runs, createdBy, createdAt, expiresAt, lastUsedAt: null };
      const details = { id, name, permissions, runs, expiresAt };
      return [
        { event: 'token.created', by, details },
        { ...view, token },
      ] as const;
    });
  }

  /** Whose token it is, if it is good. `isUse`: whether its last use is noted. */
  async open(token: string, isUse: boolean): Promise<Operator | undefined> {
    const now = this.now();
    const row = await this.db
      .selectFrom('api_tokens')
      .innerJoin('users', 'users.id', 'api_tokens.user_id')
      .select(['api_tokens.id', 'api_tokens.name', 'api_tokens.permissions', 'api_tokens.runs', 'api_tokens.used_at'])
      .select(['users.id as user_id', 'users.role', 'users.runs as user_runs'])
      .where('api_tokens.token_hash', '=', tokenHash(token))
      .where('api_tokens.expires_at', '>', now)
      .where('users.disabled', '=', 0)
      .executeTakeFirst();
    if (row === undefined) return undefined;
    if (isUse && (row.used_at ?? 0) <= now - USED_EVERY_MS)
      await this.db.updateTable('api_tokens').set({ used_at: now }).where('id', '=', row.id).execute();
    // Safe: only validated requests write these.
    const makers = permissionsOf[row.role as Role];
    const own = JSON.parse(row.permissions) as Permission[];
    return {
      kind: 'token',
      id: row.id,
      name: row.name,
      userId: row.user_id,
      permissions: new Set(own.filter((permission) => makers.includes(permission))),
      runs: intersection(runsOf(row.runs), runsOf(row.user_runs)),
    };
  }

  /** An administrator's view of all; anybody else's of those that the same user made. */
  async list(asker: Operator): Promise<ApiTokenView[]> {
    let query = this.db
      .selectFrom('api_tokens')
      .innerJoin('users', 'users.id', 'api_tokens.user_id')
      .selectAll('api_tokens')
      .select('users.name as user_name');
    if (!mayDo(asker, 'users.manage')) query = query.where('api_tokens.user_id', '=', asker.userId);
    return (await query.execute()).map(tokenView);
  }

  /** It opens nothing from now on. @throws FedloraError access/unknown-token */
  async revoke(id: string, asker: Operator, by: Origin): Promise<void> {
    await this.audit.recording(async (trx) => {
      let ending = trx.deleteFrom('api_tokens').where('id', '=', id);
      if (!mayDo(asker, 'users.manage')) ending = ending.where('user_id', '=', asker.userId);
      const ended = await ending.returning('name').executeTakeFirst();
      if (ended === undefined) throw new FedloraError('access/unknown-token');
      return [{ event: 'token.revoked', by, details: { id, name: ended.name } }, undefined] as const;
    });
  }
}

function tokenView(row: Row): ApiTokenView {
  return {
    id: row.id,
    name: row.name,
    // Safe: only validated requests write it.
    permissions: JSON.parse(row.permissions) as Permission[],
    runs: runsOf(row.runs),
    createdBy: row.user_name,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    lastUsedAt: row.used_at,
  };
}

function intersection(a: readonly string[] | null, b: readonly string[] | null): ReadonlySet<string> | null {
  if (a === null) return b === null ? null : new Set(b);
  return new Set(b === null ? a : a.filter((run) => b.includes(run)));
}
