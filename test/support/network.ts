/**
 * A whole Fedlora network on this machine, of real processes: a coordinator, and one client daemon for each organisation with a
 * folder, a key and data of its own. The demo and the end-to-end tests use it as an operator and the organisations' owners would.
 */

import type { ChildProcess } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import {
  routes,
  type LiveEvents,
  type OrganisationView,
  type Overview,
  type RoundView,
  type RunPlanView,
  type RunView,
} from '@fedlora/shared';
import { io, type Socket } from 'socket.io-client';
import type { Cluster } from './cluster.js';
import { eventualAnswer } from './eventually.js';
import { becomeFirstAdmin, setupTokenOf } from './first-admin.js';
import { endProcess, killNow, Processes, type Finished } from './processes.js';
import { listAll, operate } from './requests.js';

export interface NetworkOptions {
  /** Folder of the whole network; made if missing. */
  readonly directory: string;
  /** Root of the repository, where the programs are. */
  readonly root: string;
  readonly organisations: readonly OrganisationSetup[];
  /** Base model directory that every client uses. */
  readonly base: string;
  /** Threads of each client's engine. */
  readonly threads?: number;
  /** Epsilon cap that each owner's policy sets. */
  readonly epsilonCap?: number;
  readonly logLevel?: string;
  /** Settings of the coordinator, beside those that a network needs. */
  readonly coordinatorEnvironment?: NodeJS.ProcessEnv;
  /** Several coordinators and workers, of which any may end at any time, instead of one coordinator. */
  readonly hasCluster?: boolean;
}

export interface OrganisationSetup {
  readonly name: string;
  /** Files of private rows. */
  readonly data: readonly string[];
}

/** A command of ours that ended badly, with what it printed. */
export class CommandFailed extends Error {
  constructor(
    command: string,
    readonly result: Finished,
  ) {
    super(`${command} ended with code ${result.code}.\n${result.stderr || result.stdout}`);
  }
}

type LiveSocket = Socket<{ [Name in keyof LiveEvents]: LiveEvents[Name] }>;

export class Network {
  readonly processes = new Processes();
  readonly clients = new Map<string, ChildProcess>();
  url = '';
  /** An API token that may do everything. */
  token = '';
  /** Of the user `admin`. */
  password = '';
  federationKey = '';
  /** If it was asked for, and has started. */
  cluster: Cluster | undefined;
  private coordinator: ChildProcess | undefined;

  constructor(readonly options: NetworkOptions) {}

  /** Starts the coordinator or the cluster, enrols and certifies every organisation, and starts their daemons. */
  async start(): Promise<void> {
    const { directory, organisations } = this.options;
    await mkdir(join(directory, 'logs'), { recursive: true });
    this.federationKey =
      (await this.fedlora(['federation', 'init', '--out', join(directory, 'federation')])).stdout
        .trim()
        .split(/\s+/)
        .at(-1) ?? '';
    await (this.options.hasCluster === true ? this.startCluster() : this.startCoordinator());
    for (const organisation of organisations) await this.enrol(organisation);
    for (const organisation of organisations) this.startClient(organisation.name);
    await this.untilAllConnected();
  }

  /** Waits until every organisation's client is connected: a round that starts earlier goes on without the late ones. */
  async untilAllConnected(timeoutMs = 60_000): Promise<void> {
    const endsAt = Date.now() + timeoutMs;
    for (;;) {
      const absent = (await this.overview()).organisations.filter((one) => !one.connected).map((one) => one.name);
      if (absent.length === 0) return;
      const ended = [...this.clients].find(([name, child]) => absent.includes(name) && child.exitCode !== null);
      if (ended !== undefined || Date.now() > endsAt) {
        throw new Error(`Not connected: ${absent.join(', ')}; see ${this.options.directory}/logs.`);
      }
      await wait(50);
    }
  }

  home(organisation: string): string {
    return join(this.options.directory, 'organisations', organisation);
  }

  /** Folder of the coordinator's state. */
  get coordinatorData(): string {
    return join(this.options.directory, 'coordinator');
  }

  /** Of the process of the coordinator, once it was started. */
  get coordinatorPid(): number | undefined {
    return this.coordinator?.pid;
  }

