/** Which database a test runs on: PostgreSQL in the project `postgres`, the embedded one in every other. Each test file runs on both or on one. */

import { createHash } from 'node:crypto';
import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Sqlite from 'libsql';
import pg from 'pg';
import { inject } from 'vitest';
import type { DatabaseAddress } from '../../coordinator/src/storage/database.js';
import { dumpOf, restore } from './postgres-server.js';

declare module 'vitest' {
  interface ProvidedContext {
    /** The port of PostgreSQL; only in the project whose tests run on it. */
    readonly postgresPort: number | undefined;
  }
}

export const isOnPostgres = inject('postgresPort') !== undefined;

/** The setting of a coordinator with this data folder: always the same database for the same folder, made when it is asked for first. */
export async function databaseSetting(dataFolder: string): Promise<{ readonly databaseUrl?: string }> {
  if (!isOnPostgres) return {};
  const name = `folder_${createHash('sha256').update(dataFolder).digest('hex').slice(0, 16)}`;
  const url = (database: string): string => `postgres://fedlora@127.0.0.1:${inject('postgresPort')}/${database}`;
  const client = new pg.Client({ connectionString: url('postgres') });
  await client.connect();
  try {
    const { rowCount } = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [name]);
    if (rowCount === 0) await client.query(`CREATE DATABASE ${name}`);
  } finally {
    await client.end();
  }
  return { databaseUrl: url(name) };
}

/** Everything that the database of a coordinator has stored, to look for what must not be there. */
export async function databaseContent(dataFolder: string): Promise<Buffer> {
  const { databaseUrl } = await databaseSetting(dataFolder);
  if (databaseUrl !== undefined) return dumpOf(databaseUrl);
  const files = ['coordinator.sqlite', 'coordinator.sqlite-wal'].map((name) => join(dataFolder, name));
  return Buffer.concat(await Promise.all(files.map((path) => readFile(path).catch(() => Buffer.of()))));
}

/** A backup of a running coordinator's database, made as the operator's guide says. Returns how to put it in the place of what is there. */
export async function backUp(dataFolder: string): Promise<() => Promise<void>> {
  const { databaseUrl } = await databaseSetting(dataFolder);
  if (databaseUrl !== undefined) {
    const dump = dumpOf(databaseUrl, 'custom');
    return () => Promise.resolve(restore(databaseUrl, dump));
  }
  const folder = await mkdtemp(join(tmpdir(), 'fedlora-backup-'));
  const [file, copy] = [join(dataFolder, 'coordinator.sqlite'), join(folder, 'copy.sqlite')];
  const running = new Sqlite(file);
  running.exec(`VACUUM INTO '${copy}'`);
  running.close();
  return async () => {
    for (const ending of ['-wal', '-shm']) await rm(file + ending, { force: true });
    await copyFile(copy, file);
    await rm(folder, { recursive: true });
  };
}

/** The address of a fresh, empty database without a coordinator. */
export async function aDatabase(): Promise<DatabaseAddress> {
  const folder = await mkdtemp(join(tmpdir(), 'fedlora-database-'));
  const { databaseUrl } = await databaseSetting(folder);
  return databaseUrl === undefined ? { path: join(folder, 'database.sqlite') } : { url: databaseUrl };
}
