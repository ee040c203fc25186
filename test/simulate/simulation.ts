/** A simulation from the first start of its coordinator to its report. */

import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Manifest } from '@fedlora/protocol';
import { routes, type RoundView, type RunPlanView, type RunView } from '@fedlora/shared';
import { FakeFederation } from '../support/fake-federation.js';
import { Network } from '../support/network.js';
import type { SimulationArguments } from './arguments.js';
import { MemoryWatch, mostResidentMiB, readGauges } from './gauges.js';
import { spreadOf, type RoundReport, type SimulationReport, type Spread } from './report.js';
import { nameOf, type Wait } from './simulated-organisation.js';
import { describeRun, isMovedBy } from './simulated-run.js';
import type { WorkerReport } from './worker-messages.js';
import { Workers } from './workers.js';

const POLL_MS = 500;
const BYTES_PER_KB = 1000;

/** `say` hears what goes on. Nothing of it is left on the machine. @throws Error where it cannot go on, or takes too long */
export async function simulate(
  options: SimulationArguments,
  root: string,
  say: (line: string) => void,
): Promise<SimulationReport> {
  const directory = await mkdtemp(join(tmpdir(), 'fedlora-simulation-'));
  const network = new Network({
    directory,
    root,
    base: '',
    organisations: [],
    logLevel: 'warn',
    // The simulation stands for the proxy that organisations come through.
    coordinatorEnvironment: {
      FEDLORA_TRUSTED_PROXIES: 'loopback',
      ...(options.heapMiB === undefined ? {} : { NODE_OPTIONS: `--max-old-space-size=${options.heapMiB}` }),
    },
  });
  const workers = new Workers(options.workers);
  const limit = new AbortController();
  try {
    await mkdir(join(directory, 'logs'));
    return await Promise.race([
      new Simulation(options, network, workers, say).run(),
      wait(options.limitMs, undefined, { signal: limit.signal }).then(() => {
        throw new Error(`The simulation took longer than ${options.limitMs / 1000} s (--limit).`);
      }),
      ...['SIGINT', 'SIGTERM'].map(async (signal) => {
        await once(process, signal, { signal: limit.signal });
        throw new Error('The simulation was interrupted.');
      }),
    ]);
  } finally {
    limit.abort();
    await workers.kill();
    await network.stop();
    await rm(directory, { recursive: true, force: true });
  }
}

class Simulation {
  constructor(
    private readonly options: SimulationArguments,
    private readonly network: Network,
    private readonly workers: Workers,
    private readonly say: (line: string) => void,
  ) {}