  /** Starts the coordinator, on the port it had before if it ran before, and waits until it answers. */
  async startCoordinator(): Promise<void> {
    const address = join(this.coordinatorData, 'address.json');
    const port = this.url === '' ? '0' : new URL(this.url).port;
    await mkdir(this.coordinatorData, { recursive: true });
    const child = this.processes.start([join(this.options.root, 'coordinator', 'bin', 'fedlora-coordinator.mjs')], {
      log: join(this.options.directory, 'logs', 'coordinator.log'),
      env: {
        FEDLORA_DATA: this.coordinatorData,
        FEDLORA_PORT: port,
        FEDLORA_FEDERATION_KEY: this.federationKey,
        FEDLORA_LOG_LEVEL: this.options.logLevel ?? 'info',
        ...this.options.coordinatorEnvironment,
      },
    });
    this.coordinator = child;
    const setupToken = setupTokenOf(child);
    for (let attempt = 0; attempt < 600; attempt += 1) {
      if (child.exitCode !== null || child.signalCode !== null)
        throw new Error(
          `The coordinator ended with code ${child.exitCode ?? child.signalCode}; see ${this.options.directory}/logs/coordinator.log.`,
        );
      // Of the process before it, until this one takes it away.
      const text = await readFile(address, 'utf8').catch(() => 'null');
      const said = JSON.parse(text) as { readonly url: string; readonly pid: number } | null;
      if (said !== null && said.pid === child.pid && (await isUp(said.url))) {
        this.url = said.url;
        if (this.token === '') await this.becomeAdmin(await setupToken);
        return;
      }
      await wait(50);
    }
    throw new Error('The coordinator did not answer within 30 seconds.');
  }

  private async startCluster(): Promise<void> {
    const { directory, root } = this.options;
    const folder = join(directory, 'cluster');
    // Nobody else needs what a cluster is made of.
    const { Cluster } = await import('./cluster.js');
    this.cluster = await Cluster.start({ root, folder, federationKey: this.federationKey });
    Object.assign(this, { url: this.cluster.url, token: this.cluster.token, password: this.cluster.password });
  }

  private async becomeAdmin(setupToken: string): Promise<void> {
    const { token, password } = await becomeFirstAdmin(this.url, setupToken);
    this.token = token;
    this.password = password;
  }

  /** Ends the coordinator at once, as a power cut would. */
  async killCoordinator(): Promise<void> {
    if (this.coordinator !== undefined) await killNow(this.coordinator);
  }

  /** Invitation, `fedlora enrol`, and the federation key's certificate: what an operator and an owner do once. */
  async enrol(organisation: OrganisationSetup): Promise<void> {
    const home = this.home(organisation.name);
    await mkdir(home, { recursive: true });
    const { token } = await this.post<{ token: string }>(routes.invitations, { name: organisation.name });
    await this.fedlora(
      [
        'enrol',
        this.url,
        '--home',
        home,
        '--name',
        organisation.name,
        '--federation-key',
        this.federationKey,
        '--base',
        this.options.base,
        ...organisation.data.flatMap((file) => ['--data', file]),
        '--threads',
        String(this.options.threads ?? 1),
      ],
      { FEDLORA_TOKEN: token },
    );
    if (this.options.epsilonCap !== undefined) {
      await this.fedlora([
        'policy',
        'init',
        '--home',
        home,
        '--epsilon-cap',
        String(this.options.epsilonCap),
        '--force',
      ]);
    }
    const { organisations } = await this.overview();
    const enrolled = organisations.find((one) => one.name === organisation.name);
    if (enrolled === undefined) throw new Error(`The coordinator does not know ${organisation.name} after enrolment.`);
    await this.certify(enrolled);
  }

  async certify(organisation: OrganisationView): Promise<void> {
    const signed = await this.fedlora([
      'federation',
      'sign',
      '--key',
      join(this.options.directory, 'federation', 'federation.key'),
      '--name',
      organisation.name,
      '--identity',
      organisation.identity,
    ]);
    await this.post(routes.organisationCertificate(organisation.name), {
      certificate: signed.stdout.trim().split(/\s+/).at(-1),
    });
  }

  startClient(organisation: string, options: readonly string[] = [], env: NodeJS.ProcessEnv = {}): ChildProcess {
    const child = this.processes.start([this.cli, 'run', '--home', this.home(organisation), ...options], {
      log: join(this.options.directory, 'logs', `${organisation}.log`),
      env,
    });
    this.clients.set(organisation, child);
    return child;
  }

  /** SIGKILL: the client gets no chance to say goodbye. */
  async killClient(organisation: string): Promise<void> {
    const child = this.clients.get(organisation);
    if (child !== undefined) await killNow(child);
  }

