/** Debian's PostgreSQL for tests: a server of its own in a temporary folder, on a free port of this machine, that nothing outlives. */

import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { chown, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import pg from 'pg';
import { freePort } from './free-port.js';

const DEBIAN = '/usr/lib/postgresql';
/** PostgreSQL does not run as root: Debian's user of nothing. */
const NOBODY = 65_534;
/** A power cut loses tests nothing. */
const settings = [
  'fsync=off',
  'full_page_writes=off',
  'synchronous_commit=off',
  'max_wal_size=256MB',
  'autovacuum=off',
];

/** The folder of PostgreSQL's programs; `undefined` where it is not installed. */
export function postgresPrograms(): string | undefined {
  if (!existsSync(DEBIAN)) return undefined;
  const versions = readdirSync(DEBIAN).sort((a, b) => Number(b) - Number(a));
  return versions.map((version) => join(DEBIAN, version, 'bin')).find((folder) => existsSync(join(folder, 'initdb')));
}

/** A backup of a database, as `pg_dump` makes it. */
export function dumpOf(url: string, format: 'plain' | 'custom' = 'plain'): Buffer {
  return runProgram('pg_dump', [`--format=${format}`, url]);
}

/** Puts a backup of format `custom` in the place of what the database has, as the operator's guide says. */
export function restore(url: string, dump: Buffer): void {
  runProgram('pg_restore', ['--clean', '--if-exists', '--single-transaction', `--dbname=${url}`], dump);
}

function runProgram(name: string, args: readonly string[], input?: Buffer): Buffer {
  const { status, stdout, stderr } = spawnSync(join(postgresPrograms() ?? '', name), args, {
    maxBuffer: 2 ** 28,
    ...(input === undefined ? {} : { input }),
  });
  if (status !== 0) throw new Error(`${name} failed: ${stderr.toString()}`);
  return stdout;
}

export class PostgresServer {
  private databases = 0;

  private constructor(
    private readonly programs: string,
    readonly folder: string,
    readonly port: number,
    private process: ChildProcess,
  ) {}

  /** `more`: settings beside those of all tests. */
  static async start(more: readonly string[] = []): Promise<PostgresServer> {
    const programs = postgresPrograms();
    if (programs === undefined) throw new Error('PostgreSQL is not installed.');
    const folder = await mkdtemp(join(tmpdir(), 'fedlora-postgres-'));
    if (isRoot()) await chown(folder, NOBODY, NOBODY);
    const made = spawnSync(
      join(programs, 'initdb'),
      ['--pgdata', join(folder, 'data'), '--username=fedlora', '--auth=trust', '--no-sync', '--locale=C.UTF-8'],
      { cwd: folder, encoding: 'utf8', ...asNobody() },
    );
    if (made.status !== 0) throw new Error(`initdb failed: ${made.stderr}`);
    const port = await freePort();
    const server = new PostgresServer(programs, folder, port, run(programs, folder, port, more));
    await server.untilReady();
    return server;
  }

  /** The address of a fresh, empty database. */
  async database(name = `test_${process.pid}_${(this.databases += 1)}`): Promise<string> {
    await ask(this.url('postgres'), `CREATE DATABASE ${name}`);
    return this.url(name);
  }

  url(database: string): string {
    return `postgres://fedlora@127.0.0.1:${this.port}/${database}`;
  }

  /** Starts it again after `halt`. */
  async goOn(more: readonly string[] = []): Promise<void> {
    this.process = run(this.programs, this.folder, this.port, more);
    await this.untilReady();
  }

  /** Ends it as `systemctl restart` does, or `abruptly` as a crash does; what it stored stays. */
  async halt({ abruptly = false } = {}): Promise<void> {
    const ended = this.process.exitCode === null ? once(this.process, 'exit') : undefined;
    this.process.kill(abruptly ? 'SIGQUIT' : 'SIGINT'); // Immediate and fast, in PostgreSQL's words.
    await ended;
  }

  async stop(): Promise<void> {
    await this.halt({ abruptly: true });
    rmSync(this.folder, { recursive: true, force: true });
  }

  private async untilReady(): Promise<void> {
    for (const endsAt = Date.now() + 30_000; ;) {
      try {
        return await ask(this.url('postgres'), 'SELECT 1');
      } catch (cause) {
        if (this.process.exitCode !== null || Date.now() > endsAt)
          throw new Error('PostgreSQL does not start.', { cause });
      }
      await wait(50);
    }
  }
}

function run(programs: string, folder: string, port: number, more: readonly string[]): ChildProcess {
  const given = [
    ...settings,
    ...more,
    'listen_addresses=127.0.0.1',
    `port=${port}`,
    `unix_socket_directories=${folder}`,
  ];
  const child = spawn(
    join(programs, 'postgres'),
    ['-D', join(folder, 'data'), ...given.flatMap((setting) => ['-c', setting])],
    { cwd: folder, stdio: 'ignore', ...asNobody() },
  );
  // Immediate shutdown: this process may have no time to wait.
  const kill = (): void => void child.kill('SIGQUIT');
  process.once('exit', kill);
  child.once('exit', () => process.off('exit', kill));
  return child;
}

async function ask(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}

function asNobody(): { readonly uid?: number; readonly gid?: number } {
  return isRoot() ? { uid: NOBODY, gid: NOBODY } : {};
}
