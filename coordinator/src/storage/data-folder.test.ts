import { chmod, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { DataFolder } from './data-folder.js';

it.skipIf(process.platform === 'win32')('a data folder that was there before is closed to others', async () => {
  const root = await mkdtemp(join(tmpdir(), 'fedlora-data-'));
  try {
    await chmod(root, 0o755);
    await new DataFolder(root).prepare();
    expect((await stat(root)).mode & 0o777).toBe(0o700);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
});
