import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { gpuLoad, type GpuLoad } from '../health/gpu-load.js';
import { UsageBook } from '../storage/usage-book.js';
import { ResourceLimits, type ResourceTerms } from './resource-limits.js';

const HOUR_MS = 3600_000;
const DAY_MS = 24 * HOUR_MS;
const none: ResourceTerms = {
  memoryMiB: undefined,
  gpuBusyPercent: undefined,
  gpuHoursPerPeriod: undefined,
  periodDays: 30,
};

let folder: string;
let usage: UsageBook;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fedlora-limits-'));
  usage = await UsageBook.open(join(folder, 'usage.jsonl'));
});
afterEach(async () => {
  await usage.close();
  await rm(folder, { recursive: true, force: true });
});

/** A machine that a test moves on, with limits on it. */
class Machine {
  now = 1_800_000_000_000;
  residentMiB = 100;
  load: GpuLoad = { kind: 'known', percent: 0 };
  asked = 0;
  readonly limits: ResourceLimits;

  constructor(terms: Partial<ResourceTerms>, book = usage) {
    const start = this.now;
    this.limits = new ResourceLimits({
      terms: { ...none, ...terms },
      usage: book,
      residentBytes: () => this.residentMiB * 2 ** 20,
      gpuLoad: async () => {
        this.asked += 1;
        return this.load;
      },
      log: pino({ level: 'silent' }),
      now: () => this.now,
      elapsed: () => this.now - start,
    });
  }

  /** Training for a while, looked at every minute as the daemon does. */
  train(hours: number): void {
    this.limits.trainingBegins();
    for (let minute = 0; minute < 60 * hours; minute += 1) {
      this.now += 60_000;
      this.limits.reached();
    }
    this.limits.trainingEnds();
  }

  /** What is reached once the answer about the GPU that a look asks for has come. */
  async looks(): Promise<string | undefined> {
    this.limits.reached();
    await Promise.resolve();
    return this.limits.reached()?.limit;
  }
}

describe('limits on what training may take', () => {
  it('are none, unless the owner sets some', async () => {
    const machine = new Machine({});
    machine.residentMiB = 1e6;
    machine.train(100);
    expect(await machine.looks()).toBeUndefined();
    expect(machine.asked).toBe(0);
  });

  it('hold for the memory of the program, as long as it holds too much', () => {
    const machine = new Machine({ memoryMiB: 4096 });
    machine.residentMiB = 4096;
    expect(machine.limits.reached()).toBeUndefined();
    machine.residentMiB = 4097;
    expect(machine.limits.reached()).toEqual({
      limit: 'memory',
      why: 'This program holds 4097 MiB of memory; limits.memoryMiB is 4096.',
    });
    machine.residentMiB = 300;
    expect(machine.limits.reached()).toBeUndefined();
  });

  it('hold for hours within a period that slides', () => {
    const machine = new Machine({ gpuHoursPerPeriod: 5, periodDays: 7 });
    machine.train(3);
    expect(machine.limits.reached()).toBeUndefined();
    machine.now += DAY_MS;
    machine.train(2);
    expect(machine.limits.reached()).toEqual({
      limit: 'gpu-hours',
      why: 'Training took 5.0 hours within 7 days; gpuHoursPerPeriod is 5.',
    });
    machine.now += 6 * DAY_MS;
    expect(machine.limits.reached()).toBeUndefined();
  });

  it('are reached in the middle of training, too', () => {
    const machine = new Machine({ gpuHoursPerPeriod: 1 });
    machine.limits.trainingBegins();
    machine.now += 61 * 60_000;
    expect(machine.limits.reached()?.limit).toBe('gpu-hours');
  });

  it('count no hours of waiting, and none twice', () => {
    const machine = new Machine({ gpuHoursPerPeriod: 2 });
    machine.train(0.5);
    machine.now += 10 * HOUR_MS;
    machine.limits.trainingEnds();
    machine.limits.trainingBegins();
    machine.limits.trainingBegins();
    machine.limits.trainingEnds();
    expect(usage.usedSince(0)).toBe(HOUR_MS / 2);
  });

  it('remember hours over a restart, also those of training that was killed, but for five minutes', async () => {
    const machine = new Machine({ gpuHoursPerPeriod: 1 });
    machine.limits.trainingBegins();
    for (let minute = 0; minute < 62; minute += 1) {
      machine.now += 60_000;
      machine.limits.reached();
    }
    await usage.close(); // Killed: training never ended.
    const again = await UsageBook.open(join(folder, 'usage.jsonl'));
    expect(again.usedSince(0)).toBe(HOUR_MS);
    expect(new Machine({ gpuHoursPerPeriod: 1 }, again).limits.reached()?.limit).toBe('gpu-hours');
    await again.close();
  });

  it('wait for a GPU that others keep busy, and go on when it is free', async () => {
    const machine = new Machine({ gpuBusyPercent: 20 });
    machine.load = { kind: 'known', percent: 20 };
    expect(await machine.looks()).toBe('gpu-busy');
    machine.load = { kind: 'known', percent: 19 };
    expect(await machine.looks()).toBe('gpu-busy'); // Not asked again at once.
    machine.now += 15_000;
    expect(await machine.looks()).toBeUndefined();
    expect(machine.asked).toBe(2);
  });

  it('do not take the load of training for that of others', async () => {
    const machine = new Machine({ gpuBusyPercent: 20 });
    machine.load = { kind: 'known', percent: 100 };
    machine.limits.trainingBegins();
    machine.now += 60_000;
    expect(await machine.looks()).toBeUndefined();
    expect(machine.asked).toBe(0);
    machine.limits.trainingEnds();
    expect(await machine.looks()).toBeUndefined(); // The driver still counts what was its own.
    machine.now += 3000;
    expect(await machine.looks()).toBe('gpu-busy');
  });

  it('do not keep a machine from rounds that cannot tell its load', async () => {
    const machine = new Machine({ gpuBusyPercent: 20 });
    machine.load = { kind: 'unavailable', why: 'nvidia-smi is not installed' };
    expect(await machine.looks()).toBeUndefined();
  });
});

