/**
 * How much memory this process may still take: what the machine has free, or less where a control group limits it.
 *
 * Source     Linux's proc(5), and its documents on cgroup v1 and v2: a container sees the machine's memory in /proc/meminfo, and its
 *            own limit only in its group and those above.
 * Files that were read stay in memory until it is needed, and are charged to the group: they count as free here.
 */

import { readFile } from 'node:fs/promises';
import { freemem } from 'node:os';
import { dirname, join } from 'node:path';

const KIB = 1024;

/** Names of a control group's files, by version. */
const groupFiles = {
  v1: { limit: 'memory.limit_in_bytes', used: 'memory.usage_in_bytes', cache: 'total_inactive_file' },
  v2: { limit: 'memory.max', used: 'memory.current', cache: 'inactive_file' },
} as const;

/**
 * Bytes that can still be allocated. Elsewhere than on Linux, what the runtime says.
 *
 * Edge cases no limit, or one over what the machine has -> what the machine has | a group above has the lower limit -> that one
 *            | a group uses more than its limit -> 0 | files that are absent or say nothing -> as if there were no limit
 * @param root where the files of the system are; for tests
 */
export async function availableMemory(root = '/'): Promise<number> {
  const text = async (...path: string[]): Promise<string> => readFile(join(root, ...path), 'utf8').catch(() => '');
  const [, free] = /^MemAvailable:\s+(\d+) kB$/m.exec(await text('proc/meminfo')) ?? [];
  if (free === undefined) return process.availableMemory?.() ?? freemem();
  let available = KIB * Number(free);
  for (const line of (await text('proc/self/cgroup')).split('\n')) {
    const [, controllers, group] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (controllers === undefined || group === undefined) continue;
    const isV1 = controllers.split(',').includes('memory');
    if (!isV1 && controllers !== '') continue;
    const names = isV1 ? groupFiles.v1 : groupFiles.v2;
    const mount = isV1 ? 'sys/fs/cgroup/memory' : 'sys/fs/cgroup';
    for (let at = group; ; at = dirname(at)) {
      const limit = Number.parseInt(await text(mount, at, names.limit), 10); // `max` is no number, and no limit
      const used = Number.parseInt(await text(mount, at, names.used), 10);
      const [, cached = '0'] =
        new RegExp(`^${names.cache} (\\d+)$`, 'm').exec(await text(mount, at, 'memory.stat')) ?? [];
      if (Number.isFinite(limit) && Number.isFinite(used))
        available = Math.min(available, Math.max(0, limit - used + Number(cached)));
      if (at === '/') break;
    }
  }
  return available;
}
