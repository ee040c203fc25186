/** Rounds, their events and their messages in the database. */

import type { Transaction } from 'kysely';
import { requestPhases, type EvaluationView } from '@fedlora/shared';
import { alwaysHeld, type Lease } from '../storage/lease.js';
import type { Database, RoundsTable, Tables } from '../storage/database.js';
import type { Measurement } from '../schedule/stop-rules.js';
import type { FreshMessage } from './round-messages.js';
import { NO_RESULT, type RoundResult } from './round-result.js';
import type { RoundEvent, RoundState } from './round.machine.js';

export interface RoundRecord extends RoundResult {
  readonly id: string;
  readonly runId: string;
  /** Counts attempts from 1. */
  readonly number: number;
  readonly completedRounds: number;
  readonly baseVersion: string;
  readonly previousSid: string;
  readonly sid: string;
  readonly startedAt: number;
  /** The time of the run's schedule that it was started for; `null` if no time asked for it. */
  readonly scheduledFor: number | null;
  /** The machine's last state; `null` while the round runs. */
  readonly finalState: RoundState | null;
}

/** Messages that are read at once. Those of a thousand participants together take tens of megabytes. */
const MESSAGES_AT_ONCE = 100;

export class RoundsRepository {
  constructor(
    private readonly db: Database,
    private readonly lease: Lease = alwaysHeld,
  ) {}

  /** Runs several changes as one: all are on disk afterwards, or none. @throws FedloraError coordinator/standing-by */
  transaction<Result>(change: (trx: Transaction<Tables>) => Promise<Result>): Promise<Result> {
    return this.db.transaction().execute(async (trx) => {
      await this.lease.expectHeld(trx);
      return change(trx);
    });
  }

  async byId(id: string): Promise<RoundRecord | undefined> {
    const row = await this.db.selectFrom('rounds').selectAll().where('id', '=', id).executeTakeFirst();
    return row === undefined ? undefined : fromRow(row);
  }

  /** Rounds that have not ended. */
  async open(): Promise<RoundRecord[]> {
    return (await this.db.selectFrom('rounds').selectAll().where('outcome', 'is', null).execute()).map(fromRow);
  }

  /** Rounds that have ended, of all runs, newest first. */
  async latest(limit: number): Promise<RoundRecord[]> {
    const query = this.db
      .selectFrom('rounds')
      .selectAll()
      .where('ended_at', 'is not', null)
      .orderBy('ended_at', 'desc')
      .limit(limit);
    return (await query.execute()).map(fromRow);
  }

  /** Newest first, of those before the number `before`. */
  async ofRun(runId: string, limit: number, before = Number.MAX_SAFE_INTEGER): Promise<RoundRecord[]> {
    const query = this.db
      .selectFrom('rounds')
      .selectAll()
      .where('run_id', '=', runId)
      .where('number', '<', before)
      .orderBy('number', 'desc')
      .limit(limit);
    return (await query.execute()).map(fromRow);
  }

  /** What was measured of versions, in the rounds that started from them and ended well; by version. */
  async evaluationsOf(versions: readonly string[]): Promise<Map<string, EvaluationView>> {
    const rows = await this.db
      .selectFrom('rounds')
      .select(['id', 'number', 'base_version', 'held_out_loss', 'held_out_accuracy'])
      .where('base_version', 'in', versions)
      .where('outcome', '=', 'done')
      .orderBy('number')
      .execute();
    return new Map(
      rows.flatMap(({ id, number, base_version: version, held_out_loss: loss, held_out_accuracy: accuracy }) =>
        loss === null || accuracy === null ? [] : [[version, { loss, accuracy, roundId: id, roundNumber: number }]],
      ),
    );
  }

  /** The numbers of rounds, by id. */
  async numbersOf(rounds: readonly string[]): Promise<Map<string, number>> {
    const rows = await this.db.selectFrom('rounds').select(['id', 'number']).where('id', 'in', rounds).execute();
    return new Map(rows.map(({ id, number }) => [id, number]));
  }

  /** How many rounds of a run were started for a time of its schedule. */
  async attemptsAt(runId: string, scheduledFor: number): Promise<number> {
    const { attempts } = await this.db
      .selectFrom('rounds')
      .select(({ fn }) => fn.countAll<number>().as('attempts'))
      .where('run_id', '=', runId)
      .where('scheduled_for', '=', scheduledFor)
      .executeTakeFirstOrThrow();
    return attempts;
  }

  /** What the rounds of a run measured on held-out rows, oldest first. */
  async measurementsOf(runId: string): Promise<Measurement[]> {
    return this.db
      .selectFrom('rounds')
      .select(['number as round', 'held_out_loss as loss', 'held_out_accuracy as accuracy'])
      .where('run_id', '=', runId)
      .where('held_out_loss', 'is not', null)
      .orderBy('number')
      .execute();
  }

  /** Rounds of some runs that went on within a range of time, newest first. */
  async within(
    runIds: readonly string[],
    range: { readonly from: number; readonly until: number },
    limit: number,
  ): Promise<RoundRecord[]> {
    if (runIds.length === 0) return [];
    const query = this.db
      .selectFrom('rounds')
      .selectAll()
      .where('run_id', 'in', runIds)
      .where('started_at', '<', range.until)
      .where((row) => row.or([row('ended_at', 'is', null), row('ended_at', '>=', range.from)]))
      .orderBy('started_at', 'desc')
      .limit(limit);
    return (await query.execute()).map(fromRow);
  }

