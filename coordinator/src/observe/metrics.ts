/** Numbers for Prometheus: how the coordinator fares, without names and without anything about training. */

import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Presence } from '../session/presence.js';
import type { Announcements } from './announcements.js';
import type { Log } from './log.js';
import type { Views } from './views.js';

/** More rounds than end while one view is read. */
const MOST_REMEMBERED = 1000;

const SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800];

export class Metrics {
  private readonly registry = new Registry();
  /** Rounds counted lately: an end may be told twice when changes follow each other closely. */
  private readonly counted = new Set<string>();

  constructor(views: Views, presence: Presence, announcements: Announcements, log: Log) {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry });
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

  text(): Promise<string> {
    return this.registry.metrics();
  }
}
