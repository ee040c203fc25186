import { execFileSync } from 'node:child_process';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { endProcess } from '../support/processes.js';
import type { Network } from '../support/network.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { smallNetwork, smallRun, statusOf, until } from './small-network.js';

/** Training with the demo's base model takes about 100 MiB more than waiting. */
const ROOM_MIB = 30;
/** Of the setting. */
const LEAST_LIMIT_MIB = 128;

describe('an owner who limits what training may take', () => {
  let network: Network;
  let names: readonly string[];
  beforeAll(async () => {
    network = await smallNetwork(4);
    names = network.options.organisations.map(({ name }) => name);
  }, 120_000);
  afterAll(() => network.stop());

  async function restart(name: string, env: NodeJS.ProcessEnv): Promise<void> {
    const child = network.clients.get(name);
    if (child !== undefined) await endProcess(child, 8000);
    network.startClient(name, [], env);
    await network.untilAllConnected();
  }
  /** What a client holds while it waits: it grows in the first moments after its start. */
  async function settledMiB(name: string): Promise<number> {
    const resident = (): number =>
      Math.round(Number(execFileSync('ps', ['-o', 'rss=', '-p', String(network.clients.get(name)?.pid)])) / 1024);
    for (let before = -1, now = resident(); ; before = now, now = resident()) {
      if (now <= before) return now;
      await wait(500);
    }
  }
  const home = (name: string, file: string): Promise<string> => readFile(join(network.home(name), file), 'utf8');
  const status = async (name: string): Promise<object> =>
    JSON.parse((await network.fedlora(['status', '--json', '--home', network.home(name)])).stdout) as object;

  it('has a client that leaves a round rather than hold too much memory, while the others finish it', async () => {
    const [name] = names;
    const limit = Math.max((await settledMiB(name)) + ROOM_MIB, LEAST_LIMIT_MIB);
    await restart(name, { FEDLORA_MEMORY_MIB: String(limit) });
    // Long enough that the client, which looks every two seconds, looks while it trains.
    const long = {
      training: { kind: 'record-step', samplingRate: 0.9, expectedRecords: 800, maximumRecords: 900 },
      deadlinesMs: { advertising: 10_000, sharing: 10_000, training: 60_000, checking: 10_000, unmasking: 10_000 },
    };
    const { id } = await network.startRun(await smallRun(2, long));
    await network.untilRunEnds(id);
    const rounds = await network.rounds(id);
    expect(rounds.filter(({ phase }) => phase === 'done')).toHaveLength(2);
    expect(statusOf(rounds.at(-1)!, name)).toBe('declined');
    // What it held is nobody else's business.
    expect(rounds.at(-1)?.participants.find((one) => one.name === name)?.reason).toBe('policy/declined');
    expect(await home(name, 'rounds.jsonl')).toContain('"because":"resources/memory-limit"');
    await restart(name, {});
  });

  it('has a client that joins no round while others use the GPU', async () => {
    const [, name] = names;
    const bin = join(network.options.directory, 'bin');
    await mkdir(bin);
    await writeFile(join(bin, 'nvidia-smi'), '#!/bin/sh\necho 95\n');
    await chmod(join(bin, 'nvidia-smi'), 0o755);
    const config = join(network.home(name), 'config.yaml');
    await writeFile(config, (await readFile(config, 'utf8')).replace('# gpuBusyPercent:', 'gpuBusyPercent: 50'));
    await restart(name, { PATH: `${bin}${delimiter}${process.env['PATH']}` });
    await expect.poll(() => status(name), { timeout: 20_000 }).toMatchObject({ state: 'paused' });
    expect(await status(name)).toMatchObject({
      why: 'Other programs use 95 % of the GPU; limits.gpuBusyPercent is 50.',
    });
    const { id } = await network.startRun(await smallRun(1));
    const round = await until(network, id, ({ phase }) => phase === 'done');
    expect(round.participants.map((one) => one.name)).not.toContain(name);
  });

  it('has its hours of training on disk', async () => {
    const used = (await home(names[2], 'usage.jsonl'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { ms: number });
    expect(used.length).toBe(3);
    for (const { ms } of used) expect(ms).toBeGreaterThan(0);
  });
});
