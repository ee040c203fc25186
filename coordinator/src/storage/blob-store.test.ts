import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import {
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { routes, type RunView } from '@fedlora/shared';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { untilRun } from '../../../test/support/fake-federation.js';
import { startFakeNetwork, stopFakeNetwork } from '../../../test/support/fake-network.js';
import { measuredRun } from '../../../test/support/release-network.js';
import { operate, send } from '../../../test/support/requests.js';
import { swiftKeys, SwiftServer, whyNoSwift } from '../../../test/support/swift-server.js';
import { startCoordinator } from '../start-coordinator.js';
import { NoSuchBlob, type BlobEntry, type BlobStore } from './blob-store.js';
import { ContributionStore } from './contribution-store.js';
import { DataFolder } from './data-folder.js';
import { FolderBlobs } from './folder-blobs.js';
import { GrowingFiles, GrowingObjects, type GrowingBlobs } from './growing-blobs.js';
import { openBlobs } from './open-blobs.js';
import { S3Blobs } from './s3-blobs.js';

const BUCKET = 'fedlora';
const MIB = 2 ** 20;

interface Opened {
  readonly blobs: BlobStore;
  readonly growing: GrowingBlobs;
}

let folder: string;
let swift: SwiftServer | undefined;
let client: S3Client;
let number = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fedlora-blobs-'));
  if (whyNoSwift !== undefined) return;
  await mkdir(join(folder, 'swift'));
  swift = await SwiftServer.start(join(folder, 'swift'));
  client = swift.client();
  await client.send(new CreateBucketCommand({ Bucket: BUCKET }));
});
afterAll(async () => {
  client?.destroy();
  await swift?.stop();
  await rm(folder, { recursive: true, force: true });
});

async function openFolder(): Promise<Opened> {
  const [blobs, growing] = [join(folder, `blobs-${number}`), join(folder, `growing-${number}`)];
  await mkdir(blobs);
  await mkdir(growing);
  return { blobs: new FolderBlobs(blobs), growing: new GrowingFiles(growing) };
}

async function openBucket(): Promise<Opened> {
  const arriving = join(folder, `arriving-${number}`);
  await mkdir(arriving);
  const below = (kind: string): S3Blobs => new S3Blobs(client, BUCKET, `${number}/${kind}/`);
  return { blobs: below('blobs'), growing: new GrowingObjects(below('growing'), arriving) };
}

async function listed(blobs: BlobStore, prefix?: string): Promise<BlobEntry[]> {
  const entries = [];
  for await (const entry of blobs.list(prefix)) entries.push(entry);
  return entries;
}

if (whyNoSwift !== undefined)
  it(`blobs in a bucket are not tested here: ${whyNoSwift}`, () => {
    expect(swift).toBeUndefined();
  });

