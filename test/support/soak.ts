/** A coordinator that lives through very many rounds, or dies in them, and what is left of them. */

import { readdir, readFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Manifest, Roster } from '@fedlora/protocol';
import { FedloraError, routes, type RoundRequest, type RunView } from '@fedlora/shared';
import Sqlite from 'libsql';
import type { RoundState } from '../../coordinator/src/rounds/round.machine.js';
import { readGauges } from '../simulate/gauges.js';
import { averagingRun, valuesOfB } from './averaging.js';
import { FakeFederation, FakeOrganisation } from './fake-federation.js';
import { Network } from './network.js';
import { randomFrom } from './random-from.js';
import { operate } from './requests.js';

export const NAMES = ['bank', 'clinic', 'council', 'museum', 'school', 'theatre'];

/**
 * A coordinator is killed after it has asked organisations so often, at most; a client after so many more requests to anybody. A round
 * has a request to each of them in each of five phases, so that the pace is that of rounds, on a fast machine and on a slow one.
 */
const COORDINATOR_LIFE = 5 * 5 * NAMES.length;
const CLIENT_LIFE = 2 * 5 * NAMES.length;
/** And then so much later at most: somewhere in what follows from a request. */
const WITHIN_MS = 100;
/** One kill in so many comes while the coordinator is starting, so long after its beginning at most. */
const EARLY_KILLS = 4;
const START_MS = 2_000;
const POLL_MS = 250;
const DEADLINE_MS = 15_000;
const MIB = 1024 * 1024;

export interface SoakRound {
  readonly id: string;
  readonly number: number;
  readonly baseVersion: string;
  readonly state: RoundState;
}

/** Of the coordinator's last life. */
export interface MemorySample {
  /** Rounds that had ended. */
  readonly round: number;
  readonly residentMiB: number;
  /** The heap and buffers outside of it, right after garbage was collected. */
  readonly heldMiB: number;
  readonly openFiles: number;
}

export interface SoakResult {
  readonly run: RunView;
  readonly manifest: Manifest;
  /** Names by their index. */
  readonly roster: readonly string[];
  readonly rounds: readonly SoakRound[];
  readonly samples: readonly MemorySample[];
  readonly rows: BeforeAndAfter<Readonly<Record<string, number>>>;
  readonly files: { readonly before: Files; readonly after: Files & { readonly versions: VersionFiles } };
  /** Lines of the coordinator's log of level error. */
  readonly errors: readonly string[];
  readonly seen: {
    readonly seed: number;
    readonly coordinatorKills: number;
    readonly clientKills: number;
    readonly rounds: number;
    readonly abortedRounds: number;
    readonly seconds: number;
    /** In the second half of the coordinator's last life. */
    readonly residentMiB: readonly number[];
    readonly heldMiB: readonly number[];
    readonly residentMiBPerRound: number;
    readonly heldMiBPerRound: number;
  };
}

interface BeforeAndAfter<Value> {
  readonly before: Value;
  readonly after: Value;
}

/** Files of the data folder apart from versions: how many below each of its folders. */
interface Files {
  readonly database: readonly string[];
  readonly contributions: number;
}

interface VersionFiles {
  readonly folders: number;
  readonly files: number;
}

/** A client whose process may die, and its memory of rounds with it. */
class MortalOrganisation extends FakeOrganisation {
  override pieceBytes = 100;

  constructor(
    name: string,
    private readonly requests: Requests,
  ) {
    super(name);
  }

  die(): void {
    this.forget();
    this.disconnect();
  }

  /** As the client does: it leaves a round that it cannot go on with, such as one in which its keys are those of its life before. */
  protected override async answer(request: RoundRequest): Promise<void> {
    this.requests.came();
    try {
      await super.answer(request);
    } catch (error) {
      const { code } = FedloraError.from(error);
      await this.decline(request.roundId, code);
    }
  }
}

class MortalFederation extends FakeFederation {
  constructor(private readonly requests: Requests) {
    super();
  }

  protected override organisation(name: string): FakeOrganisation {
    return new MortalOrganisation(name, this.requests);
  }
}

/** What organisations were asked, by which kills are paced. */
class Requests {
  private count = 0;
  private readonly waiting = new Set<{ readonly at: number; readonly go: () => void }>();

  came(): void {
    this.count += 1;
    for (const one of this.waiting) if (one.at <= this.count) one.go();
  }

  /** Resolves when so many more have come, or with the signal. */
  async more(count: number, over?: AbortSignal): Promise<void> {
    if (over?.aborted === true) return;
    await new Promise<void>((resolve) => {
      const one = { at: this.count + count, go };
      this.waiting.add(one);
      over?.addEventListener('abort', go);
      const waiting = this.waiting;
      function go(): void {
        waiting.delete(one);
        over?.removeEventListener('abort', go);
        resolve();
      }
    });
  }
}

export class Soak {
  private readonly random: () => number;
  private readonly gone = new AbortController();
  private coordinatorKills = 0;
  private clientKills = 0;
  private endedRounds = 0;
  private completedRounds = 0;
  private isLastLife = false;