  async add(round: RoundRecord, trx: Transaction<Tables>): Promise<void> {
    await trx
      .insertInto('rounds')
      .values({
        id: round.id,
        run_id: round.runId,
        number: round.number,
        completed_rounds: round.completedRounds,
        base_version: round.baseVersion,
        previous_sid: round.previousSid,
        sid: round.sid,
        started_at: round.startedAt,
        scheduled_for: round.scheduledFor,
        ended_at: null,
        outcome: null,
        version: null,
        ...resultColumns(NO_RESULT),
        final_state: null,
      })
      .execute();
    await trx
      .updateTable('runs')
      .set({ attempts: round.number, previous_sid: round.sid })
      .where('id', '=', round.runId)
      .execute();
  }

  /** `sequence`: of the first of them. */
  async addEvents(
    roundId: string,
    sequence: number,
    events: readonly RoundEvent[],
    trx: Transaction<Tables>,
  ): Promise<void> {
    if (events.length === 0) return;
    const rows = events.map((event, i) => ({
      round_id: roundId,
      sequence: sequence + i,
      event: JSON.stringify(event),
    }));
    await trx.insertInto('round_events').values(rows).execute();
  }

  async events(roundId: string): Promise<RoundEvent[]> {
    const rows = await this.db
      .selectFrom('round_events')
      .select('event')
      .where('round_id', '=', roundId)
      .orderBy('sequence')
      .execute();
    return rows.map((row) => JSON.parse(row.event) as RoundEvent);
  }

  async addMessages(roundId: string, messages: readonly FreshMessage[], trx: Transaction<Tables>): Promise<void> {
    const rows = messages.map(({ participant, phase, message }) => ({
      round_id: roundId,
      participant,
      phase,
      message: Buffer.from(message),
    }));
    await trx.insertInto('round_messages').values(rows).execute();
  }

  /** In the order of arrival, some at a time. */
  async *messages(roundId: string): AsyncGenerator<readonly FreshMessage[]> {
    for (let after = 0; ;) {
      const rows = await this.db
        .selectFrom('round_messages')
        .selectAll()
        .where('round_id', '=', roundId)
        .where('arrival', '>', after)
        .orderBy('arrival')
        .limit(MESSAGES_AT_ONCE)
        .execute();
      yield rows.flatMap(({ phase, participant, message }) => {
        const known = requestPhases.find((one) => one === phase);
        // A plain array of its own: what a driver returns may share its memory with others.
        return known === undefined ? [] : [{ participant, phase: known, message: new Uint8Array(message) }];
      });
      const last = rows.at(-1);
      if (last === undefined || rows.length < MESSAGES_AT_ONCE) return;
      after = last.arrival;
    }
  }

  /** Adds one to the rounds that the accountant counts. */
  async charge(runId: string, trx: Transaction<Tables>): Promise<void> {
    await trx
      .updateTable('runs')
      .set((row) => ({ charged_rounds: row('charged_rounds', '+', 1) }))
      .where('id', '=', runId)
      .execute();
  }

  /** Ends a round, updates its run, and scrubs the messages. */
  async end(round: RoundRecord, state: RoundState, trx: Transaction<Tables>): Promise<void> {
    await trx
      .updateTable('rounds')
      .set({
        ended_at: state.endedAt,
        outcome: state.phase,
        version: state.version,
        final_state: JSON.stringify(state),
      })
      .where('id', '=', round.id)
      .execute();
    await trx.deleteFrom('round_messages').where('round_id', '=', round.id).execute();
    await trx
      .updateTable('runs')
      .set((row) =>
        state.phase === 'done'
          ? { completed_rounds: row('completed_rounds', '+', 1), consecutive_aborts: 0, version: state.version ?? '' }
          : { aborted_rounds: row('aborted_rounds', '+', 1), consecutive_aborts: row('consecutive_aborts', '+', 1) },
      )
      .where('id', '=', round.runId)
      .execute();
  }

  /** Leaves nothing of scrubbed messages in the database's files. */
  async forgetScrubbed(): Promise<void> {
    await this.db.differences.forgetDeleted('round_messages', this.db);
  }

  /** What the noised sum told. */
  async setResult(roundId: string, result: RoundResult, trx: Transaction<Tables>): Promise<void> {
    await trx.updateTable('rounds').set(resultColumns(result)).where('id', '=', roundId).execute();
  }
}

type ResultColumns = Pick<
  RoundsTable,
  | 'mean_loss'
  | 'epsilon'
  | 'noise_to_signal'
  | 'fraction_within'
  | 'suggested_bound'
  | 'held_out_loss'
  | 'held_out_accuracy'
>;

function resultColumns(result: RoundResult): ResultColumns {
  return {
    mean_loss: result.meanLoss,
    epsilon: result.epsilon,
    noise_to_signal: result.noiseToSignal,
    fraction_within: result.fractionWithin,
    suggested_bound: result.suggestedL2Bound,
    held_out_loss: result.heldOutLoss,
    held_out_accuracy: result.heldOutAccuracy,
  };
}

function fromRow(row: RoundsTable): RoundRecord {
  return {
    id: row.id,
    runId: row.run_id,
    number: row.number,
    completedRounds: row.completed_rounds,
    baseVersion: row.base_version,
    previousSid: row.previous_sid,
    sid: row.sid,
    startedAt: row.started_at,
    scheduledFor: row.scheduled_for,
    meanLoss: row.mean_loss,
    epsilon: row.epsilon,
    noiseToSignal: row.noise_to_signal,
    fractionWithin: row.fraction_within,
    suggestedL2Bound: row.suggested_bound,
    heldOutLoss: row.held_out_loss,
    heldOutAccuracy: row.held_out_accuracy,
    finalState: row.final_state === null ? null : (JSON.parse(row.final_state) as RoundState),
  };
}
