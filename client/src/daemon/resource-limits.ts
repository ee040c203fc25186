/**
 * What the owner gives training of this machine: memory, hours, and a GPU only while nobody else uses it.
 *
 * Before a round they decide whether it is joined. In a round, memory ends it; the others do not, since what was learned would be lost.
 */

import type { GpuLoad } from '../health/gpu-load.js';
import type { UsageBook } from '../storage/usage-book.js';
import type { Logger } from './log.js';

/** A limit that is reached, with its numbers in words. */
export interface ReachedLimit {
  readonly limit: 'memory' | 'gpu-busy' | 'gpu-hours';
  readonly why: string;
}

export interface ResourceTerms {
  /** Of this process as a whole; `undefined`: no limit. */
  readonly memoryMiB: number | undefined;
  /** Load from which on a GPU counts as taken by others; `undefined`: nobody looks. */
  readonly gpuBusyPercent: number | undefined;
  /** Hours of training within `periodDays`; `undefined`: no limit. */
  readonly gpuHoursPerPeriod: number | undefined;
  readonly periodDays: number;
}

export interface ResourceParts {
  readonly terms: ResourceTerms;
  readonly usage: Pick<UsageBook, 'add' | 'usedSince'>;
  /** Resident memory of this process, in bytes. */
  readonly residentBytes: () => number;
  readonly gpuLoad: () => Promise<GpuLoad>;
  readonly log: Logger;
  /** Unix milliseconds. */
  readonly now: () => number;
  /** Milliseconds of a clock that nobody sets. */
  readonly elapsed: () => number;
}

const MIB = 2 ** 20;
const HOUR_MS = 3600_000;
const DAY_MS = 24 * HOUR_MS;
/** How old an answer about the GPU may be. */
const GPU_LOOK_MS = 15_000;
/** The driver's samples look back a little: on what was this program's own load. */
const GPU_SETTLES_MS = 3000;
/** Training that goes on is written down this often: a power cut forgets no more. */
const WRITTEN_EVERY_MS = 5 * 60_000;

export class ResourceLimits {
  private trainingSince: number | undefined;
  private gpu: GpuLoad | undefined;
  private gpuAskedAt = -Infinity;

  constructor(private readonly parts: ResourceParts) {}

  /** The limit that is reached now, if any. To be asked often: it also keeps the books, and asks about the GPU in the background. */
  reached(): ReachedLimit | undefined {
    this.writeUsage(WRITTEN_EVERY_MS);
    return this.memory() ?? this.hours() ?? this.busyGpu();
  }

  /** Training uses the machine from now on. */
  trainingBegins(): void {
    this.trainingSince ??= this.parts.elapsed();
  }

  /** It no longer does; nothing happens where it did not. */
  trainingEnds(): void {
    if (this.trainingSince === undefined) return;
    this.writeUsage(0);
    this.trainingSince = undefined;
    this.gpu = undefined;
    this.gpuAskedAt = this.parts.elapsed() - GPU_LOOK_MS + GPU_SETTLES_MS;
  }

  private memory(): ReachedLimit | undefined {
    const { memoryMiB } = this.parts.terms;
    const used = Math.round(this.parts.residentBytes() / MIB);
    if (memoryMiB === undefined || used <= memoryMiB) return undefined;
    return { limit: 'memory', why: `This program holds ${used} MiB of memory; limits.memoryMiB is ${memoryMiB}.` };
  }

  private hours(): ReachedLimit | undefined {
    const { gpuHoursPerPeriod: most, periodDays } = this.parts.terms;
    if (most === undefined) return undefined;
    const running = this.trainingSince === undefined ? 0 : this.parts.elapsed() - this.trainingSince;
    const used = (this.parts.usage.usedSince(this.parts.now() - periodDays * DAY_MS) + running) / HOUR_MS;
    if (used < most) return undefined;
    return {
      limit: 'gpu-hours',
      why: `Training took ${used.toFixed(1)} hours within ${periodDays} days; gpuHoursPerPeriod is ${most}.`,
    };
  }

  /** While training, the load is this program's own. */
  private busyGpu(): ReachedLimit | undefined {
    const { gpuBusyPercent } = this.parts.terms;
    if (gpuBusyPercent === undefined || this.trainingSince !== undefined) return undefined;
    this.askAboutGpu();
    if (this.gpu?.kind !== 'known' || this.gpu.percent < gpuBusyPercent) return undefined;
    return {
      limit: 'gpu-busy',
      why: `Other programs use ${this.gpu.percent} % of the GPU; limits.gpuBusyPercent is ${gpuBusyPercent}.`,
    };
  }

  private askAboutGpu(): void {
    if (this.parts.elapsed() - this.gpuAskedAt < GPU_LOOK_MS) return;
    this.gpuAskedAt = this.parts.elapsed();
    void this.parts.gpuLoad().then((load) => {
      if (load.kind === 'unavailable' && this.gpu?.kind !== 'unavailable')
        this.parts.log.warn({ reason: load.why }, 'gpu-load.unavailable');
      // An answer that came while training began tells of this program.
      if (this.trainingSince === undefined) this.gpu = load;
    });
  }

  private writeUsage(leastMs: number): void {
    const { usage, elapsed, now, log } = this.parts;
    if (this.trainingSince === undefined) return;
    const ms = elapsed() - this.trainingSince;
    if (ms < leastMs || ms === 0) return;
    this.trainingSince += ms;
    usage.add(ms, now()).catch((error: unknown) => log.warn({ reason: String(error) }, 'usage.write.failed'));
  }
}