describe('UsageBook', () => {
  it('leaves out what is no line of it', async () => {
    const path = join(folder, 'usage.jsonl');
    await usage.add(1000, 5);
    await usage.close();
    await writeFile(path, `${await readFile(path, 'utf8')}rubbish\n{"at":7,"ms":-1}\n{"at":8,"ms":500}\n{"at":9,`);
    usage = await UsageBook.open(path);
    expect(usage.usedSince(0)).toBe(1500);
    expect(usage.usedSince(5)).toBe(500);
    await usage.add(1, 10);
    expect(usage.usedSince(9)).toBe(1);
  });
});

describe('gpuLoad', () => {
  /** Puts a program in the place of nvidia-smi; returns an environment that finds it. */
  async function fake(script: string, more: NodeJS.ProcessEnv = {}): Promise<NodeJS.ProcessEnv> {
    const path = join(folder, 'nvidia-smi');
    await writeFile(path, `#!/bin/sh\n${script}\n`);
    await chmod(path, 0o755);
    return { PATH: `${folder}${delimiter}${process.env.PATH}`, ...more };
  }

  it('is that of the busiest GPU', async () => {
    expect(await gpuLoad(await fake(`printf '3\\n 87\\n0\\n'`))).toEqual({ kind: 'known', percent: 87 });
  });

  it('asks about the GPUs that this program may use, and changes nothing', async () => {
    const heard = join(folder, 'heard');
    const environment = await fake(`echo "$@" > ${heard}; echo 5`, { CUDA_VISIBLE_DEVICES: '1,3' });
    expect(await gpuLoad(environment)).toEqual({ kind: 'known', percent: 5 });
    expect(await readFile(heard, 'utf8')).toBe('--query-gpu=utilization.gpu --format=csv,noheader,nounits --id=1,3\n');
  });

  it.each([
    ['there is no such program', undefined, {}, 'nvidia-smi is not installed'],
    ['the driver is not loaded', 'exit 9', {}, 'nvidia-smi ends with 9'],
    ['the GPU is a slice that tells no load', `echo '[N/A]'`, {}, 'nvidia-smi tells no load'],
    ['it answers in prose', `echo 'No devices were found'`, {}, 'nvidia-smi tells no load'],
    ['no GPU may be used', 'echo 5', { CUDA_VISIBLE_DEVICES: '' }, 'CUDA_VISIBLE_DEVICES hides every GPU'],
  ])('is not available where %s', async (_what, script, more, why) => {
    const environment = script === undefined ? { PATH: folder } : await fake(script, more);
    expect(await gpuLoad(environment)).toEqual({ kind: 'unavailable', why });
  });
});
