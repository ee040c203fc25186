/** PostgreSQL, for coordinators of more than one process: pool, settings of each connection, and how values come back. */

import { HandleEmptyInListsPlugin, PostgresDialect, replaceWithNoncontingentExpression, type Driver } from 'kysely';
import pg from 'pg';
import { readDatabaseUrl } from '../config/database-url.js';
import { PostgresDriver } from './postgres-driver.js';
import { ofPostgres, type DatabaseKind } from './sql-differences.js';

const CONNECTIONS = 10;
const CONNECT_MS = 5000;
/** A statement that takes longer waits for something that will not come. */
const STATEMENT_MS = 60_000;
/** A process that stopped in the middle of a transaction, as a machine that sleeps, does not keep the others from writing. */
const IDLE_IN_TRANSACTION_MS = 15_000;

/** @throws FedloraError config/invalid */
export function openPostgres(url: string): DatabaseKind {
  const { tls, ...address } = readDatabaseUrl(url);
  const pool = new pg.Pool({
    ...address,
    ssl: tls,
    application_name: 'fedlora',
    max: CONNECTIONS,
    connectionTimeoutMillis: CONNECT_MS,
    keepAlive: true,
    statement_timeout: STATEMENT_MS,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MS,
    types: { getTypeParser },
  });
  // Without these Node ends the process when an idle connection breaks; whoever uses one hears of it from its query.
  pool.on('error', () => undefined);
  pool.on('connect', (client) => client.on('error', () => undefined));
  const driver = new PostgresDriver(pool, `${address.host}:${address.port}/${address.database}`);
  return {
    dialect: new DialectOf(driver, pool),
    plugins: [new HandleEmptyInListsPlugin({ strategy: replaceWithNoncontingentExpression })],
    differences: ofPostgres,
  };
}

class DialectOf extends PostgresDialect {
  constructor(
    private readonly driver: Driver,
    pool: pg.Pool,
  ) {
    super({ pool });
  }

  override createDriver(): Driver {
    return this.driver;
  }
}

const wholeNumbers = [pg.types.builtins.INT8, pg.types.builtins.NUMERIC] as const;

/** Counts, sums and times come as text, since they could be larger than a double holds exactly; none of ours is. */
function getTypeParser(oid: number, format?: 'text' | 'binary'): ReturnType<typeof pg.types.getTypeParser> {
  return (wholeNumbers as readonly number[]).includes(oid) ? Number : pg.types.getTypeParser(oid, format);
}