  async run(): Promise<SimulationReport> {
    const { options, network, workers } = this;
    const { clients, latencyMs, bandwidthKb } = options;
    network.federationKey = new FakeFederation().federationKey;
    await network.startCoordinator();
    const dropout = { clients, silent: Math.round(options.dropout * clients) };
    const enrolSeconds = await this.timed('Enrolling', () =>
      workers.ask((worker) => ({
        kind: 'enrol',
        url: network.url,
        token: network.token,
        names: Array.from({ length: clients }, (_, i) => i)
          .filter((i) => i % workers.count === worker)
          .map(nameOf),
        dropout,
      })),
    );
    const isShaped = latencyMs > 0 || bandwidthKb !== undefined;
    const bytesPerSecond = bandwidthKb === undefined ? undefined : bandwidthKb * BYTES_PER_KB;
    const connectSeconds = await this.timed('Connecting', () =>
      workers.ask(() => ({ kind: 'connect', link: isShaped ? { latencyMs, bytesPerSecond } : undefined })),
    );
    const before = await readGauges(network.url);
    const workersBefore = cpuOf(await workers.ask(() => ({ kind: 'report' })));
    const memory = new MemoryWatch(network.url);
    const description = describeRun(options);
    const { plan } = await network.post<RunPlanView>(routes.runPlan, description);
    if (plan === null) throw new Error('The run of the simulation cannot be planned.');
    let run = await network.startRun(description);
    const runSeconds = await this.timed('The run', async () => {
      run = await this.untilEnded(run);
    });
    await memory.stop();
    const after = await readGauges(network.url);
    const reports = await workers.ask(() => ({ kind: 'report' }));
    const rounds = (await network.rounds(run.id)).toReversed();
    return {
      options: { ...options, neighbours: plan.manifest.aggregation.graph?.neighbours ?? null },
      contributionBytes: plan.bytesUpPerRound,
      enrolSeconds,
      connectSeconds,
      runSeconds,
      outcome: run.status,
      reason: run.reason,
      rounds: await Promise.all(rounds.map((round) => this.roundReport(round, plan.manifest, reports))),
      waits: waitsOf(reports),
      failures: failuresOf(reports),
      coordinator: {
        cpuSeconds: after.cpuSeconds - before.cpuSeconds,
        connectedMiB: before.residentMiB,
        peakMiB: Math.max(memory.peakMiB, await mostResidentMiB(network.coordinatorPid)),
        peakHeapMiB: memory.peakHeapMiB,
        peakExternalMiB: memory.peakExternalMiB,
        receivedBytes: after.receivedBytes - before.receivedBytes,
        sentBytes: after.sentBytes - before.sentBytes,
      },
      clients: {
        cpuSeconds: cpuOf(reports) - workersBefore,
        peakMiB: reports.reduce((sum, one) => sum + one.peakMiB, 0),
      },
    };
  }

  private async untilEnded(run: RunView): Promise<RunView> {
    let told = '';
    for (;;) {
      const now = await this.network.get<RunView>(routes.run(run.id));
      if (now.status !== 'running') return now;
      const [round] = await this.network
        .get<{ readonly items: readonly RoundView[] }>(`${routes.rounds(run.id)}?limit=1`)
        .then(({ items }) => items);
      const news = round === undefined ? '' : `  round ${round.number}: ${round.phase}`;
      if (news !== told) this.say(news);
      told = news;
      await wait(POLL_MS);
    }
  }

  private async roundReport(
    round: RoundView,
    manifest: Manifest,
    reports: readonly WorkerReport[],
  ): Promise<RoundReport> {
    const survivors = round.participants.filter(({ status }) => status === 'unmasked');
    const levels = survivors.map(({ name }) => reports.map((one) => one.levels.get(round.id)?.get(name)));
    const known = levels.map((of) => of.find((level) => level !== undefined) ?? Number.NaN);
    const phases = Object.entries(round.phaseDurationsMs).map(([phase, ms]) => [phase, ms / 1000]);
    const { url, token } = this.network;
    return {
      number: round.number,
      outcome: round.phase,
      cause: round.cause,
      seconds: ((round.endedAt ?? round.startedAt) - round.startedAt) / 1000,
      phaseSeconds: Object.fromEntries(phases) as Record<string, number>,
      participants: round.participants.length,
      contributors: survivors.length,
      isSumRight: round.phase === 'done' && (await isMovedBy(known, round, { url, token, manifest })),
    };
  }

  private async timed(what: string, work: () => Promise<unknown>): Promise<number> {
    this.say(`${what} ...`);
    const start = performance.now();
    await work();
    return (performance.now() - start) / 1000;
  }
}

function cpuOf(reports: readonly WorkerReport[]): number {
  return reports.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0);
}

function waitsOf(reports: readonly WorkerReport[]): Record<string, Spread> {
  const all = new Map<Wait, number[]>();
  for (const { waits } of reports)
    for (const [wait, times] of waits) all.set(wait, [...(all.get(wait) ?? []), ...times]);
  return Object.fromEntries([...all].map(([wait, times]) => [wait, spreadOf(times)]));
}

function failuresOf(reports: readonly WorkerReport[]): Record<string, number> {
  const all: Record<string, number> = {};
  for (const { failures } of reports) for (const [what, count] of failures) all[what] = (all[what] ?? 0) + count;
  return all;
}
