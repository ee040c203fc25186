/**
 * A cluster as an operator runs it: two coordinators on one PostgreSQL database, one bucket and one Redis, behind a proxy that asks whoever
 * is ready, and two workers that sum what the bucket has.
 */

import type { ChildProcess } from 'node:child_process';
import { cp, mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CreateBucketCommand, type S3Client } from '@aws-sdk/client-s3';
import pg from 'pg';
import { caddy, startReplicasProxy, type DeployedProxy } from './deployed-proxy.js';
import { eventually } from './eventually.js';
import { becomeFirstAdmin, setupTokenOf } from './first-admin.js';
import { freePort } from './free-port.js';
import { HeldLink } from './held-link.js';
import { postgresPrograms, PostgresServer } from './postgres-server.js';
import { killNow, Processes } from './processes.js';
import { hasRedis, RedisServer } from './redis-server.js';
import { send } from './requests.js';
import { swiftKeys, SwiftServer, whyNoSwift } from './swift-server.js';

/** Each program that a cluster needs and that is not installed here, as a sentence without its period. */
export const missingForCluster: readonly string[] = [
  postgresPrograms() === undefined ? 'PostgreSQL is not installed (on Debian: postgresql)' : undefined,
  whyNoSwift,
  hasRedis() ? undefined : 'Redis is not installed (on Debian: redis-server)',
  caddy.path === undefined ? 'Caddy is not installed (on Debian: caddy)' : undefined,
].filter((reason) => reason !== undefined);

const LEASE_SECONDS = 3;

interface Replica {
  readonly folder: string;
  readonly port: number;
  readonly url: string;
  child: ChildProcess | undefined;
}

interface Worker {
  readonly log: string;
  /** Its way to the bucket. */
  readonly link: HeldLink;
  child: ChildProcess | undefined;
}

/** A range that a worker has summed, of words `from` to before `to`. */
export interface SummedRange {
  readonly worker: number;
  readonly roundId: string;
  readonly from: number;
  readonly to: number;
}

export interface ClusterOptions {
  /** Root of the repository, where the programs are. */
  readonly root: string;
  /** Where coordinators and the bucket keep their files, and logs go. */
  readonly folder: string;
  readonly federationKey: string;
}

export class Cluster {
  static readonly bucket = 'fedlora';
  /** An API token that may do everything. */
  token = '';
  /** Of the user `admin`. */
  password = '';
  private readonly processes = new Processes();
  private proxy: Pick<DeployedProxy, 'url' | 'stop'> | undefined;

  private constructor(
    private readonly options: ClusterOptions,
    readonly postgres: PostgresServer,
    readonly databaseUrl: string,
    readonly redis: RedisServer,
    private readonly swift: SwiftServer,
    private readonly replicas: readonly Replica[],
    private readonly workers: readonly Worker[],
  ) {}

  /** All run, and one coordinator drives. */
  static async start(options: ClusterOptions): Promise<Cluster> {
    const { folder } = options;
    await mkdir(join(folder, 'swift'), { recursive: true });
    const [swift, redis, postgres] = await Promise.all([
      SwiftServer.start(join(folder, 'swift')),
      RedisServer.start(),
      // What it acknowledged outlives a crash of it; power cuts are not of this machine's tests.
      PostgresServer.start(['synchronous_commit=on']),
    ]);
    const replicas: Replica[] = [];
    for (const name of ['one', 'other']) {
      const port = await freePort();
      replicas.push({ folder: join(folder, name), port, url: `http://127.0.0.1:${port}`, child: undefined });
    }
    const workers: Worker[] = [];
    for (const name of ['first', 'second']) {
      const link = await HeldLink.start(Number(new URL(swift.url).port));
      workers.push({ log: join(folder, `${name}-worker.log`), link, child: undefined });
    }
    const all = new Cluster(options, postgres, await postgres.database(), redis, swift, replicas, workers);
    try {
      await all.begin();
    } catch (error) {
      await all.stop();
      throw error;
    }
    return all;
  }

  /** Of the proxy: all that organisations and operators know. */
  get url(): string {
    return this.proxy?.url ?? '';
  }

  /** Of the bucket's server; to be destroyed by whoever asked for it. */
  bucketClient(): S3Client {
    return this.swift.client();
  }

  /** Ends whoever drives as `kill -9` does, and returns which it was: for `startAgain`. */
  async killDriver(): Promise<number> {
    const driver = await this.driver();
    await killNow(running(this.replicas[driver]));
    return driver;
  }

  /** Starts one of them again, which stands by; resolves when it answers. */
  async startAgain(which: number): Promise<void> {
    void this.run(this.replicas[which]);
    await eventually('the replica answers', async () => (await send(this.replicas[which].url, 'GET', '/healthz')).ok);
  }

  /** Starts again whichever ended by itself, as a service manager does. */
  async startEnded(): Promise<void> {
    for (const [i, { child }] of this.replicas.entries()) {
      if (child !== undefined && (child.exitCode !== null || child.signalCode !== null)) await this.startAgain(i);
    }
  }

  /** No worker reads anything from now on. */
  holdWorkers(): void {
    for (const { link } of this.workers) link.hold();
  }

  /** Whether every worker is in the middle of a sum, and held. */
  get areSumming(): boolean {
    return this.workers.every(({ link }) => link.holdsSomething);
  }

