/** What processes have used so far, of any program: from Linux's /proc. */

import { readFileSync } from 'node:fs';

/** Linux reports CPU time in ticks of this many a second to programs, whatever the kernel's own. */
const TICKS_PER_SECOND = 100;
const KIB_PER_MIB = 1024;

/** User and system time, finished threads included. */
export function cpuSeconds(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    // After the program's name, which may hold spaces and brackets.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks / TICKS_PER_SECOND;
}

/** Memory now. */
export function residentMiB(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => {
    const [, kib] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
    return sum + Number(kib) / KIB_PER_MIB;
  }, 0);
}
