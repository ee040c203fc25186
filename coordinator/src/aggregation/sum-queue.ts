/**
 * The queue between the coordinator that drives a round and its workers: one job for each range of the round's sum.
 *
 * What stands in Redis is which words of which contributions are summed, and the hash of a sum: no word, no seed, no key. Everything can
 * be lost with it; the coordinator then sums by itself.
 */

import { createHash } from 'node:crypto';
import { Redis, type RedisOptions } from 'ioredis';
import type { Log } from '../observe/log.js';
import type { WordRange } from '../storage/growing-blobs.js';

export const SUM_QUEUE = 'sums';

/** Which part of which round is summed. */
export interface SumJob extends WordRange {
  readonly roundId: string;
  readonly survivors: readonly number[];
  /** Words of a contribution. */
  readonly length: number;
}

export interface SumJobResult {
  /** SHA-256 of the stored partial sum, hexadecimal. */
  readonly hash: string;
}

/** Where a coordinator's jobs are: federations that share a Redis do not take each other's. The braces keep them on one node of a cluster. */
export function queuePrefix(federationKey: string): string {
  return `{fedlora:${federationKey.slice(0, 16)}}`;
}

/** A connection that comes back by itself, and says once for each time that it is lost. */
export function connectRedis(url: string, log: Log, options: RedisOptions): Redis {
  const connection = new Redis(url, options);
  let isLost = false;
  connection.on('ready', () => (isLost = false));
  connection.on('error', (error: Error) => {
    if (!isLost) log.warn('redis.lost', { err: error });
    isLost = true;
  });
  return connection;
}

export function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Redis is not the coordinator: what it holds becomes names of blobs only if it may. @throws TypeError */
export function readSumJob(data: unknown): SumJob {
  const { roundId, survivors, length, from, to } = (data ?? {}) as Partial<Record<keyof SumJob, unknown>>;
  if (
    typeof roundId !== 'string' ||
    !/^[\w-][\w.-]*$/.test(roundId) ||
    !Array.isArray(survivors) ||
    !survivors.every(isCount) ||
    !isCount(length) ||
    !isCount(from) ||
    !isCount(to) ||
    from >= to ||
    to > length
  )
    throw new TypeError('This is no job of a coordinator.');
  return { roundId, survivors, length, from, to };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