  releaseWorkers(): void {
    for (const { link } of this.workers) link.release();
  }

  /** Ends a worker as `kill -9` does. */
  async killWorker(which: number): Promise<void> {
    await killNow(running(this.workers[which]));
  }

  /** Starts a worker again, which must not be held; resolves when it takes jobs. */
  async startWorkerAgain(which: number): Promise<void> {
    await this.startWorker(this.workers[which]);
  }

  /** What workers have summed, as they say. */
  async summed(): Promise<SummedRange[]> {
    const logs = await Promise.all(this.workers.map(({ log }) => linesOf(log)));
    return logs.flatMap((lines, worker) =>
      lines.filter(({ event }) => event === 'worker.range.summed').map((line) => ({ ...line, worker })),
    );
  }

  /** Which of them is ready: the one that drives. Never both. */
  async driver(): Promise<number> {
    let driver = -1;
    await eventually('one drives', async () => {
      const ready = await Promise.all(
        this.replicas.map(({ url }) =>
          send(url, 'GET', '/readyz').then(
            ({ ok }) => ok,
            () => false,
          ),
        ),
      );
      driver = ready.indexOf(true);
      return driver >= 0;
    });
    return driver;
  }

  /** Pieces of contributions that either of them was collecting. */
  async arriving(): Promise<string[]> {
    const found = await Promise.all(this.replicas.map(({ folder }) => readdir(join(folder, 'blobs', 'arriving'))));
    return found.flat();
  }

  /** The rows of a query in the database. */
  async query<Row extends pg.QueryResultRow>(statement: string): Promise<Row[]> {
    const client = new pg.Client({ connectionString: this.databaseUrl });
    await client.connect();
    try {
      return (await client.query<Row>(statement)).rows;
    } finally {
      await client.end();
    }
  }

  async stop(): Promise<void> {
    this.releaseWorkers();
    await this.processes.stop();
    const links = this.workers.map(({ link }) => link.stop());
    await Promise.all([this.proxy?.stop(), this.swift.stop(), this.redis.stop(), this.postgres.stop(), ...links]);
  }

  private async begin(): Promise<void> {
    const [one, other] = this.replicas;
    const client = this.bucketClient();
    await client.send(new CreateBucketCommand({ Bucket: Cluster.bucket }));
    client.destroy();
    const setupToken = this.run(one);
    await this.driver();
    await mkdir(other.folder);
    await cp(join(one.folder, 'coordinator.key'), join(other.folder, 'coordinator.key'));
    await Promise.all([this.startAgain(1), ...this.workers.map((worker) => this.startWorker(worker))]);
    this.proxy = await startReplicasProxy(
      this.options.root,
      join(this.options.folder, 'proxy'),
      this.replicas.map(({ port }) => port),
    );
    await eventually('the proxy answers', async () => (await send(this.url, 'GET', '/readyz')).ok);
    const { token, password } = await becomeFirstAdmin(this.url, await setupToken);
    this.token = token;
    this.password = password;
  }

  /** Resolves when it takes jobs, once more. */
  private async startWorker(worker: Worker): Promise<void> {
    const starts = async (): Promise<number> =>
      (await linesOf(worker.log)).filter(({ event }) => event === 'worker.ready').length;
    const before = await starts();
    // Neither a database nor a key is known to it, and it has no folder.
    worker.child = this.start(['worker'], worker.log, {
      FEDLORA_DATA: join(this.options.folder, 'none'),
      FEDLORA_S3_ENDPOINT: worker.link.url,
    });
    await eventually('the worker takes jobs', async () => (await starts()) > before);
  }

  /** Returns the token of the link that the first start prints. */
  private run(replica: Replica): Promise<string> {
    const child = this.start([], join(this.options.folder, 'coordinators.log'), {
      FEDLORA_DATA: replica.folder,
      FEDLORA_PORT: String(replica.port),
      FEDLORA_DATABASE_URL: this.databaseUrl,
      FEDLORA_LEASE_SECONDS: String(LEASE_SECONDS),
      FEDLORA_TRUSTED_PROXIES: 'loopback',
      FEDLORA_S3_ENDPOINT: this.swift.url,
    });
    replica.child = child;
    return setupTokenOf(child);
  }

  private start(args: readonly string[], log: string, env: NodeJS.ProcessEnv): ChildProcess {
    return this.processes.start([join(this.options.root, 'coordinator', 'bin', 'fedlora-coordinator.mjs'), ...args], {
      log,
      env: {
        FEDLORA_FEDERATION_KEY: this.options.federationKey,
        FEDLORA_REDIS_URL: this.redis.url,
        FEDLORA_S3_BUCKET: Cluster.bucket,
        AWS_ACCESS_KEY_ID: swiftKeys.accessKeyId,
        AWS_SECRET_ACCESS_KEY: swiftKeys.secretAccessKey,
        ...env,
      },
    });
  }
}

function running({ child }: { readonly child: ChildProcess | undefined }): ChildProcess {
  if (child === undefined) throw new Error('It was not started here.');
  return child;
}

interface WorkerLine extends Omit<SummedRange, 'worker'> {
  readonly event: string;
}

/** What a worker has logged; it prints JSON only, but for the SDK's notices of its own. */
async function linesOf(path: string): Promise<readonly WorkerLine[]> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text
    .split('\n')
    .slice(0, -1)
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as WorkerLine);
}
