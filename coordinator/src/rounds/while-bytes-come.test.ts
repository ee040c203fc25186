import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ContributionStore } from '../storage/contribution-store.js';
import { GrowingFiles } from '../storage/growing-blobs.js';
import { whileBytesCome } from './while-bytes-come.js';

const SILENCE_MS = 30;
const of = { roundId: 'round', participant: 0, totalBytes: 4 };
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fedlora-upload-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

it('an upload over a half-open connection is given up, and the next one goes on where it stopped', async () => {
  const store = new ContributionStore(new GrowingFiles(folder));
  const halfOpen = new PassThrough();
  halfOpen.write(Uint8Array.of(1, 2));
  await expect(store.append(of, 0, whileBytesCome(halfOpen, SILENCE_MS), 4)).rejects.toThrow();
  expect(halfOpen.destroyed).toBe(true);
  expect(store.isReceiving(of.roundId, of.participant)).toBe(false);

  const next = new PassThrough();
  next.end(Uint8Array.of(3, 4));
  expect(await store.append(of, 2, whileBytesCome(next, SILENCE_MS), 4)).toBe(4);
});

it('a reader that takes its time is no silence', async () => {
  const request = new PassThrough();
  request.end(Uint8Array.of(1));
  for await (const chunk of whileBytesCome(request, SILENCE_MS)) {
    await new Promise((resolve) => setTimeout(resolve, 3 * SILENCE_MS));
    expect([...chunk]).toEqual([1]);
  }
});
