/** Rounds whose sums go through worker processes over Debian's Redis, as an operator starts them; some are killed. */

import type { ChildProcess } from 'node:child_process';
import { execFileSync } from 'node:child_process';
import { open, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Manifest } from '@fedlora/protocol';
import { routes, type RoundView, type RunView } from '@fedlora/shared';
import { startCoordinator, type RunningCoordinator } from '@fedlora/coordinator';
import { Job } from 'bullmq';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { queuePrefix, SUM_QUEUE } from '../../coordinator/src/aggregation/sum-queue.js';
import { averagingRun, meanOf, movedBy, valuesOfB } from '../support/averaging.js';
import { FakeFederation, untilRun } from '../support/fake-federation.js';
import { becomeFirstAdmin } from '../support/first-admin.js';
import { endProcess, Processes } from '../support/processes.js';
import { hasRedis, RedisServer } from '../support/redis-server.js';
import { listAll, operate } from '../support/requests.js';

/** Seconds on an idle machine. */
const LONG_MS = 300_000;
const RANGE_WORDS = 5;
const program = join(import.meta.dirname, '..', '..', 'coordinator', 'bin', 'fedlora-coordinator.mjs');
const names = ['north', 'east', 'south', 'west'];

const averaging = {
  ...averagingRun,
  title: 'A summed run',
  deadlinesMs: { advertising: LONG_MS, sharing: LONG_MS, training: LONG_MS, checking: LONG_MS, unmasking: LONG_MS },
};

