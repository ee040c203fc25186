/** A worker's side of the queue: sums ranges, one after the other, and stores each sum beside the contributions. */

import { wordsToBytes } from '@fedlora/protocol';
import { Worker } from 'bullmq';
import type { Log } from '../observe/log.js';
import type { ContributionStore } from '../storage/contribution-store.js';
import { storedWords, sumRange } from './range-sums.js';
import {
  connectRedis,
  hashOf,
  queuePrefix,
  readSumJob,
  SUM_QUEUE,
  type SumJob,
  type SumJobResult,
} from './sum-queue.js';

export interface SumWorkerParts {
  readonly redisUrl: string;
  readonly federationKey: string;
  readonly contributions: ContributionStore;
  readonly log: Log;
}

/** A worker that has not renewed its lock for so long is taken for dead, and another one gets its job. */
const LOCK_MS = 15_000;
const STALLED_CHECK_MS = 5000;
/** How many workers may die of one job. */
const MOST_STALLS = 3;
/** Between two signs of life of a job. */
const SIGN_MS = 1000;

/** Takes jobs until it is closed; `close` waits for the one that is being done. */
export class SumWorker {
  private readonly connection;
  private readonly worker: Worker<SumJob, SumJobResult>;

  constructor(private readonly parts: SumWorkerParts) {
    const { redisUrl, federationKey, log } = parts;
    this.connection = connectRedis(redisUrl, log, { maxRetriesPerRequest: null });
    this.worker = new Worker(
      SUM_QUEUE,
      (job) => this.sum(readSumJob(job.data), (survivors) => job.updateProgress(survivors)),
      {
        connection: this.connection,
        prefix: queuePrefix(federationKey),
        lockDuration: LOCK_MS,
        stalledInterval: STALLED_CHECK_MS,
        maxStalledCount: MOST_STALLS,
      },
    );
    this.worker.on('ready', () => log.info('worker.ready'));
    this.worker.on('error', () => undefined); // The connection has told.
    this.worker.on('failed', (job, error) => log.warn('worker.range.failed', { roundId: job?.name, err: error }));
  }

  async close(): Promise<void> {
    // Without Redis nobody hears of what is being done, and BullMQ would wait until it is back.
    if (this.connection.status === 'ready') {
      const isLost = new Promise<void>((resolve) => this.connection.once('close', resolve));
      await Promise.race([this.worker.close(), isLost]);
    }
    this.connection.disconnect();
  }

  /** Done a second time, after a worker that was killed, it stores the same bytes. */
  private async sum(
    { roundId, survivors, length, from, to }: SumJob,
    tell: (survivors: number) => Promise<void>,
  ): Promise<SumJobResult> {
    const { contributions, log } = this.parts;
    const started = performance.now();
    let added = 0;
    let toldAt = started;
    const stored = storedWords(contributions, { roundId, survivors, length });
    const sum = await sumRange(stored, { from, to }, async () => {
      added += 1;
      if (performance.now() - toldAt < SIGN_MS) return;
      toldAt = performance.now();
      await tell(added);
    });
    const bytes = wordsToBytes(sum.words); // [4 (to - from)]
    await contributions.putPartialSum(roundId, { from, to }, bytes);
    // A bucket knows no groups: what is put there after the round was scrubbed would stay.
    if ((await contributions.size(roundId, survivors[0])) === 0) await contributions.scrub(roundId);
    log.info('worker.range.summed', { roundId, from, to, durationMs: Math.round(performance.now() - started) });
    return { hash: hashOf(bytes) };
  }
}