describe.each([
  { where: 'a folder', open: openFolder },
  ...(whyNoSwift === undefined ? [{ where: 'a bucket of OpenStack Swift', open: openBucket }] : []),
])('blobs in $where', ({ open }) => {
  let blobs: BlobStore;
  let growing: GrowingBlobs;
  beforeEach(async () => {
    number += 1;
    ({ blobs, growing } = await open());
  });

  it('come back as they were put, whole, in parts and as a stream; the last put counts', async () => {
    const content = randomBytes(2 * MIB + 17);
    await blobs.put('a/one.bin', randomBytes(5));
    await blobs.put('a/one.bin', content);
    expect(await blobs.size('a/one.bin')).toBe(content.length);
    expect(content.equals(await blobs.get('a/one.bin'))).toBe(true);
    expect(content.equals(await buffer(blobs.stream('a/one.bin')))).toBe(true);
    const part = async (begin: number, end: number): Promise<boolean> =>
      (await blobs.part('a/one.bin', begin, end)).equals(content.subarray(begin, end));
    expect(await part(0, 1)).toBe(true);
    expect(await part(MIB - 1, MIB + 1)).toBe(true);
    expect(await part(2 * MIB, 3 * MIB)).toBe(true);
    expect(await part(4 * MIB, 5 * MIB)).toBe(true);
    expect(await part(7, 7)).toBe(true);
  });

  it('may be empty, and may be larger than one part of an upload', async () => {
    await blobs.put('empty', new Uint8Array());
    expect([await blobs.size('empty'), await blobs.get('empty')]).toEqual([0, expect.objectContaining({ length: 0 })]);
    const large = randomBytes(33 * MIB);
    await blobs.put('large', large);
    expect(large.equals(await buffer(blobs.stream('large')))).toBe(true);
  });

  it('that are missing are told from those that are there, and may be deleted', async () => {
    expect(await blobs.size('none')).toBeUndefined();
    await expect(blobs.get('none')).rejects.toBeInstanceOf(NoSuchBlob);
    await expect(blobs.part('none', 0, 1)).rejects.toBeInstanceOf(NoSuchBlob);
    await expect(buffer(blobs.stream('none'))).rejects.toBeInstanceOf(NoSuchBlob);
    await blobs.delete('none');
    await blobs.put('some', Uint8Array.of(1));
    await blobs.delete('some');
    expect(await blobs.size('some')).toBeUndefined();
  });

  it('are listed by the beginning of their names, in order, with size and time', async () => {
    const before = Date.now();
    for (const name of ['b/2', 'a/1', 'b/10', 'b2']) await blobs.put(name, Uint8Array.of(1, 2, 3));
    expect((await listed(blobs)).map(({ name }) => name)).toEqual(['a/1', 'b/10', 'b/2', 'b2']);
    const [first, ...rest] = await listed(blobs, 'b/');
    expect(first).toMatchObject({ name: 'b/10', bytes: 3 });
    // S3 tells whole seconds.
    expect(first.storedAt).toBeGreaterThan(before - 2000);
    expect(rest).toHaveLength(1);
    expect(await listed(blobs, 'c')).toEqual([]);
  });

  it.each(['', '/a', 'a/', '../a', 'a/../b', '.hidden', 'a//b', 'a b', 'a\0'])('take no name like %j', async (name) => {
    await expect(blobs.put(name, Uint8Array.of(1))).rejects.toThrow(TypeError);
    await expect(blobs.get(name)).rejects.toThrow(TypeError);
    await expect(blobs.delete(name)).rejects.toThrow(TypeError);
  });

  describe('as contributions', () => {
    const of = { roundId: 'run.round', participant: 0, totalBytes: 3 * MIB };
    let store: ContributionStore;
    let content: Buffer;
    beforeEach(() => {
      store = new ContributionStore(growing);
      content = randomBytes(of.totalBytes);
    });

    /** Bytes of the contribution; where `breaksAt` is given, the connection breaks there. */
    async function* piece(begin: number, end: number, breaksAt = Infinity): AsyncGenerator<Uint8Array> {
      for (let at = begin; at < end; at += 65_536) {
        if (at >= breaksAt) throw new Error('The connection is lost.');
        yield content.subarray(at, Math.min(end, at + 65_536, breaksAt));
      }
    }

    it('go on where a broken piece ended, and are whole at last, in pieces of whole words', async () => {
      await expect(store.append(of, 0, piece(0, 2 * MIB, 100_001), 4 * MIB)).rejects.toThrow('The connection is lost.');
      expect(await store.size(of.roundId, 0)).toBe(100_001);
      await expect(store.append(of, 7, piece(7, 9), MIB)).rejects.toMatchObject({
        code: 'upload/wrong-offset',
        details: { offset: 100_001 },
      });
      expect(await store.append(of, 100_001, piece(100_001, 2 * MIB), 4 * MIB)).toBe(2 * MIB);
      expect(await store.append(of, 2 * MIB, piece(2 * MIB, 3 * MIB), 4 * MIB)).toBe(3 * MIB);
      const read = [];
      for await (const chunk of store.read(of.roundId, 0)) read.push(Buffer.from(chunk));
      expect(Buffer.concat(read).equals(content)).toBe(true);
      for (const chunk of read) expect(chunk.length % 4).toBe(0);
    });

    it('are not longer than they may be, nor is a piece', async () => {
      const tooMuch = store.append({ ...of, totalBytes: 70_000 }, 0, piece(0, MIB), 4 * MIB);
      await expect(tooMuch).rejects.toMatchObject({ code: 'upload/wrong-length' });
      const another = { ...of, participant: 1 };
      await expect(store.append(another, 0, piece(0, MIB), 100_000)).rejects.toMatchObject({
        code: 'request/too-large',
      });
    });

    it('are removed one by one, by round, and where their round is over', async () => {
      for (const [roundId, participant] of [
        ['r1', 0],
        ['r1', 1],
        ['r10', 0],
        ['r2', 0],
      ] as const)
        await store.append({ roundId, participant, totalBytes: 4 }, 0, piece(0, 4), MIB);
      const sizes = (): Promise<number[]> =>
        Promise.all([store.size('r1', 0), store.size('r1', 1), store.size('r10', 0), store.size('r2', 0)]);
      await store.remove('r1', 0);
      expect(await sizes()).toEqual([0, 4, 4, 4]);
      await store.scrub('r1');
      expect(await sizes()).toEqual([0, 0, 4, 4]);
      await store.scrubAllBut(new Set(['r2']));
      expect(await sizes()).toEqual([0, 0, 0, 4]);
    });
  });
});

