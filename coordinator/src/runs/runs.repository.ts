/** Runs in the database. Manifest and roster never change after the start, so they are parsed once. */

import type { Kysely, Transaction } from 'kysely';
import { manifestHash, type Manifest, type Roster } from '@fedlora/protocol';
import type { RunSchedule, RunStatus } from '@fedlora/shared';
import { alwaysHeld, type Lease } from '../storage/lease.js';
import type { Database, RunsTable, Tables } from '../storage/database.js';

const UNENDED: readonly RunStatus[] = ['running', 'paused'];

/** Whether rounds of the run may be open. */
export function isUnended({ status }: { readonly status: RunStatus }): boolean {
  return UNENDED.includes(status);
}

export interface Run {
  readonly id: string;
  readonly manifest: Manifest;
  /** Canonical JSON, as signed and as sent. */
  readonly manifestText: string;
  readonly manifestSignature: string;
  /** Hex. */
  readonly manifestHash: string;
  readonly roster: Roster;
  readonly rosterText: string;
  readonly status: RunStatus;
  readonly reason: string | null;
  readonly createdAt: number;
  readonly endedAt: number | null;
  readonly maximumConsecutiveAborts: number;
  readonly version: string;
  readonly repository: string;
  readonly completedRounds: number;
  readonly abortedRounds: number;
  readonly consecutiveAborts: number;
  readonly chargedRounds: number;
  readonly attempts: number;
  readonly previousSid: string;
  /** Without parts that ask for nothing; `null` without any. */
  readonly schedule: RunSchedule | null;
  /** Since when it is this one; `null` if there never was one. */
  readonly scheduleChangedAt: number | null;
}

export class RunsRepository {
  private readonly parsed = new Map<string, Pick<Run, 'manifest' | 'manifestHash' | 'roster'>>();

  /** What changes runs is the driver's: a coordinator that has lost the `lease` changes none. */
  constructor(
    private readonly db: Database,
    private readonly lease: Lease = alwaysHeld,
  ) {}

  /** Newest first. */
  async list(): Promise<Run[]> {
    const rows = await this.db.selectFrom('runs').selectAll().orderBy('created_at', 'desc').orderBy('id').execute();
    return rows.map((row) => this.fromRow(row));
  }

  /** Those that have not ended, paused ones too; oldest first. */
  async unended(): Promise<Run[]> {
    const rows = await this.db
      .selectFrom('runs')
      .selectAll()
      .where('status', 'in', UNENDED)
      .orderBy('created_at')
      .execute();
    return rows.map((row) => this.fromRow(row));
  }

  async countByStatus(): Promise<Map<string, number>> {
    const rows = await this.db
      .selectFrom('runs')
      .select(({ fn }) => ['status', fn.countAll<number>().as('count')])
      .groupBy('status')
      .execute();
    return new Map(rows.map(({ status, count }) => [status, count]));
  }

  async byId(id: string, db: Kysely<Tables> = this.db): Promise<Run | undefined> {
    const row = await db.selectFrom('runs').selectAll().where('id', '=', id).executeTakeFirst();
    return row === undefined ? undefined : this.fromRow(row);
  }

  /** Those that publish into a repository, oldest first. */
  async ofRepository(repository: string, db: Kysely<Tables> = this.db): Promise<Run[]> {
    const rows = await db
      .selectFrom('runs')
      .selectAll()
      .where('repository', '=', repository)
      .orderBy('created_at')
      .orderBy('id')
      .execute();
    return rows.map((row) => this.fromRow(row));
  }

  /** The ids of those, and no more: asked at every request of a downstream service. */
  async idsOfRepository(repository: string): Promise<string[]> {
    const rows = await this.db.selectFrom('runs').select('id').where('repository', '=', repository).execute();
    return rows.map(({ id }) => id);
  }

