/** What a coordinator has used, as its own `/metrics` and the kernel tell. */

import { readFile } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { send } from '../support/requests.js';

const MIB = 1024 * 1024;

export interface Gauges {
  readonly cpuSeconds: number;
  readonly residentMiB: number;
  /** Of the JavaScript heap, garbage that is not collected yet included. */
  readonly heapMiB: number;
  /** Of buffers outside of the heap. */
  readonly externalMiB: number;
  readonly openFiles: number;
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

export async function readGauges(url: string): Promise<Gauges> {
  const text = await (await send(url, 'GET', '/metrics')).text();
  const value = (name: string): number => {
    const found = new RegExp(`^${name} (\\S+)`, 'm').exec(text)?.[1];
    if (found === undefined) throw new Error(`The coordinator's /metrics has no ${name}.`);
    return Number(found);
  };
  return {
    cpuSeconds: value('process_cpu_seconds_total'),
    residentMiB: value('process_resident_memory_bytes') / MIB,
    heapMiB: value('nodejs_heap_size_used_bytes') / MIB,
    externalMiB: value('nodejs_external_memory_bytes') / MIB,
    openFiles: value('process_open_fds'),
    receivedBytes: value('fedlora_received_bytes_total'),
    sentBytes: value('fedlora_sent_bytes_total'),
  };
}

/**
 * The most memory that a process ever had, by the kernel's own mark (`VmHWM`): also while it was too busy to tell. 0 where there is no
 * such kernel.
 */
export async function mostResidentMiB(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) / 1024;
}

/** Looks every half second until it is stopped: the most memory that was seen, of each kind for itself. */
export class MemoryWatch {
  peakMiB = 0;
  peakHeapMiB = 0;
  peakExternalMiB = 0;
  private isOver = false;
  private readonly done: Promise<void>;

  constructor(url: string) {
    this.done = this.watch(url);
  }

  async stop(): Promise<void> {
    this.isOver = true;
    await this.done;
  }

  private async watch(url: string): Promise<void> {
    while (!this.isOver) {
      // A coordinator that is too busy to tell is asked again.
      const gauges = await readGauges(url).catch(() => undefined);
      if (gauges !== undefined) {
        this.peakMiB = Math.max(this.peakMiB, gauges.residentMiB);
        this.peakHeapMiB = Math.max(this.peakHeapMiB, gauges.heapMiB);
        this.peakExternalMiB = Math.max(this.peakExternalMiB, gauges.externalMiB);
      }
      await wait(500);
    }
  }
}