if (whyNoSwift === undefined)
  describe('a coordinator whose blobs are in a bucket of OpenStack Swift', () => {
    it('trains a version there, serves it, goes on after a restart, and keeps nothing of the round', async () => {
      vi.stubEnv('AWS_ACCESS_KEY_ID', swiftKeys.accessKeyId);
      vi.stubEnv('AWS_SECRET_ACCESS_KEY', swiftKeys.secretAccessKey);
      const s3 = { bucket: BUCKET, region: 'us-east-1', endpoint: swift?.url ?? '', prefix: 'one/coordinator' };
      const network = await startFakeNetwork(['bank', 'clinic', 'council'], undefined, { blobs: { s3 } });
      const { admin, federation } = network;
      let { coordinator } = network;
      try {
        const run = async (): Promise<string> => {
          const { id } = await operate<RunView>(
            coordinator.url,
            admin.token,
            'POST',
            routes.runs,
            measuredRun('a/b', 1),
          );
          const { status, version } = await untilRun(coordinator.url, admin.token, id);
          expect(status).toBe('completed');
          return version;
        };
        const version = await run();
        const kept = await listed(new S3Blobs(client, BUCKET, 'one/coordinator/'));
        expect(kept.map(({ name }) => name)).toContain(`versions/${version}/adapter_model.safetensors`);
        expect(kept.filter(({ name }) => name.startsWith('contributions/'))).toEqual([]);
        expect(await readdir(join(network.folder, 'versions'))).toEqual([]);
        expect(await readdir(join(network.folder, 'blobs', 'arriving'))).toEqual([]);

        await coordinator.close();
        coordinator = await startCoordinator({ ...network.config, port: Number(new URL(coordinator.url).port) });
        const path = `/a/b/resolve/${version}/adapter_model.safetensors`;
        const headers = { range: 'bytes=8-23' };
        const part = await send(coordinator.url, 'GET', path, admin.token, undefined, headers);
        expect(part.status).toBe(206);
        const whole = await new S3Blobs(client, BUCKET, 'one/coordinator/versions/').get(
          `${version}/adapter_model.safetensors`,
        );
        expect(Buffer.from(await part.arrayBuffer()).equals(whole.subarray(8, 24))).toBe(true);
        expect((await send(coordinator.url, 'GET', '/readyz')).status).toBe(200);
        await federation.connect(coordinator.url);
        await run();
      } finally {
        await stopFakeNetwork({ ...network, coordinator });
        vi.unstubAllEnvs();
      }
    });
  });

describe('what an end in the middle leaves', () => {
  it('of a file is removed at the next start, and was never to be seen', async () => {
    const place = join(folder, 'left');
    await mkdir(join(place, 'a'), { recursive: true });
    await mkdir(join(place, '.f0e1'));
    for (const name of ['a/.b2.tmp', '.f0e1/adapter_config.json']) await writeFile(join(place, name), 'half');
    const blobs = new FolderBlobs(place);
    await blobs.put('a/whole', Uint8Array.of(1));
    expect((await listed(blobs)).map(({ name }) => name)).toEqual(['a/whole']);
    await blobs.tidy();
    expect((await readdir(place, { recursive: true })).sort()).toEqual(['a', join('a', 'whole')]);
  });

  if (whyNoSwift === undefined)
    it('of an upload in parts is removed when it is a day old, and was never to be seen', async () => {
      const blobs = new S3Blobs(client, BUCKET, 'left/');
      const upload = { Bucket: BUCKET, Key: 'left/half' };
      const { UploadId } = await client.send(new CreateMultipartUploadCommand(upload));
      await client.send(new UploadPartCommand({ ...upload, UploadId, PartNumber: 1, Body: randomBytes(5 * MIB) }));
      expect(await listed(blobs)).toEqual([]);
      expect(await blobs.size('half')).toBeUndefined();
      const open = async (): Promise<number> => {
        const { Uploads } = await client.send(new ListMultipartUploadsCommand({ Bucket: BUCKET, Prefix: 'left/' }));
        return Uploads?.length ?? 0;
      };
      await blobs.tidy();
      expect(await open()).toBe(1);
      await blobs.tidy(Date.now() + 25 * 3_600_000);
      expect(await open()).toBe(0);
    });
});