  /** Runs a `fedlora` command to its end. @throws CommandFailed */
  async fedlora(
    args: readonly string[],
    env: NodeJS.ProcessEnv = {},
    onLine?: (line: string) => void,
  ): Promise<Finished> {
    // What commands keep stays in the folder of the network.
    const own = { FEDLORA_HOME: join(this.options.directory, 'home'), ...env };
    const result = await this.processes.run([this.cli, ...args], {
      env: own,
      ...(onLine === undefined ? {} : { onLine }),
    });
    if (result.code !== 0) throw new CommandFailed(`fedlora ${args[0]}`, result);
    return result;
  }

  private get cli(): string {
    return join(this.options.root, 'client', 'bin', 'fedlora.mjs');
  }

  async overview(): Promise<Overview> {
    return this.get<Overview>(routes.overview);
  }

  async rounds(runId: string): Promise<readonly RoundView[]> {
    return this.patiently(() => listAll<RoundView>(this.url, this.token, routes.rounds(runId)));
  }

  async startRun(description: object): Promise<RunView> {
    return this.post<RunView>(routes.runs, description);
  }

  /** What a run would become. */
  async plan(description: object): Promise<RunPlanView> {
    return this.post<RunPlanView>(routes.runPlan, description);
  }

  /** Listens to what the coordinator tells of changes, as the dashboard does, until `listen` has what it waits for. */
  async listen<Value>(
    listen: (socket: LiveSocket, resolve: (value: Value) => void, reject: (error: unknown) => void) => void,
  ): Promise<Value> {
    const socket: LiveSocket = io(`${this.url}/live`, { auth: { token: this.token }, transports: ['websocket'] });
    let retry: NodeJS.Timeout | undefined;
    // A coordinator of a cluster may refuse or send away whom another takes: socket.io does not come back after that.
    const comeBack = (): void => {
      if (this.cluster !== undefined && !socket.active) retry = setTimeout(() => socket.connect(), 100);
    };
    try {
      return await new Promise<Value>((resolve, reject) => {
        socket.on('connect_error', comeBack).on('disconnect', comeBack);
        listen(socket, resolve, reject);
      });
    } finally {
      socket.off('disconnect', comeBack).disconnect();
      clearTimeout(retry);
    }
  }

  /** Waits until a run has ended; `onChange` sees every state of the run and its rounds on the way. */
  async untilRunEnds(
    runId: string,
    onChange: (run: RunView, round: RoundView | undefined) => void = () => {},
  ): Promise<RunView> {
    let run: RunView | undefined;
    let round: RoundView | undefined;
    return this.listen<RunView>((socket, resolve, reject) => {
      const show = (): void => {
        if (run === undefined) return;
        onChange(run, round);
        if (run.status !== 'running') resolve(run);
      };
      socket.on('connect', () => {
        this.get<RunView>(routes.run(runId)).then((value) => {
          run = value;
          show();
        }, reject);
      });
      socket.on('run.changed', (value) => {
        if (value.id !== runId) return;
        run = value;
        show();
      });
      socket.on('round.changed', (value) => {
        if (value.runId !== runId) return;
        round = value;
        show();
      });
      this.coordinator?.once('exit', (code) =>
        reject(new Error(`The coordinator ended with code ${code} during the run.`)),
      );
    });
  }

  async get<T>(path: string): Promise<T> {
    return this.patiently(() => this.request<T>('GET', path));
  }

  async post<T>(path: string, body: object): Promise<T> {
    return this.request<T>('POST', path, body);
  }

  /** Asks a cluster again that has nobody to answer for the moment. */
  private async patiently<T>(ask: () => Promise<T>): Promise<T> {
    return this.cluster === undefined ? ask() : eventualAnswer('the cluster answers', ask);
  }

  private async request<T>(method: string, path: string, body?: object): Promise<T> {
    return operate<T>(this.url, this.token, method, path, body);
  }

  /** Ends every process, clients first. */
  async stop(): Promise<void> {
    await Promise.all([...this.clients.values()].map((child) => endProcess(child, 8000)));
    await this.processes.stop();
    await this.cluster?.stop();
  }
}

async function isUp(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/readyz`)).ok;
  } catch {
    return false; // Not listening yet: the caller tries again.
  }
}

/** Writes rows as JSON lines. */
export async function writeRows(file: string, rows: readonly object[]): Promise<void> {
  await writeFile(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
}
