/** The coordinator's side of the queue: gives out the ranges of a sum, and takes back what workers stored. */

import { randomUUID } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import type { Job, Queue } from 'bullmq';
import type { Log } from '../observe/log.js';
import type { ContributionStore } from '../storage/contribution-store.js';
import type { WordRange } from '../storage/growing-blobs.js';
import { rangesOf } from './range-sums.js';
import { connectRedis, hashOf, queuePrefix, SUM_QUEUE, type SumJob, type SumJobResult } from './sum-queue.js';

export interface SumWorkersParts {
  readonly redisUrl: string;
  readonly federationKey: string;
  readonly contributions: ContributionStore;
  readonly log: Log;
  /** How long nothing may come of workers before the coordinator sums by itself. */
  readonly patienceMs?: number;
}

/** Longer than it takes until another worker has the job of one that was killed. */
const PATIENCE_MS = 60_000;
/** How long Redis may take to say which workers there are. */
const ANSWER_MS = 5000;
/** Jobs are asked for instead of listened to: news of a job can be lost with Redis, the answer that there is none cannot. */
const POLL_MS = 200;
const ATTEMPTS = 3;
const RETRY_MS = 1000;
const REMOVING_MS = 1000;
/** Jobs that nobody removed, as their coordinator ended. */
const FORGOTTEN_AFTER_SECONDS = 3600;

type SumQueue = Queue<SumJob, SumJobResult>;
type Pending = { readonly range: WordRange; signs: string };

/** What a sum is made of, and how far it may be cut. */
export interface SharedSum extends Omit<SumJob, keyof WordRange> {
  /** Most words of a range. */
  readonly rangeWords: number;
}

export class SumWorkers {
  constructor(private readonly parts: SumWorkersParts) {}

  /**
   * Has ranges summed, a range for each worker at least, and hands each partial sum to `take`, in any order. Returns the ranges that came
   * to nothing: all of them if there is no Redis or no worker.
   *
   * @throws the signal's reason, within a second
   */
  async sum(
    { rangeWords, ...of }: SharedSum,
    take: (range: WordRange, bytes: Uint8Array) => void,
    signal: AbortSignal,
  ): Promise<readonly WordRange[]> {
    const { redisUrl, federationKey, log, patienceMs = PATIENCE_MS } = this.parts;
    // Loaded where workers are asked for only.
    const { Queue } = await import('bullmq');
    // Of this sum only: what waits to be sent when it is over is not sent any more.
    const connection = connectRedis(redisUrl, log, { maxRetriesPerRequest: null });
    const queue: SumQueue = new Queue(SUM_QUEUE, { connection, prefix: queuePrefix(federationKey) });
    queue.on('error', () => undefined); // The connection has told.
    const failed: WordRange[] = [];
    /** `undefined` until it is cut for the workers that there are. */
    let pending: Map<string, Pending> | undefined;
    const left = (): WordRange[] => [
      ...failed,
      ...(pending === undefined ? rangesOf(of.length, rangeWords) : [...pending.values()].map(({ range }) => range)),
    ];
    try {
      const workers = await within(Math.min(ANSWER_MS, patienceMs), queue.getWorkersCount(), signal);
      if (workers === 0) throw new Error('No worker is connected to Redis.');
      const ranges = rangesOf(of.length, Math.min(rangeWords, Math.ceil(of.length / workers)));
      // New names each time: a coordinator that takes over a round does not wait for what its predecessor's jobs met.
      pending = new Map(ranges.map((range) => [randomUUID(), { range, signs: '' }]));
      await this.collect(queue, of, pending, signal, (range, bytes) => {
        if (bytes === undefined) failed.push(range);
        else take(range, bytes);
      });
    } catch (error) {
      // Nobody is to sum them any more. Without Redis there is nothing to remove.
      const removing = [...(pending?.keys() ?? [])].map((jobId) => queue.remove(jobId));
      await Promise.race([Promise.allSettled(removing), wait(REMOVING_MS)]);
      signal.throwIfAborted();
      log.warn('round.sum.without-workers', { roundId: of.roundId, ranges: left().length, err: error });
    } finally {
      connection.disconnect();
    }
    return left();
  }

