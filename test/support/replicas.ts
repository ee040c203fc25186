/**
 * A cluster as an operator runs it: two coordinators on one PostgreSQL database, one bucket and one Redis, behind a proxy that asks whoever
 * is ready, and two workers that sum what the bucket has. With four organisations that come back through the proxy whenever their
 * connection breaks.
 */

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { S3Client } from '@aws-sdk/client-s3';
import { CreateBucketCommand } from '@aws-sdk/client-s3';
import { manifestHash, type Manifest } from '@fedlora/protocol';
import {
  routes,
  type Overview,
  type RequestPhase,
  type Reply,
  type RoundRequest,
  type RoundView,
} from '@fedlora/shared';
import pg from 'pg';
import { S3Blobs } from '../../coordinator/src/storage/s3-blobs.js';
import { startReplicasProxy, type DeployedProxy } from './deployed-proxy.js';
import { FakeFederation, FakeOrganisation } from './fake-federation.js';
import { becomeFirstAdmin } from './first-admin.js';
import { freePort } from './free-port.js';
import { HeldLink } from './held-link.js';
import { PostgresServer } from './postgres-server.js';
import { Processes } from './processes.js';
import { RedisServer } from './redis-server.js';
import { listAll, operate, send } from './requests.js';
import { swiftKeys, SwiftServer } from './swift-server.js';

const root = resolve(import.meta.dirname, '..', '..');
const BUCKET = 'fedlora';
const LEASE_SECONDS = 3;
/** Far more than anything here takes on a busy machine. */
const PATIENCE_MS = 90_000;
const LOOK_MS = 50;

/** One that can be held in the middle of its upload, and remembers what it sent and on which terms. */
export class HeldOrganisation extends FakeOrganisation {
  /** Everything that it told the coordinator: nothing of it may be left when its round has ended. */
  readonly told: Uint8Array[] = [];
  /** By hash. */
  readonly manifests = new Map<string, Manifest>();
  private readonly uploading = new Set<string>();
  private held: { readonly until: Promise<void>; readonly release: () => void } | undefined;

  /** Its next upload stops after one piece. */
  holdUpload(): void {
    let release = (): void => undefined;
    const until = new Promise<void>((resolve) => (release = resolve));
    this.held = { until, release };
  }

  /** Lets its upload go on. */
  releaseUpload(): void {
    this.held?.release();
    this.held = undefined;
  }

  /** Whether a piece of its contribution to a round is at the coordinator, and it is held. */
  isHeldAt(roundId: string): boolean {
    return this.uploading.has(roundId);
  }

  override async patch(roundId: string, offset: number, piece: Uint8Array, length: number): Promise<Response> {
    this.told.push(Uint8Array.from(piece));
    if (offset > 0 && this.held !== undefined) {
      this.uploading.add(roundId);
      await this.held.until;
    }
    return super.patch(roundId, offset, piece, length);
  }

  override reply(roundId: string, phase: RequestPhase, message: Uint8Array): Promise<Reply> {
    this.told.push(message);
    return super.reply(roundId, phase, message);
  }

  protected override answer(request: RoundRequest): Promise<void> {
    if (request.offer !== undefined) {
      const manifest = JSON.parse(request.offer.manifest) as Manifest;
      this.manifests.set(manifestHash(manifest), manifest);
    }
    return super.answer(request);
  }
}

class HeldFederation extends FakeFederation {
  protected override organisation(name: string): FakeOrganisation {
    return new HeldOrganisation(name);
  }
}

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

export class Replicas {
  readonly federation = new HeldFederation();
  token = '';
  private readonly client: S3Client;
  private readonly bucket: S3Blobs;
  private readonly processes = new Processes();
  private readonly leaving = new AbortController();
  private staying: Promise<void> = Promise.resolve();
  private proxy: Pick<DeployedProxy, 'url' | 'stop'> | undefined;

  private constructor(
    readonly folder: string,
    readonly postgres: PostgresServer,
    readonly databaseUrl: string,
    readonly redis: RedisServer,
    private readonly swift: SwiftServer,
    private readonly replicas: readonly Replica[],
    private readonly workers: readonly Worker[],
  ) {
    this.client = swift.client();
    this.bucket = new S3Blobs(this.client, BUCKET, '');
  }

