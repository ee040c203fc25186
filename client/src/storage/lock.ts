/** One daemon per home folder: a file with the process id of its holder. */

import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { FedloraError } from '@fedlora/shared';

export interface Lock {
  release(): Promise<void>;
}

/**
 * Takes the lock or says who holds it. A lock whose holder no longer runs, after `kill -9` or a power cut, is taken over.
 *
 * Guarantee  of processes that take it at once, one does: the file appears with its holder in it, and what is removed is looked at
 *            again when nobody else can see it any more.
 * @throws FedloraError home/locked
 */
export async function takeLock(path: string): Promise<Lock> {
  const mine = `${path}.${randomUUID()}`;
  await writeFile(mine, `${process.pid}\n`, { mode: 0o600, flag: 'wx' });
  try {
    for (let attempt = 0; attempt < 3; attempt += 1) {
      if (await claim(mine, path)) return { release: () => rm(path, { force: true }) };
      const content = await readFile(path, 'utf8').catch(() => '');
      const holder = holderOf(content);
      if (holder !== undefined && holder !== process.pid && isFedlora(holder)) {
        throw new FedloraError('home/locked', `Process ${holder} already runs with this home folder.`, {
          details: { holder },
        });
      }
      await removeStale(path, content);
    }
  } finally {
    await rm(mine, { force: true });
  }
  throw new FedloraError('home/locked', 'The lock file could not be taken: another process takes it too.');
}

/** Gives a file a second name, unless that one is taken. */
async function claim(file: string, name: string): Promise<boolean> {
  try {
    await link(file, name);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** Removes the lock that was read, and no other: one that came meanwhile is put back. */
async function removeStale(path: string, content: string): Promise<void> {
  const aside = `${path}.${randomUUID()}`;
  try {
    await rename(path, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return; // Another took it away.
    throw error;
  }
  if ((await readFile(aside, 'utf8')) !== content) await claim(aside, path);
  await rm(aside, { force: true });
}

function holderOf(content: string): number | undefined {
  const holder = Number(content.trim());
  return Number.isInteger(holder) && holder > 0 ? holder : undefined;
}

/** The holder of the lock, when it runs. */
export async function lockHolder(path: string): Promise<number | undefined> {
  const holder = holderOf(await readFile(path, 'utf8').catch(() => ''));
  return holder !== undefined && isFedlora(holder) ? holder : undefined;
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
