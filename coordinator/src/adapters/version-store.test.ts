import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { VersionRecord } from '@fedlora/shared';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { tinyBase } from '../../../test/support/tiny-run.js';
import { FolderBlobs } from '../storage/folder-blobs.js';
import { openCoordinatorKey, type CoordinatorKey } from '../storage/keys.js';
import { VersionStore } from './version-store.js';

const HOUR_MS = 3_600_000;
const provenance: Omit<VersionRecord, 'id' | 'files'> = {
  runId: 'run',
  parent: null,
  roundId: null,
  completedRounds: 0,
  manifestHash: 'a'.repeat(64),
  rosterHash: 'b'.repeat(64),
  base: tinyBase,
  unit: 'none',
  epsilon: null,
  delta: null,
  createdAt: 0,
};
const files = new Map([
  ['adapter_config.json', Buffer.from('{}')],
  ['adapter_model.safetensors', Buffer.from('weights')],
  ['README.md', Buffer.from('card')],
]);

let folder: string;
let key: CoordinatorKey;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fedlora-versions-'));
  key = await openCoordinatorKey(`${folder}.key`);
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
  await rm(`${folder}.key`, { force: true });
});

/** Where the process ends after so many files. */
class EndingBlobs extends FolderBlobs {
  constructor(
    folder: string,
    private left: number,
  ) {
    super(folder);
  }

  override async put(name: string, content: Uint8Array): Promise<void> {
    this.left -= 1;
    if (this.left < 0) throw new Error('The process ends.');
    await super.put(name, content);
  }
}

describe('a version', () => {
  it('is there when every file of it is: whenever writing it ends, it has no record before, and is whole the next time', async () => {
    for (let put = 0; put < files.size + 3; put += 1) {
      await expect(new VersionStore(new EndingBlobs(folder, put), key).sign(provenance, files)).rejects.toThrow('ends');
      for await (const { name } of new FolderBlobs(folder).list()) expect(name).not.toContain('manifest.json');
    }
    const store = new VersionStore(new FolderBlobs(folder), key);
    const { id } = await store.sign(provenance, files);
    for (const [name, bytes] of files) expect(bytes.equals(await store.checkedFile(id, name))).toBe(true);
    expect((await store.record(id)).id).toBe(id);
  });

  it('that was never finished is removed an hour later, and one that is whole never', async () => {
    const store = new VersionStore(new FolderBlobs(folder), key);
    const whole = await store.sign(provenance, files);
    const half = new VersionStore(new EndingBlobs(folder, 2), key).sign({ ...provenance, createdAt: 1 }, files);
    await expect(half).rejects.toThrow('ends');
    const versions = async (): Promise<Set<string>> => {
      const ids = new Set<string>();
      for await (const { name } of store.blobs.list()) ids.add(name.split('/')[0]);
      return ids;
    };
    // What was begun before the failure goes on beside it.
    await expect.poll(async () => (await versions()).size).toBe(2);
    await store.tidy(Date.now());
    expect((await versions()).size).toBe(2);
    await store.tidy(Date.now() + HOUR_MS + 1000);
    expect(await versions()).toEqual(new Set([whole.id]));
  });
});
