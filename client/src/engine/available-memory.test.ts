import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { availableMemory } from './available-memory.js';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'fedlora-memory-'));
});
afterEach(async () => {
  await rm(root, { recursive: true });
});

/** A machine with 8000 KiB available, and these files beside. */
async function aMachine(files: Readonly<Record<string, string>>): Promise<string> {
  const all = { 'proc/meminfo': 'MemTotal:       16000 kB\nMemAvailable:    8000 kB\n', ...files };
  for (const [name, text] of Object.entries(all)) {
    await mkdir(dirname(join(root, name)), { recursive: true });
    await writeFile(join(root, name), text);
  }
  return root;
}

describe('availableMemory', () => {
  it('is what the machine has available where nothing limits it', async () => {
    expect(await availableMemory(await aMachine({}))).toBe(8000 * 1024);
    const unlimited = { 'proc/self/cgroup': '0::/a\n', 'sys/fs/cgroup/a/memory.max': 'max\n' };
    expect(await availableMemory(await aMachine(unlimited))).toBe(8000 * 1024);
  });

  it('is what a control group has left, files that were read being free', async () => {
    const files = {
      'proc/self/cgroup': '0::/box\n',
      'sys/fs/cgroup/box/memory.max': '3000000\n',
      'sys/fs/cgroup/box/memory.current': '2500000\n',
      'sys/fs/cgroup/box/memory.stat': 'anon 1\nactive_file 7\ninactive_file 400000\n',
    };
    expect(await availableMemory(await aMachine(files))).toBe(900_000);
  });

  it('is the least of the groups above, whatever the version', async () => {
    const files = {
      'proc/self/cgroup': '12:cpu:/elsewhere\n4:memory:/outer/inner\n0::/\n',
      'sys/fs/cgroup/memory/outer/inner/memory.limit_in_bytes': '9223372036854771712\n',
      'sys/fs/cgroup/memory/outer/inner/memory.usage_in_bytes': '1000\n',
      'sys/fs/cgroup/memory/outer/memory.limit_in_bytes': '5000000\n',
      'sys/fs/cgroup/memory/outer/memory.usage_in_bytes': '2000000\n',
      'sys/fs/cgroup/memory/outer/memory.stat': 'inactive_file 5\ntotal_inactive_file 100\n',
    };
    expect(await availableMemory(await aMachine(files))).toBe(3_000_100);
  });

  it('is nothing for a group over its limit', async () => {
    const files = {
      'proc/self/cgroup': '0::/box\n',
      'sys/fs/cgroup/box/memory.max': '100\n',
      'sys/fs/cgroup/box/memory.current': '500\n',
    };
    expect(await availableMemory(await aMachine(files))).toBe(0);
  });

  it('never is more than this machine has, and more than nothing', async () => {
    const bytes = await availableMemory();
    expect(bytes).toBeGreaterThan(0);
    expect(bytes).toBeLessThan(2 ** 50);
  });
});
