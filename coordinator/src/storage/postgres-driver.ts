/**
 * Kysely's connection to PostgreSQL: one writer at a time, as SQLite has it, and no answer that leaves open what was stored.
 *
 * Guarantees
 *   Transactions of all replicas come one after the other, so what one has read is still so when it writes.
 *   A transaction that fails has stored nothing, also where the connection broke while it was committed: then the server is asked what
 *   became of it.
 *   A read outside of a transaction is asked again, once, when its connection breaks. Nothing else is.
 */

import { setTimeout as wait } from 'node:timers/promises';
import type { CompiledQuery, DatabaseConnection, Driver, QueryResult } from 'kysely';
import type { Pool, PoolClient } from 'pg';
import { asOurs, isLost, isUnreachable } from './postgres-errors.js';

/** How long a restart of the server may take until whoever asks is told. */
const REACHABLE_WITHIN_MS = 15_000;
const TRY_AGAIN_MS = 200;
/** Beyond the server's own limit of a statement: the network between us says nothing at all. */
const SILENT_MS = 75_000;
/** The lock of whoever writes; any number that nobody else uses in the database. */
const WRITER_LOCK = 7_342_001;
const BEGIN = `
  BEGIN ISOLATION LEVEL READ COMMITTED;
  SELECT pg_advisory_xact_lock(${WRITER_LOCK});
  SELECT pg_current_xact_id()::text AS id`;

interface Answer {
  readonly command: string;
  readonly rowCount: number | null;
  readonly rows: unknown[];
}

class PostgresConnection implements DatabaseConnection {
  /** The server's number of the transaction that is open. */
  transaction: string | undefined;
  private isBroken = false;

  constructor(
    private readonly driver: PostgresDriver,
    private client: PoolClient,
  ) {}

  async executeQuery<Row>({ sql, parameters, query }: CompiledQuery): Promise<QueryResult<Row>> {
    const mayAskAgain = this.transaction === undefined && query.kind === 'SelectQueryNode';
    const { command, rowCount, rows } = mayAskAgain
      ? await this.askUntilAnswered(sql, parameters)
      : await this.ask(sql, parameters);
    return {
      // Safe: Kysely knows what it asked for.
      rows: rows as Row[],
      ...(command === 'SELECT' || rowCount === null ? {} : { numAffectedRows: BigInt(rowCount) }),
    };
  }

  // eslint-disable-next-line require-yield
  async *streamQuery(): AsyncGenerator<never> {
    await Promise.reject(new Error('Nothing streams from PostgreSQL: read in pages.'));
  }

  /** For what does no harm if it is done twice. */
  async askUntilAnswered(sql: string, parameters: readonly unknown[] = []): Promise<Answer> {
    try {
      return await this.ask(sql, parameters);
    } catch (error) {
      if (!isUnreachable(error)) throw error;
    }
    this.client.release(true);
    [this.client, this.isBroken] = [await this.driver.reach(), false];
    return this.ask(sql, parameters);
  }

  /** The answer to the last of these statements. @throws FedloraError database/* */
  async ask(sql: string, parameters: readonly unknown[] = []): Promise<Answer> {
    const { client } = this;
    const giveUp = setTimeout(() => void (client as unknown as { end(): Promise<void> }).end(), SILENT_MS);
    try {
      const answer = (await client.query(sql, parameters.length === 0 ? undefined : [...parameters])) as
        Answer | Answer[];
      return answer instanceof Array ? answer[answer.length - 1] : answer;
    } catch (error) {
      if (isLost(error)) this.isBroken = true;
      throw this.driver.ours(error);
    } finally {
      clearTimeout(giveUp);
    }
  }

  /** From now on nobody uses it again. */
  discard(): void {
    this.isBroken = true;
  }

  release(): void {
    this.client.release(this.isBroken);
  }
}

export class PostgresDriver implements Driver {
  private isDestroyed = false;

  /** `where`: what errors call the database. */
  constructor(
    private readonly pool: Pool,
    private readonly where: string,
  ) {}

  init(): Promise<void> {
    return Promise.resolve();
  }

  async acquireConnection(): Promise<PostgresConnection> {
    return new PostgresConnection(this, await this.reach());
  }

  /** Waits for the writers before it. */
  async beginTransaction(connection: PostgresConnection): Promise<void> {
    try {
      const { rows } = await connection.askUntilAnswered(BEGIN);
      connection.transaction = (rows as { id: string }[])[0].id;
    } catch (error) {
      connection.discard(); // It may be in a transaction that nobody ends.
      throw error;
    }
  }

  async commitTransaction(connection: PostgresConnection): Promise<void> {
    try {
      await connection.ask('COMMIT');
    } catch (error) {
      const { transaction } = connection;
      if (!isUnreachable(error) || transaction === undefined || !(await this.isCommitted(transaction))) throw error;
    }
    connection.transaction = undefined;
  }

  /** The server ends what a broken connection leaves open. */
  async rollbackTransaction(connection: PostgresConnection): Promise<void> {
    await connection.ask('ROLLBACK').catch(() => connection.discard());
    connection.transaction = undefined;
  }

  releaseConnection(connection: PostgresConnection): Promise<void> {
    connection.release();
    return Promise.resolve();
  }

  async destroy(): Promise<void> {
    this.isDestroyed = true;
    await this.pool.end();
  }

  /** A connection, as soon as the server can be reached. @throws FedloraError database/unreachable | database/refused */
  async reach(): Promise<PoolClient> {
    for (const endsAt = Date.now() + REACHABLE_WITHIN_MS; ;) {
      try {
        return await this.pool.connect();
      } catch (error) {
        if (!isLost(error) || this.isDestroyed || Date.now() > endsAt) throw this.ours(error);
      }
      await wait(TRY_AGAIN_MS);
    }
  }

  ours(error: unknown): Error {
    return asOurs(error, this.where);
  }

  /** What became of a transaction whose commit was not answered. Nobody can go on without knowing, so it is asked until it is known. */
  private async isCommitted(transaction: string): Promise<boolean> {
    for (;;) {
      try {
        const client = await this.pool.connect();
        try {
          const { rows } = await client.query<{ status: string | null }>('SELECT pg_xact_status($1::xid8) AS status', [
            transaction,
          ]);
          if (rows[0].status !== 'in progress') return rows[0].status === 'committed';
        } finally {
          client.release(true);
        }
      } catch (error) {
        if (this.isDestroyed || !isLost(error)) throw this.ours(error);
      }
      await wait(TRY_AGAIN_MS);
    }
  }
}