  private constructor(
    private readonly seed: number,
    private readonly network: Network,
    private readonly federation: FakeFederation,
    private readonly requests: Requests,
  ) {
    this.random = randomFrom(seed);
  }

  static async start(seed: number): Promise<Soak> {
    const directory = await mkdtemp(join(tmpdir(), 'fedlora-soak-'));
    await mkdir(join(directory, 'logs'));
    const requests = new Requests();
    const federation = new MortalFederation(requests);
    const network = new Network({
      directory,
      root: resolve(import.meta.dirname, '..', '..'),
      base: '',
      organisations: [],
      logLevel: 'warn',
      coordinatorEnvironment: { NODE_OPTIONS: `--import ${join(import.meta.dirname, 'collect-on-signal.mjs')}` },
    });
    network.federationKey = federation.federationKey;
    await network.startCoordinator();
    await federation.enrol(network.url, network.token, NAMES);
    return new Soak(seed, network, federation, requests);
  }

  /** One run of so many rounds, in whose first half the coordinator is killed again and again. */
  async run(rounds: number): Promise<SoakResult> {
    const { network, federation } = this;
    const started = performance.now();
    void federation.stay(network.url, this.gone.signal);
    await network.untilAllConnected();
    const rowsBefore = this.rows();
    const filesBefore = await this.files();
    const { id } = await network.startRun({
      ...averagingRun,
      rounds,
      privacy: { ...averagingRun.privacy, minimumContributors: 4 },
      threshold: 4,
      maximumConsecutiveAborts: 1000,
      deadlinesMs: {
        advertising: DEADLINE_MS,
        sharing: DEADLINE_MS,
        training: DEADLINE_MS,
        checking: DEADLINE_MS,
        unmasking: DEADLINE_MS,
      },
    });
    const samples: MemorySample[] = [];
    const over = new AbortController();
    const [run] = await Promise.all([
      this.untilEnded(id, samples).finally(() => over.abort()),
      this.killCoordinators(Math.floor(rounds / 2), over.signal),
      this.killClients(over.signal),
    ]);
    this.gone.abort();
    await network.stop();
    const second = samples.slice(Math.floor(samples.length / 2));
    const rounded = (mib: number): number => Math.round(100 * mib) / 100;
    const read = this.database((database) => ({
      terms: database.prepare('SELECT manifest, roster FROM runs WHERE id = ?').get(id) as Record<string, string>,
      rounds: database
        .prepare('SELECT id, number, base_version, final_state FROM rounds WHERE run_id = ? ORDER BY number')
        .all(id) as Record<string, string>[],
    }));
    return {
      run,
      manifest: JSON.parse(read.terms.manifest) as Manifest,
      roster: (JSON.parse(read.terms.roster) as Roster).members.map(({ name }) => name),
      rounds: read.rounds.map((row) => ({
        id: row.id,
        number: Number(row.number),
        baseVersion: row.base_version,
        state: JSON.parse(row.final_state) as RoundState,
      })),
      samples,
      rows: { before: rowsBefore, after: this.rows() },
      files: { before: filesBefore, after: { ...(await this.files()), versions: await this.versionFiles() } },
      errors: await this.errors(),
      seen: {
        seed: this.seed,
        coordinatorKills: this.coordinatorKills,
        clientKills: this.clientKills,
        rounds: read.rounds.length,
        abortedRounds: run.abortedRounds,
        seconds: Math.round((performance.now() - started) / 1000),
        residentMiB: second.map(({ residentMiB }) => rounded(residentMiB)),
        heldMiB: second.map(({ heldMiB }) => rounded(heldMiB)),
        residentMiBPerRound: slopeOf(second.map(({ round, residentMiB }) => [round, residentMiB])),
        heldMiBPerRound: slopeOf(second.map(({ round, heldMiB }) => [round, heldMiB])),
      },
    };
  }

  async stop(): Promise<void> {
    this.gone.abort();
    await this.network.stop();
    await rm(this.network.options.directory, { recursive: true, force: true });
  }

  /** What an organisation contributed to a round. */
  contributedBy(name: string, roundId: string): Int32Array | undefined {
    return this.federation.organisations.find((one) => one.name === name)?.contributed.get(roundId);
  }

  /** What a version has of B, in layout order. */
  async valuesOf(version: string): Promise<number[]> {
    const folder = join(this.network.coordinatorData, 'versions', version);
    const { manifest } = this.database(
      (database) =>
        database.prepare('SELECT manifest FROM runs').get() as {
          readonly manifest: string;
        },
    );
    return valuesOfB(await readFile(join(folder, 'adapter_model.safetensors')), JSON.parse(manifest) as Manifest);
  }

  private async untilEnded(runId: string, samples: MemorySample[]): Promise<RunView> {
    const { network } = this;
    for (;;) {
      // Whoever asks while it is away asks again.
      const run = await operate<RunView>(network.url, network.token, 'GET', routes.run(runId)).catch(() => undefined);
      if (run !== undefined) {
        const ended = run.completedRounds + run.abortedRounds;
        this.completedRounds = run.completedRounds;
        if (ended > this.endedRounds) {
          this.endedRounds = ended;
          if (this.isLastLife) samples.push({ round: ended, ...(await this.memory()) });
        }
        if (run.status !== 'running') return run;
      }
      await wait(POLL_MS);
    }
  }