if (whyNoSwift === undefined)
  describe('a data folder that several coordinators have, with a bucket', () => {
    it('loses nothing of a piece that one of them is receiving when another one starts on it', async () => {
      vi.stubEnv('AWS_ACCESS_KEY_ID', swiftKeys.accessKeyId);
      vi.stubEnv('AWS_SECRET_ACCESS_KEY', swiftKeys.secretAccessKey);
      const shared = new DataFolder(join(folder, 'shared'));
      await shared.prepare();
      const config = {
        blobs: { s3: { bucket: BUCKET, region: 'us-east-1', endpoint: swift?.url ?? '', prefix: 'shared' } },
      };
      const driver = await openBlobs(config, shared);
      async function* piece(): AsyncGenerator<Uint8Array> {
        yield Uint8Array.of(1, 2);
        // Its file has no name, so that it is gone with the process that has it open.
        expect(await readdir(shared.arriving)).toEqual([]);
        await openBlobs(config, shared);
        yield Uint8Array.of(3, 4);
      }
      await driver.contributions.append('round/0', piece(), { stored: 0, wholeBytes: 4 });
      expect(await buffer(driver.contributions.read('round/0'))).toEqual(Buffer.of(1, 2, 3, 4));
      vi.unstubAllEnvs();
    });

    it('is rid of pieces that earlier versions left there, when they are an hour old', async () => {
      vi.stubEnv('AWS_ACCESS_KEY_ID', swiftKeys.accessKeyId);
      vi.stubEnv('AWS_SECRET_ACCESS_KEY', swiftKeys.secretAccessKey);
      const shared = new DataFolder(join(folder, 'upgraded'));
      await mkdir(shared.arriving, { recursive: true });
      for (const name of ['left', 'coming']) await writeFile(join(shared.arriving, name), 'piece');
      const twoHoursAgo = new Date(Date.now() - 2 * 3_600_000);
      await utimes(join(shared.arriving, 'left'), twoHoursAgo, twoHoursAgo);
      const s3 = { bucket: BUCKET, region: 'us-east-1', endpoint: swift?.url ?? '', prefix: 'upgraded' };
      await openBlobs({ blobs: { s3 } }, shared);
      expect(await readdir(shared.arriving)).toEqual(['coming']);
      vi.unstubAllEnvs();
    });
  });

describe('a bucket that', () => {
  if (whyNoSwift === undefined)
    it('is missing is no blob that is missing', async () => {
      const blobs = new S3Blobs(client, 'no-such-bucket', '');
      await expect(blobs.get('a')).rejects.toMatchObject({ code: 'coordinator/blobs-unavailable' });
      await expect(listed(blobs)).rejects.toMatchObject({ code: 'coordinator/blobs-unavailable' });
    });

  it('does not answer says so by a code', async () => {
    const nowhere = new S3Client({
      region: 'us-east-1',
      endpoint: 'http://127.0.0.1:9',
      forcePathStyle: true,
      credentials: swiftKeys,
      maxAttempts: 1,
    });
    const blobs = new S3Blobs(nowhere, BUCKET, '');
    const refusal = {
      code: 'coordinator/blobs-unavailable',
      summary: expect.stringContaining('ECONNREFUSED') as string,
    };
    await expect(blobs.put('a', Uint8Array.of(1))).rejects.toMatchObject(refusal);
    await expect(blobs.size('a')).rejects.toMatchObject(refusal);
    await expect(listed(blobs)).rejects.toMatchObject(refusal);
    nowhere.destroy();
  });
});