  /** All run, one coordinator drives, and the organisations are connected through the proxy. */
  static async start(names: readonly string[]): Promise<Replicas> {
    const folder = await mkdtemp(join(tmpdir(), 'fedlora-replicas-'));
    await mkdir(join(folder, 'swift'));
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
    const all = new Replicas(folder, postgres, await postgres.database(), redis, swift, replicas, workers);
    try {
      await all.begin(names);
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

  get organisations(): readonly HeldOrganisation[] {
    return this.federation.organisations.filter((one) => one instanceof HeldOrganisation);
  }

  /** Ends whoever drives as `kill -9` does, and returns which it was: for `startAgain`. */
  async killDriver(): Promise<number> {
    const driver = await this.driver();
    await killed(this.replicas[driver].child);
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
    await killed(this.workers[which].child);
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

  /** Through the proxy, which may have nobody to ask for a while. */
  async asked<Value>(ask: (url: string, token: string) => Promise<Value>): Promise<Value> {
    let value: Value | undefined;
    await eventually('the proxy answers', async () => {
      value = await ask(this.url, this.token);
      return true;
    });
    return value as Value; // Safe: it was asked.
  }

  overview(): Promise<Overview> {
    return this.asked((url, token) => operate<Overview>(url, token, 'GET', routes.overview));
  }

  rounds(runId: string): Promise<RoundView[]> {
    return this.asked((url, token) => listAll<RoundView>(url, token, routes.rounds(runId)));
  }

  /** What the bucket has below a name. */
  async stored(prefix: string): Promise<string[]> {
    const names: string[] = [];
    for await (const { name } of this.bucket.list(prefix)) names.push(name);
    return names;
  }

  read(name: string): Promise<Uint8Array> {
    return this.bucket.get(name);
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
    this.leaving.abort();
    for (const organisation of this.organisations) organisation.releaseUpload();
    this.releaseWorkers();
    await this.processes.stop();
    await this.staying;
    this.client.destroy();
    const links = this.workers.map(({ link }) => link.stop());
    await Promise.all([this.proxy?.stop(), this.swift.stop(), this.redis.stop(), this.postgres.stop(), ...links]);
    await rm(this.folder, { recursive: true, force: true });
  }

  private async begin(names: readonly string[]): Promise<void> {
    const [one, other] = this.replicas;
    await this.client.send(new CreateBucketCommand({ Bucket: BUCKET }));
    const setupToken = this.run(one);
    await this.driver();
    await mkdir(other.folder);
    await cp(join(one.folder, 'coordinator.key'), join(other.folder, 'coordinator.key'));
    await Promise.all([this.startAgain(1), ...this.workers.map((worker) => this.startWorker(worker))]);
    this.proxy = await startReplicasProxy(
      join(this.folder, 'proxy'),
      this.replicas.map(({ port }) => port),
    );
    await eventually('the proxy answers', async () => (await send(this.url, 'GET', '/readyz')).ok);
    this.token = (await becomeFirstAdmin(this.url, await setupToken)).token;
    await this.federation.enrol(this.url, this.token, names);
    this.staying = this.federation.stay(this.url, this.leaving.signal);
  }

  /** Resolves when it takes jobs, once more. */
  private async startWorker(worker: Worker): Promise<void> {
    const starts = async (): Promise<number> =>
      (await linesOf(worker.log)).filter(({ event }) => event === 'worker.ready').length;
    const before = await starts();
    // Neither a database nor a key is known to it, and it has no folder.
    worker.child = this.start(['worker'], worker.log, {
      FEDLORA_DATA: join(this.folder, 'none'),
      FEDLORA_S3_ENDPOINT: worker.link.url,
    });
    await eventually('the worker takes jobs', async () => (await starts()) > before);
  }

  /** Returns the token of the link that the first start prints. */
  private run(replica: Replica): Promise<string> {
    const child = this.start([], join(this.folder, 'coordinators.log'), {
      FEDLORA_DATA: replica.folder,
      FEDLORA_PORT: String(replica.port),
      FEDLORA_DATABASE_URL: this.databaseUrl,
      FEDLORA_LEASE_SECONDS: String(LEASE_SECONDS),
      FEDLORA_TRUSTED_PROXIES: 'loopback',
      FEDLORA_S3_ENDPOINT: this.swift.url,
    });
    replica.child = child;
    return new Promise((found) => {
      let text = '';
      child.stderr?.on('data', (piece: Buffer) => {
        text += piece.toString('utf8');
        const token = /#setup=([\w-]+)/.exec(text)?.[1];
        if (token !== undefined) found(token);
      });
    });
  }

  private start(args: readonly string[], log: string, env: NodeJS.ProcessEnv): ChildProcess {
    return this.processes.start([join(root, 'coordinator', 'bin', 'fedlora-coordinator.mjs'), ...args], {
      log,
      env: {
        FEDLORA_FEDERATION_KEY: this.federation.federationKey,
        FEDLORA_REDIS_URL: this.redis.url,
        FEDLORA_S3_BUCKET: BUCKET,
        AWS_ACCESS_KEY_ID: swiftKeys.accessKeyId,
        AWS_SECRET_ACCESS_KEY: swiftKeys.secretAccessKey,
        ...env,
      },
    });
  }
}

/** Ends a process as `kill -9` does. */
async function killed(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined) throw new Error('It was not started here.');
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
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

/** Looks again and again; a look that fails is one that saw nothing. @throws Error after a long time, with the last failure */
export async function eventually(what: string, look: () => Promise<boolean> | boolean): Promise<void> {
  let cause: unknown;
  for (const endsAt = Date.now() + PATIENCE_MS; Date.now() < endsAt; await wait(LOOK_MS)) {
    try {
      if (await look()) return;
      cause = undefined;
    } catch (error) {
      cause = error;
    }
  }
  throw new Error(`Not within ${PATIENCE_MS / 1000} seconds: ${what}.`, { cause });
}
