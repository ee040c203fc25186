/** Where this coordinator's blobs are, by its configuration: in its data folder, or in a bucket. */

import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { S3Config } from '../config/blobs-config.js';
import type { CoordinatorConfig } from '../config/coordinator-config.js';
import type { BlobStore } from './blob-store.js';
import type { DataFolder } from './data-folder.js';
import { FolderBlobs } from './folder-blobs.js';
import { GrowingFiles, GrowingObjects, type GrowingBlobs } from './growing-blobs.js';

export interface Blobs {
  readonly versions: BlobStore;
  readonly optimizer: BlobStore;
  readonly contributions: GrowingBlobs;
  /** @throws FedloraError coordinator/blobs-unavailable */
  expectReachable(): Promise<void>;
}

/** @throws FedloraError coordinator/blobs-unavailable: the bucket does not answer */
export async function openBlobs({ blobs }: Pick<CoordinatorConfig, 'blobs'>, folder: DataFolder): Promise<Blobs> {
  if (blobs === undefined)
    return {
      versions: new FolderBlobs(folder.versions),
      optimizer: new FolderBlobs(folder.optimizer),
      contributions: new GrowingFiles(folder.contributions),
      expectReachable: () => Promise.resolve(),
    };
  // Another coordinator's as well, where they share the data folder.
  await mkdir(folder.arriving, { recursive: true, mode: 0o700 });
  await removeLeft(folder.arriving);
  const below = await openBucket(blobs.s3);
  const contributions = below('contributions');
  const opened: Blobs = {
    versions: below('versions'),
    optimizer: below('optimizer'),
    contributions: new GrowingObjects(contributions, folder.arriving),
    expectReachable: () => expectAnswer(contributions),
  };
  await opened.expectReachable();
  return opened;
}

/**
 * Contributions alone, for a process that receives none: nothing of the data folder is touched, which may be a running coordinator's.
 *
 * @throws FedloraError coordinator/blobs-unavailable: the bucket does not answer
 */
export async function openContributions(
  { blobs }: Pick<CoordinatorConfig, 'blobs'>,
  folder: DataFolder,
): Promise<GrowingBlobs> {
  if (blobs === undefined) return new GrowingFiles(folder.contributions);
  const contributions = (await openBucket(blobs.s3))('contributions');
  await expectAnswer(contributions);
  return new GrowingObjects(contributions, folder.arriving);
}

/** Nobody writes to a piece for so long. */
const LEFT_MS = 3_600_000;

/** What programs of before this version, which gave pieces names, were collecting when they were killed: it is sent again. */
async function removeLeft(arriving: string): Promise<void> {
  for (const name of await readdir(arriving)) {
    const path = join(arriving, name);
    const found = await stat(path).catch(() => undefined); // Undefined: another has removed it meanwhile.
    if (found !== undefined && found.mtimeMs < Date.now() - LEFT_MS) await rm(path, { force: true });
  }
}

/** The stores of a bucket, by kind. */
async function openBucket(s3: S3Config): Promise<(kind: string) => BlobStore> {
  // Loaded where it is asked for only: the SDK takes half a second.
  const { openS3, S3Blobs } = await import('./s3-blobs.js');
  const client = openS3(s3);
  return (kind) => new S3Blobs(client, s3.bucket, `${s3.prefix === '' ? '' : `${s3.prefix}/`}${kind}/`);
}

/** A listing fails where a bucket is missing, or refuses the keys; asking for one object may say that it is not there. */
async function expectAnswer(blobs: BlobStore): Promise<void> {
  for await (const _ of blobs.list('none/')) break;
}