  /** What the coordinator holds, once it has collected its garbage. */
  private async memory(): Promise<Omit<MemorySample, 'round'>> {
    const { network } = this;
    const log = join(network.options.directory, 'logs', 'coordinator.log');
    const told = async (): Promise<readonly string[]> =>
      (await readFile(log, 'utf8')).split('\n').filter((line) => line.startsWith('collected {') && line.endsWith('}'));
    const before = (await told()).length;
    const { pid } = JSON.parse(await readFile(join(network.coordinatorData, 'address.json'), 'utf8')) as {
      pid: number;
    };
    process.kill(pid, 'SIGUSR2');
    let lines = await told();
    while (lines.length === before) {
      await wait(POLL_MS / 10);
      lines = await told();
    }
    const { rss, heapUsed, external } = JSON.parse((lines.at(-1) ?? '').slice('collected '.length)) as {
      readonly rss: number;
      readonly heapUsed: number;
      readonly external: number;
    };
    const { openFiles } = await readGauges(network.url);
    return { residentMiB: rss / MIB, heldMiB: (heapUsed + external) / MIB, openFiles };
  }

  private async killCoordinators(untilRound: number, over: AbortSignal): Promise<void> {
    const { network, random, requests } = this;
    // At least once, however few rounds there are.
    do {
      await requests.more(Math.ceil(COORDINATOR_LIFE * random()), over);
      await wait(WITHIN_MS * random());
      this.coordinatorKills += 1;
      await network.killCoordinator();
      while (random() < 1 / EARLY_KILLS) {
        const starting = network.startCoordinator().catch(() => undefined);
        await wait(START_MS * random());
        this.coordinatorKills += 1;
        await network.killCoordinator();
        await starting;
      }
      await network.startCoordinator();
    } while (this.completedRounds < untilRound && !over.aborted);
    this.isLastLife = true;
  }

  private async killClients(over: AbortSignal): Promise<void> {
    const { federation, random, requests } = this;
    while (!over.aborted) {
      await requests.more(Math.ceil(CLIENT_LIFE * random()), over);
      await wait(WITHIN_MS * random());
      const victim = federation.organisations[Math.floor(random() * federation.organisations.length)];
      if (!(victim instanceof MortalOrganisation)) continue;
      this.clientKills += 1;
      victim.die();
    }
  }

  private rows(): Record<string, number> {
    return this.database((database) => {
      const tables = database.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").all() as {
        readonly name: string;
      }[];
      return Object.fromEntries(
        tables
          .filter(({ name }) => !name.startsWith('sqlite_'))
          .map(({ name }) => {
            const { rows } = database.prepare(`SELECT count(*) AS rows FROM ${name}`).get() as {
              readonly rows: number;
            };
            return [name, rows];
          }),
      );
    });
  }

  private database<Value>(read: (database: Sqlite.Database) => Value): Value {
    const database = new Sqlite(join(this.network.coordinatorData, 'coordinator.sqlite'));
    try {
      return read(database);
    } finally {
      database.close();
    }
  }

  private async files(): Promise<Files> {
    const root = this.network.coordinatorData;
    const entries = await readdir(root, { recursive: true, withFileTypes: true });
    const files = entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1));
    // What a running process has beside them.
    const ofProcess = /^(coordinator\.lock|address\.json|coordinator\.sqlite-(wal|shm))$/;
    const isElsewhere = /^(versions|optimizer|blobs.contributions)\b/;
    return {
      database: files.filter((file) => !ofProcess.test(file) && !isElsewhere.test(file)).sort(),
      contributions: files.filter((file) => /^(optimizer|blobs)\b/.test(file)).length,
    };
  }

  private async versionFiles(): Promise<VersionFiles> {
    const root = join(this.network.coordinatorData, 'versions');
    const folders = await readdir(root);
    const files = await readdir(root, { recursive: true, withFileTypes: true });
    return { folders: folders.length, files: files.filter((entry) => entry.isFile()).length };
  }

  private async errors(): Promise<string[]> {
    const log = await readFile(join(this.network.options.directory, 'logs', 'coordinator.log'), 'utf8');
    return log.split('\n').filter((line) => /"level":(50|60)/.test(line));
  }
}

/**
 * How much the second grows for each of the first: the median of the slopes between all pairs (Theil 1950, Sen 1968), which one look in the
 * middle of a garbage collection or of a large answer does not bend.
 */
export function slopeOf(points: readonly (readonly [number, number])[]): number {
  const slopes = points
    .flatMap(([x, y], i) => points.slice(i + 1).map(([laterX, laterY]) => (laterY - y) / (laterX - x)))
    .sort((a, b) => a - b);
  const middle = slopes.length / 2;
  return (slopes[Math.ceil(middle) - 1] + slopes[Math.floor(middle)]) / 2;
}
