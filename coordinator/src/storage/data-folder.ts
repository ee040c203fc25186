/** The folder of everything the coordinator keeps, and the lock that lets one process use it. */

import { readFileSync, rmSync } from 'node:fs';
import { chmod, mkdir, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FedloraError } from '@fedlora/shared';

/** Locks that this process holds: its own number in a lock file is else one left by a process of the same number, as in a container. */
const held = new Set<string>();

/** Paths below the data folder. */
export class DataFolder {
  constructor(readonly root: string) {}

  get database(): string {
    return join(this.root, 'coordinator.sqlite');
  }

  get contributions(): string {
    return join(this.root, 'blobs', 'contributions');
  }

  /** Pieces of contributions on their way to a bucket. */
  get arriving(): string {
    return join(this.root, 'blobs', 'arriving');
  }

  get versions(): string {
    return join(this.root, 'versions');
  }

  get optimizer(): string {
    return join(this.root, 'optimizer');
  }

  get coordinatorKey(): string {
    return join(this.root, 'coordinator.key');
  }

  get address(): string {
    return join(this.root, 'address.json');
  }

  get lock(): string {
    return join(this.root, 'coordinator.lock');
  }

  /** Makes the folder and those in it. */
  async prepare(): Promise<void> {
    await mkdir(this.root, { recursive: true, mode: 0o700 });
    // The mode above is only of a folder that is made here. Windows has no such modes.
    if (process.platform !== 'win32') await chmod(this.root, 0o700);
    for (const folder of [this.contributions, this.versions, this.optimizer]) {
      await mkdir(folder, { recursive: true, mode: 0o700 });
    }
  }

  /**
   * Takes the folder for this process; returns what gives it back. A lock whose holder no longer runs is taken over.
   *
   * @throws FedloraError data-folder/locked: names the holder
   */
  async take(): Promise<() => void> {
    for (let attempt = 0; attempt < 3; attempt += 1) {
      try {
        const file = await open(this.lock, 'wx', 0o600);
        await file.writeFile(`${process.pid}\n`);
        await file.close();
        held.add(this.lock);
        return () => {
          held.delete(this.lock);
          rmSync(this.lock, { force: true });
        };
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
        const holder = Number((await readFile(this.lock, 'utf8').catch(() => '')).trim());
        const isHeld = holder === process.pid ? held.has(this.lock) : holder > 0 && isCoordinator(holder);
        if (Number.isInteger(holder) && isHeld) {
          throw new FedloraError('data-folder/locked', `Process ${holder} already runs on this data folder.`, {
            details: { holder },
            where: this.root,
          });
        }
        rmSync(this.lock, { force: true });
      }
    }
    throw new FedloraError('data-folder/locked', 'Another process takes this data folder at the same time.', {
      where: this.root,
    });
  }
}

/** Whether the process runs and, where Linux tells, is a coordinator: after a reboot its number may belong to another program. */
function isCoordinator(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it runs, and belongs to another user.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  if (process.platform !== 'linux') return true;
  try {
    const commandLine = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    return commandLine.includes('coordinator');
  } catch {
    // Without /proc the signal's answer stands.
    return true;
  }
}
