/** Numbers for Prometheus: how the coordinator fares, without names and without anything about training. */

import type { Server } from 'node:net';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { runStatuses, type ErrorCode } from '@fedlora/shared';
import type { RunsRepository } from '../runs/runs.repository.js';
import type { Driving } from '../rounds/driving.js';
import type { RoundService } from '../rounds/round.service.js';
import { Traffic } from './traffic.js';
import type { Presence } from '../session/presence.js';
import type { Announcements } from './announcements.js';
import type { Log } from './log.js';
import type { Views } from './views.js';

/** More rounds than end while one view is read. */
const MOST_REMEMBERED = 1000;

const SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800];

export interface MetricsParts {
  readonly views: Views;
  readonly presence: Presence;
  readonly runs: Pick<RunsRepository, 'countByStatus'>;
  readonly roundService: Pick<RoundService, 'backlog'>;
  readonly driving: Pick<Driving, 'isDriving' | 'takeovers'>;
  readonly announcements: Announcements;
  readonly programVersion: string;
  readonly log: Log;
}

/** Where a message was refused. */
type Surface = 'http' | 'socket';

/** Labels have few values each: outcomes, phases, statuses, and codes of the catalogue; none is a name or an id. */
export class Metrics {
  private readonly registry = new Registry();
  private readonly refusals: Counter<'surface' | 'code'>;
  private readonly signInFailures: Counter;
  private readonly traffic = new Traffic();
  /** Rounds counted lately: an end may be told twice when changes follow each other closely. */
  private readonly counted = new Set<string>();

  constructor({ views, presence, runs, roundService, driving, announcements, programVersion, log }: MetricsParts) {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry });
    const { traffic } = this;
    new Gauge({
      name: 'fedlora_build_info',
      help: 'Always 1; the label is the version of the program.',
      labelNames: ['version'],
      registers,
    }).set({ version: programVersion }, 1);
    new Gauge({
      name: 'fedlora_driving',
      help: 'Whether this coordinator drives the rounds: 1, or 0 while it stands by.',
      registers,
      collect() {
        this.set(Number(driving.isDriving));
      },
    });
    new Counter({
      name: 'fedlora_takeovers_total',
      help: 'Times that this coordinator stood by and took over, since another had ended or let its lease run out.',
      registers,
      collect() {
        this.reset();
        this.inc(driving.takeovers);
      },
    });
    new Gauge({
      name: 'fedlora_runs',
      help: 'Runs by status.',
      labelNames: ['status'],
      registers,
      async collect() {
        const counts = await runs.countByStatus();
        for (const status of runStatuses) this.set({ status }, counts.get(status) ?? 0);
      },
    });
    new Gauge({
      name: 'fedlora_open_rounds',
      help: 'Rounds that go on.',
      registers,
      collect() {
        this.set(roundService.backlog().openRounds);
      },
    });
    new Gauge({
      name: 'fedlora_backlog',
      help: 'Work of open rounds that waits for its turn: answers of participants, and effects that are still to be performed.',
      labelNames: ['kind'],
      registers,
      collect() {
        const { answers, effects } = roundService.backlog();
        this.set({ kind: 'answers' }, answers);
        this.set({ kind: 'effects' }, effects);
      },
    });
    for (const direction of ['received', 'sent'] as const) {
      new Counter({
        name: `fedlora_${direction}_bytes_total`,
        help: `Bytes ${direction} on every connection: requests, uploads, downloads and sockets.`,
        registers,
        collect() {
          this.reset();
          this.inc(traffic.total(direction));
        },
      });
    }
    this.refusals = new Counter({
      name: 'fedlora_refusals_total',
      help: 'Requests and messages that were refused, by error code.',
      labelNames: ['surface', 'code'],
      registers,
    });
    this.signInFailures = new Counter({
      name: 'fedlora_sign_in_failures_total',
      help: 'Tries to sign in, or to prove a password, that failed.',
      registers,
    });
    new Gauge({
      name: 'fedlora_connected_organisations',
      help: 'Organisations with an open connection.',
      registers,
      collect() {
        this.set(presence.connectedCount);
      },
    });
    const rounds = new Counter({
      name: 'fedlora_rounds_total',
      help: 'Rounds that ended.',
      labelNames: ['outcome'],
      registers,
    });
    for (const outcome of ['done', 'aborted']) rounds.inc({ outcome }, 0);
    const versions = new Counter({ name: 'fedlora_versions_total', help: 'Adapter versions published.', registers });
    const phases = new Histogram({
      name: 'fedlora_phase_seconds',
      help: 'Duration of phases of rounds.',
      labelNames: ['phase'],
      buckets: SECONDS,
      registers,
    });
    announcements.listen('version.published', () => versions.inc());
    announcements.listen('round.changed', (id) => {
      const count = (round: Awaited<ReturnType<Views['round']>>): void => {
        if (round === undefined || round.endedAt === null || this.counted.has(id)) return;
        this.counted.add(id);
        if (this.counted.size > MOST_REMEMBERED)
          for (const oldest of [...this.counted].slice(0, 1)) this.counted.delete(oldest);
        rounds.inc({ outcome: round.phase });
        for (const [phase, durationMs] of Object.entries(round.phaseDurationsMs))
          phases.observe({ phase }, durationMs / 1000);
      };
      views
        .round(id)
        .then(count)
        .catch((error: unknown) => log.error('metrics.round.failed', { roundId: id, err: error }));
    });
  }

  refused(surface: Surface, code: ErrorCode): void {
    this.refusals.inc({ surface, code });
  }

  signInFailed(): void {
    this.signInFailures.inc();
  }

  /** Counts the bytes of a server's connections from now on. */
  watch(server: Server): void {
    server.on('connection', (socket) => this.traffic.add(socket));
  }

  text(): Promise<string> {
    return this.registry.metrics();
  }
}
