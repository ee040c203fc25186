/**
 * The audit log: what was changed and what was refused, by whom and from where. Append-only, each entry chained to the one before.
 *
 * Guarantee  an entry and the change it tells of are committed together (`recording`): there is neither without the other.
 */

import { sql, type Transaction } from 'kysely';
import { auditLine, NO_AUDIT_HASH, type AuditEntry, type AuditLine, type PlainObject } from '@fedlora/shared';
import type { Database, Tables } from '../storage/database.js';
import type { Origin } from './origin.js';

export interface AuditRecord {
  /** Dotted, past tense. */
  readonly event: string;
  readonly by: Origin;
  /** Plain values, never secrets. */
  readonly details?: PlainObject;
  readonly before?: PlainObject;
  readonly after?: PlainObject;
}

export interface AuditFilter {
  /** An event, or the beginning of a family of events with its dot. */
  readonly event?: string | undefined;
  /** Name of who did it. */
  readonly actor?: string | undefined;
  /** Unix milliseconds, from inclusive to exclusive. */
  readonly from?: number | undefined;
  readonly to?: number | undefined;
}

/** Rows of one read of an export: bounds memory, and lets other work in between. */
const EXPORT_ROWS = 500;

export class AuditLog {
  /** Called when something that changed nothing was recorded. */
  onRecorded: (event: string) => void = () => undefined;

  constructor(
    private readonly db: Database,
    private readonly now: () => number,
  ) {}

  /** Makes a change and records it: both or neither. Returns what `change` gives besides the record. */
  recording<Result>(change: (trx: Transaction<Tables>) => Promise<readonly [AuditRecord, Result]>): Promise<Result> {
    return this.transaction(async (trx) => {
      const [record, result] = await change(trx);
      await this.append(record, trx);
      return result;
    });
  }

  /** Records what changed nothing in the database, such as a refusal. */
  async record(record: AuditRecord): Promise<void> {
    await this.transaction((trx) => this.append(record, trx));
    this.onRecorded(record.event);
  }

  /** For changes of which only some are recorded: with `append`. */
  transaction<Result>(work: (trx: Transaction<Tables>) => Promise<Result>): Promise<Result> {
    return this.db.transaction().execute(work);
  }

  /** Records within a transaction of the caller's. */
  async append(record: AuditRecord, trx: Transaction<Tables>): Promise<void> {
    const last = await trx
      .selectFrom('audit')
      .select(['sequence', 'hash'])
      .orderBy('sequence', 'desc')
      .executeTakeFirst();
    const sequence = (last?.sequence ?? 0) + 1;
    const { text, hash } = auditLine({
      sequence,
      previous: last?.hash ?? NO_AUDIT_HASH,
      at: this.now(),
      event: record.event,
      ...record.by,
      details: record.details ?? {},
      before: record.before ?? null,
      after: record.after ?? null,
    });
    await trx.insertInto('audit').values({ sequence, entry: text, hash }).execute();
  }

  /** Newest first: at most `limit` of those before the entry `before`. */
  async newest(filter: AuditFilter, limit: number, before?: number): Promise<AuditLine[]> {
    const { differences } = this.db;
    let query = this.db.selectFrom('audit').selectAll().orderBy('sequence', 'desc').limit(limit);
    if (before !== undefined) query = query.where('sequence', '<', before);
    const { event, actor, from, to } = filter;
    if (event?.endsWith('.') === true)
      query = query.where(sql`substr(${differences.jsonText('entry', 'event')}, 1, ${event.length})`, '=', event);
    else if (event != null) query = query.where(differences.jsonText('entry', 'event'), '=', event);
    if (actor != null) query = query.where(differences.jsonText('entry', 'actor', 'name'), '=', actor);
    if (from != null) query = query.where(differences.jsonNumber('entry', 'at'), '>=', from);
    if (to != null) query = query.where(differences.jsonNumber('entry', 'at'), '<', to);
    return (await query.execute()).map(lineOf);
  }

  /** Every entry after one, in the order of their making. */
  async *after(sequence: number): AsyncGenerator<AuditLine> {
    for (let last = sequence; ;) {
      const rows = await this.db
        .selectFrom('audit')
        .selectAll()
        .where('sequence', '>', last)
        .orderBy('sequence')
        .limit(EXPORT_ROWS)
        .execute();
      yield* rows.map(lineOf);
      if (rows.length < EXPORT_ROWS) return;
      last = rows[rows.length - 1].sequence;
    }
  }
}

function lineOf({ entry, hash }: { readonly entry: string; readonly hash: string }): AuditLine {
  // Safe: only `append` and the migration write it.
  return { entry: JSON.parse(entry) as AuditEntry, hash };
}