  async add(run: Run, trx: Transaction<Tables>): Promise<void> {
    await this.lease.expectHeld(trx);
    await trx
      .insertInto('runs')
      .values({
        id: run.id,
        title: run.manifest.title,
        manifest: run.manifestText,
        manifest_signature: run.manifestSignature,
        roster: run.rosterText,
        status: run.status,
        reason: run.reason,
        created_at: run.createdAt,
        ended_at: run.endedAt,
        maximum_consecutive_aborts: run.maximumConsecutiveAborts,
        version: run.version,
        repository: run.repository,
        completed_rounds: run.completedRounds,
        aborted_rounds: run.abortedRounds,
        consecutive_aborts: run.consecutiveAborts,
        charged_rounds: run.chargedRounds,
        attempts: run.attempts,
        previous_sid: run.previousSid,
        ...scheduleColumns(run.schedule, run.scheduleChangedAt),
      })
      .execute();
  }

  async setSchedule(id: string, schedule: RunSchedule | null, at: number, trx: Transaction<Tables>): Promise<void> {
    await this.lease.expectHeld(trx);
    await trx.updateTable('runs').set(scheduleColumns(schedule, at)).where('id', '=', id).execute();
  }

  async end(id: string, status: RunStatus, reason: string, at: number, trx: Transaction<Tables>): Promise<void> {
    await this.lease.expectHeld(trx);
    await trx
      .updateTable('runs')
      .set({ status, reason, ended_at: at })
      .where('id', '=', id)
      .where('status', 'in', UNENDED)
      .execute();
  }

  /** Whether the run was running and is paused now. */
  async pause(id: string, reason: string, trx: Transaction<Tables>): Promise<boolean> {
    await this.lease.expectHeld(trx);
    const { numUpdatedRows } = await trx
      .updateTable('runs')
      .set({ status: 'paused', reason })
      .where('id', '=', id)
      .where('status', '=', 'running')
      .executeTakeFirst();
    return numUpdatedRows === 1n;
  }

  /** Whether the run was paused and is running now. Somebody looked at it: the aborts before no longer count. */
  async resume(id: string, trx: Transaction<Tables>): Promise<boolean> {
    await this.lease.expectHeld(trx);
    const { numUpdatedRows } = await trx
      .updateTable('runs')
      .set({ status: 'running', reason: null, consecutive_aborts: 0 })
      .where('id', '=', id)
      .where('status', '=', 'paused')
      .executeTakeFirst();
    return numUpdatedRows === 1n;
  }

  private fromRow(row: RunsTable): Run {
    let parsed = this.parsed.get(row.id);
    if (parsed === undefined) {
      const manifest = JSON.parse(row.manifest) as Manifest;
      parsed = { manifest, manifestHash: manifestHash(manifest), roster: JSON.parse(row.roster) as Roster };
      this.parsed.set(row.id, parsed);
    }
    return {
      id: row.id,
      ...parsed,
      manifestText: row.manifest,
      manifestSignature: row.manifest_signature,
      rosterText: row.roster,
      // Safe: only this class writes it.
      status: row.status as RunStatus,
      reason: row.reason,
      createdAt: row.created_at,
      endedAt: row.ended_at,
      maximumConsecutiveAborts: row.maximum_consecutive_aborts,
      version: row.version,
      repository: row.repository,
      completedRounds: row.completed_rounds,
      abortedRounds: row.aborted_rounds,
      consecutiveAborts: row.consecutive_aborts,
      chargedRounds: row.charged_rounds,
      attempts: row.attempts,
      previousSid: row.previous_sid,
      schedule: row.schedule === null ? null : (JSON.parse(row.schedule) as RunSchedule),
      scheduleChangedAt: row.schedule_changed_at,
    };
  }
}

function scheduleColumns(
  schedule: RunSchedule | null,
  changedAt: number | null,
): Pick<RunsTable, 'schedule' | 'schedule_changed_at'> {
  return { schedule: schedule === null ? null : JSON.stringify(schedule), schedule_changed_at: changedAt };
}