describe('the sum of a round over workers', () => {
  if (!hasRedis()) {
    it.skip('is not met here: Debian’s redis-server is not installed', () => undefined);
    return;
  }

  let folder: string;
  let redis: RedisServer;
  let coordinator: RunningCoordinator;
  let federation: FakeFederation;
  let token: string;
  let processes: Processes;
  /** Terms of the round, as an organisation was asked. */
  let manifest: Manifest | undefined;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fedlora-workers-'));
    processes = new Processes();
    redis = await RedisServer.start();
    federation = new FakeFederation();
  });
  afterEach(async () => {
    federation.disconnect();
    await coordinator.close();
    await processes.stop();
    await redis.stop();
    await rm(folder, { recursive: true, force: true });
  });

  async function startAgain(patienceMs: number, rangeWords = RANGE_WORDS): Promise<void> {
    const { federationKey } = federation;
    coordinator = await startCoordinator(
      {
        dataFolder: join(folder, 'data'),
        host: '127.0.0.1',
        port: 0,
        logLevel: 'silent',
        federationKey,
        redisUrl: redis.url,
      },
      { sums: { rangeWords, patienceMs } },
    );
  }

  async function start(patienceMs: number, rangeWords?: number): Promise<void> {
    await startAgain(patienceMs, rangeWords);
    token = (await becomeFirstAdmin(coordinator.url, coordinator.setupToken!)).token;
    await federation.enrol(coordinator.url, token, names);
    await federation.connect(coordinator.url);
    for (const organisation of federation.organisations)
      organisation.ignores = ({ offer }) => {
        if (offer !== undefined) manifest = JSON.parse(offer.manifest) as Manifest;
        return false;
      };
  }

  /** A worker on the coordinator's folder, once it takes jobs. */
  async function startWorker(name: string): Promise<ChildProcess> {
    const worker = processes.start([program, 'worker'], {
      log: join(folder, `${name}.log`),
      env: {
        FEDLORA_DATA: join(folder, 'data'),
        FEDLORA_FEDERATION_KEY: federation.federationKey,
        FEDLORA_REDIS_URL: redis.url,
        FEDLORA_LOG_LEVEL: 'info',
      },
    });
    while ((await linesOf(name, 'worker.ready')).length === 0) {
      if (worker.exitCode !== null) throw new Error(await readFile(join(folder, `${name}.log`), 'utf8'));
      await wait(50);
    }
    return worker;
  }

  interface Line {
    readonly event: string;
    readonly from?: number;
  }

  async function linesOf(name: string, event: string): Promise<readonly Line[]> {
    const text = await readFile(join(folder, `${name}.log`), 'utf8').catch(() => '');
    return text
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Line)
      .filter((line) => line.event === event);
  }

  async function plan(): Promise<string> {
    return (await operate<RunView>(coordinator.url, token, 'POST', routes.runs, averaging)).id;
  }

  /** The adapter moved by the mean of what everybody contributed, and nothing of the round is left. Returns the words of its sum. */
  async function expectRightSum(runId: string): Promise<number> {
    const run = await untilRun(coordinator.url, token, runId);
    expect(run).toMatchObject({ status: 'completed', completedRounds: 1, abortedRounds: 0 });
    const [round] = await listAll<RoundView>(coordinator.url, token, routes.rounds(runId));
    const terms = manifest!;
    const before = await valuesOf(round.baseVersion, terms);
    const after = await valuesOf(round.version!, terms);
    const levels = federation.organisations.map(({ contributed }) => contributed.get(round.id)!);
    expect(after).toEqual(movedBy(meanOf(levels, terms, after.length), before));
    expect(after.some((value, i) => value !== before[i])).toBe(true);
    expect(await readdir(join(folder, 'data', 'blobs', 'contributions'))).toEqual([]);
    return levels[0].length;
  }

  async function valuesOf(version: string, manifest: Manifest): Promise<number[]> {
    return valuesOfB(await readFile(join(folder, 'data', 'versions', version, 'adapter_model.safetensors')), manifest);
  }

  it(
    'is right, and each range of it was summed by one of two processes',
    async () => {
      await start(LONG_MS);
      const workers = await Promise.all(['first', 'second'].map(startWorker));
      const words = await expectRightSum(await plan());
      const summed = [
        ...(await linesOf('first', 'worker.range.summed')),
        ...(await linesOf('second', 'worker.range.summed')),
      ];
      const ranges = summed.map(({ from }) => from!).sort((a, b) => a - b);
      expect(words % RANGE_WORDS).not.toBe(0);
      expect(ranges).toEqual(Array.from({ length: Math.ceil(words / RANGE_WORDS) }, (_, i) => i * RANGE_WORDS));
      await endProcess(workers[0], 60_000);
      await redis.halt(); // A worker stops without Redis as well.
      await endProcess(workers[1], 60_000);
      expect(workers.map(({ exitCode }) => exitCode)).toEqual([0, 0]);
      for (const name of ['first', 'second']) expect(await linesOf(name, 'worker.stopped')).toHaveLength(1);
    },
    LONG_MS,
  );

  it(
    'is right though Redis is lost when all of it is in: nothing is added a second time',
    async () => {
      await start(LONG_MS, 1_000_000);
      await startWorker('only');
      const removed = vi.spyOn(Job.prototype, 'remove').mockRejectedValue(new Error('Redis is gone.'));
      await expectRightSum(await plan());
      expect(removed).toHaveBeenCalledTimes(1);
    },
    LONG_MS,
  );

  it(
    'is right though a worker is killed in the middle of a range: another one gets its job',
    async () => {
      await start(LONG_MS);
      const killed = await startWorker('killed');
      // The last answer of the round waits until a contribution is one that no reader comes to the end of.
      let release: () => void = () => undefined;
      const isReady = new Promise<void>((resolve) => (release = resolve));
      const [slow] = federation.organisations;
      const roundId = new Promise<string>((resolve) => {
        const watch = slow.ignores;
        slow.ignores = (request) => {
          if (request.phase === 'unmasking') resolve(request.roundId);
          return watch(request);
        };
        const reply = slow.reply.bind(slow);
        slow.reply = async (round, phase, message) => {
          if (phase === 'unmasking') await isReady;
          return reply(round, phase, message);
        };
      });
      const runId = await plan();
      const stored = join(folder, 'data', 'blobs', 'contributions', await roundId, '0');
      await rename(stored, join(folder, 'aside'));
      execFileSync('mkfifo', [stored]);
      release();
      const pipe = await open(stored, 'w'); // When somebody has opened it for reading.
      killed.kill('SIGKILL');
      await endProcess(killed);
      await rename(join(folder, 'aside'), stored);
      await pipe.close();
      expect(await linesOf('killed', 'worker.range.summed')).toEqual([]);
      await startWorker('heir');

      const words = await expectRightSum(runId);
      expect(await linesOf('heir', 'worker.range.summed')).toHaveLength(Math.ceil(words / RANGE_WORDS));
    },
    LONG_MS,
  );

  it(
    'is left at once when the coordinator is stopped while a worker is waited for, and made by the next one',
    async () => {
      await start(LONG_MS);
      const worker = await startWorker('sleeping');
      worker.kill('SIGSTOP');
      const runId = await plan();
      const client = new Redis(redis.url);
      const waiting = `${queuePrefix(federation.federationKey)}:${SUM_QUEUE}:wait`;
      while ((await client.llen(waiting)) === 0) await wait(50);
      await coordinator.close(); // Patience is as long as this test may take.
      expect(await client.llen(waiting)).toBe(0);
      client.disconnect();
      await startAgain(LONG_MS);
      worker.kill('SIGCONT');
      const words = await expectRightSum(runId);
      expect(await linesOf('sleeping', 'worker.range.summed')).toHaveLength(Math.ceil(words / RANGE_WORDS));
    },
    LONG_MS,
  );

  it(
    'is made by the coordinator itself where there is no worker, or no Redis any more',
    async () => {
      await start(1000);
      await expectRightSum(await plan());
      await redis.halt();
      await expectRightSum(await plan());
    },
    LONG_MS,
  );
});
