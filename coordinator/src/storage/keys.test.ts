import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createId, openCoordinatorKey, readCoordinatorKey } from './keys.js';

describe('the coordinator’s key', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fedlora-key-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('is made once in the data folder, and read from where else it is kept', async () => {
    const path = join(folder, 'coordinator.key');
    const { publicKey } = await openCoordinatorKey(path);
    expect((await openCoordinatorKey(path)).publicKey).toBe(publicKey);
    expect((await readCoordinatorKey(path)).publicKey).toBe(publicKey);
  });

  it('is refused where the file that is named is not there, damaged, or open to others', async () => {
    const path = join(folder, 'named');
    const refused = { code: 'config/invalid', where: path };
    await expect(readCoordinatorKey(path)).rejects.toMatchObject(refused);
    await writeFile(path, 'key', { mode: 0o600 });
    await expect(readCoordinatorKey(path)).rejects.toMatchObject(refused);
    await writeFile(path, 'ab'.repeat(32));
    await readCoordinatorKey(path);
    await chmod(path, 0o604);
    await expect(readCoordinatorKey(path)).rejects.toMatchObject(refused);
  });
});

describe('a fresh name for a row', () => {
  it('can be an argument of a command, whatever chance says: it never begins with a hyphen', () => {
    const ids = Array.from({ length: 2000 }, createId);
    expect(ids.filter((id) => !/^[0-9a-f]{12}$/.test(id))).toEqual([]);
    expect(new Set(ids).size).toBe(ids.length);
  });
});
