import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { lockHolder, takeLock } from './lock.js';

describe('takeLock', () => {
  it('is refused while another process of ours holds it', async () => {
    const path = join(await mkdtemp(join(tmpdir(), 'fedlora-lock-')), 'lock');
    await writeFile(path, `${process.ppid}\n`);
    // Vitest's parent is a Node process.
    await expect(takeLock(path)).rejects.toMatchObject({ code: 'home/locked' });
  });

  it('takes over what a process that died left behind', async () => {
    const path = join(await mkdtemp(join(tmpdir(), 'fedlora-lock-')), 'lock');
    await writeFile(path, '999999999\n');
    const lock = await takeLock(path);
    expect(await lockHolder(path)).toBe(process.pid);
    await lock.release();
    expect(await lockHolder(path)).toBeUndefined();
  });
});