  /** Until nothing is pending. @throws Error: for longer than patience lasts there was no sign of a worker | the signal's reason */
  private async collect(
    queue: SumQueue,
    of: Omit<SumJob, keyof WordRange>,
    pending: Map<string, Pending>,
    signal: AbortSignal,
    done: (range: WordRange, bytes: Uint8Array | undefined) => void,
  ): Promise<void> {
    const { patienceMs = PATIENCE_MS, log } = this.parts;
    let lastSign = performance.now();
    /** Redis answers in what is left of patience, or not at all. */
    const inTime = <Value>(asking: Promise<Value>): Promise<Value> =>
      within(patienceMs - (performance.now() - lastSign), asking, signal);
    const jobs = [...pending].map(([jobId, { range }]) => ({
      name: of.roundId,
      data: { ...of, ...range },
      opts: {
        jobId,
        attempts: ATTEMPTS,
        backoff: { type: 'fixed', delay: RETRY_MS },
        removeOnComplete: { age: FORGOTTEN_AFTER_SECONDS },
        removeOnFail: { age: FORGOTTEN_AFTER_SECONDS },
      },
    }));
    await inTime(queue.addBulk(jobs));
    while (pending.size > 0) {
      for (const [jobId, one] of pending) {
        const job = await inTime(queue.getJob(jobId));
        const signs =
          job === undefined ? 'gone' : `${job.processedOn}/${job.attemptsMade}/${JSON.stringify(job.progress)}`;
        if (signs !== one.signs && job?.processedOn !== undefined) lastSign = performance.now();
        one.signs = signs;
        if (job !== undefined && job.finishedOn === undefined) continue;
        lastSign = performance.now();
        pending.delete(jobId);
        const { bytes, why } = await this.resultOf(job, of.roundId, one.range);
        if (why !== undefined) log.warn('round.sum.range-failed', { roundId: of.roundId, ...one.range, why });
        done(one.range, bytes);
        if (job !== undefined) await inTime(job.remove());
      }
      if (pending.size > 0) await inTime(wait(POLL_MS));
    }
  }

  /** The partial sum that a job has stored, or why there is none. */
  private async resultOf(
    job: Job<SumJob, SumJobResult> | undefined,
    roundId: string,
    range: WordRange,
  ): Promise<{ readonly bytes?: Uint8Array; readonly why?: string }> {
    if (job === undefined) return { why: 'Redis has lost the job.' };
    // A job that failed has no result.
    const result = job.returnvalue as SumJobResult | null;
    if (result === null) return { why: job.failedReason };
    try {
      const pieces: Uint8Array[] = [];
      for await (const piece of this.parts.contributions.readPartialSum(roundId, range)) pieces.push(piece);
      const bytes = Buffer.concat(pieces);
      const isWhole = bytes.length === 4 * (range.to - range.from) && hashOf(bytes) === result.hash;
      return isWhole ? { bytes } : { why: 'The stored sum is not the one that the worker made.' };
    } catch (error) {
      return { why: error instanceof Error ? error.message : String(error) };
    }
  }
}

/** What comes of `asking` in so many milliseconds. @throws Error: nothing did | the signal's reason */
async function within<Value>(ms: number, asking: Promise<Value>, signal: AbortSignal): Promise<Value> {
  asking.catch(() => undefined); // Of what comes after that nobody hears.
  signal.throwIfAborted();
  const over = new AbortController();
  const stop = (): void => over.abort();
  signal.addEventListener('abort', stop);
  const tooLate = wait(Math.max(ms, 0), undefined, { signal: over.signal }).then(() => {
    throw new Error('There was no sign of a worker, or no answer of Redis, for too long.');
  });
  try {
    return await Promise.race([tooLate, asking]);
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    tooLate.catch(() => undefined); // Told by the race, or aborted as nobody waits for it any more.
    signal.removeEventListener('abort', stop);
    over.abort();
  }
}
