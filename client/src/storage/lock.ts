/** One daemon per home folder: a file with the process id of its holder. */

import { open, readFile, rm } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { FedloraError } from '@fedlora/shared';

export interface Lock {
  release(): Promise<void>;
}

/**
 * Takes the lock or says who holds it. A lock whose holder no longer runs is taken over.
 *
 * @throws FedloraError home/locked
 */
export async function takeLock(path: string): Promise<Lock> {
  for (let attempt = 0; attempt < 3; attempt += 1) {
    try {
      const file = await open(path, 'wx', 0o600);
      await file.writeFile(`${process.pid}\n`);
      await file.close();
      return { release: () => rm(path, { force: true }) };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      const holder = Number((await readFile(path, 'utf8').catch(() => '')).trim());
      if (Number.isInteger(holder) && holder > 0 && holder !== process.pid && isFedlora(holder)) {
        throw new FedloraError('home/locked', `Process ${holder} already runs with this home folder.`, {
          details: { holder },
        });
      }
      await rm(path, { force: true });
    }
  }
  throw new FedloraError('home/locked', 'The lock file could not be taken: another process takes it too.');
}

/** The holder of the lock, when it runs. */
export async function lockHolder(path: string): Promise<number | undefined> {
  const holder = Number((await readFile(path, 'utf8').catch(() => '')).trim());
  return Number.isInteger(holder) && holder > 0 && isFedlora(holder) ? holder : undefined;
}

/** Whether the process runs and, where Linux tells, is a Node process: after a reboot its number may belong to another program. */
function isFedlora(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it runs, and belongs to another user.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  if (process.platform !== 'linux') return true;
  try {
    const commandLine = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    return commandLine.includes('node') || commandLine.includes('fedlora');
  } catch {
    // Without /proc the signal's answer stands.
    return true;
  }
}
