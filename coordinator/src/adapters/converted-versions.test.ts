import { mkdtemp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeSafetensors, type VersionRecord } from '@fedlora/shared';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { openCoordinatorKey } from '../storage/keys.js';
import { ConvertedVersions } from './converted-versions.js';
import { FolderBlobs } from '../storage/folder-blobs.js';
import { VersionStore } from './version-store.js';

const WEIGHTS = 'adapter_model.safetensors';

let folder: string;
let store: VersionStore;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fedlora-converted-'));
  await mkdir(join(folder, 'versions'));
  store = new VersionStore(
    new FolderBlobs(join(folder, 'versions')),
    await openCoordinatorKey(join(folder, 'coordinator.key')),
  );
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** A version with these weights. */
function published(...values: readonly number[]): Promise<VersionRecord> {
  return store.sign(
    {
      runId: 'run-1',
      parent: null,
      roundId: null,
      completedRounds: 0,
      manifestHash: 'a'.repeat(64),
      rosterHash: 'b'.repeat(64),
      base: { name: 'tiny', digest: 'c'.repeat(64) },
      unit: 'none',
      epsilon: null,
      delta: null,
      createdAt: 1,
    },
    new Map<string, Uint8Array>([
      ['adapter_config.json', Buffer.from('{}')],
      [WEIGHTS, writeSafetensors([{ name: 'x', shape: [values.length], values: Float32Array.from(values) }])],
      ['README.md', Buffer.from('# It\n')],
    ]),
  );
}

describe('ConvertedVersions', () => {
  it('makes a conversion once, and says of which version it is', async () => {
    const { id } = await published(1, 2);
    const sign = vi.spyOn(store, 'sign');
    const converted = new ConvertedVersions(store);
    const [first, second] = await Promise.all([converted.of(id, 'f16'), converted.of(id, 'f16')]);
    expect(second).toBe(first);
    expect(sign).toHaveBeenCalledTimes(1);
    expect(await converted.originOf(first)).toBe(id);
    expect(await converted.originOf(id)).toBeUndefined();
    expect(await converted.originOf('0'.repeat(40))).toBeUndefined();
  });

  it('has no version in a format that cannot hold its values', async () => {
    const { id } = await published(1, 70_000);
    const converted = new ConvertedVersions(store);
    const refused = converted.of(id, 'f16');
    await expect(refused).rejects.toMatchObject({ code: 'version/no-revision' });
    await expect(refused).rejects.toThrow(/f16 cannot hold/);
    expect(await converted.of(id, 'bf16')).toMatch(/^[0-9a-f]{40}$/);
  });

  it('signs nothing that is not what the version’s record says, and tries again afterwards', async () => {
    const { id } = await published(1, 2);
    const path = join(folder, 'versions', id, WEIGHTS);
    const bytes = await readFile(path);
    await writeFile(path, writeSafetensors([{ name: 'x', shape: [2], values: Float32Array.of(1, 3) }]));
    const converted = new ConvertedVersions(store);
    await expect(converted.of(id, 'bf16')).rejects.toMatchObject({ code: 'version/damaged' });
    await writeFile(path, bytes);
    expect(await converted.of(id, 'bf16')).toMatch(/^[0-9a-f]{40}$/);
  });
});
