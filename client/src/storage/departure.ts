/** That this organisation leaves the federation, and whether the coordinator knows: a file, so that no restart takes it back. */

import { readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { FedloraError } from '@fedlora/shared';
import { flushFolder, writeAtomically } from './atomic-file.js';

export interface Departure {
  /** Unix milliseconds at which the owner said so. */
  readonly at: number;
  /** Whether the coordinator has been told. */
  readonly isTold: boolean;
}

export async function writeDeparture(path: string, departure: Departure): Promise<void> {
  await writeAtomically(path, `${JSON.stringify(departure)}\n`, { mode: 0o600 });
}

/** `undefined`: the organisation has not left. A file that cannot be read means that it has not been told. */
export async function readDeparture(path: string): Promise<Departure | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new FedloraError('client/left', 'Whether this organisation has left cannot be read.', { where: path, cause });
  }
  try {
    const { at, isTold } = JSON.parse(text) as Partial<Departure>;
    return { at: typeof at === 'number' ? at : 0, isTold: isTold === true };
  } catch {
    return { at: 0, isTold: false };
  }
}

/** It is in a federation again. */
export async function forgetDeparture(path: string): Promise<void> {
  await rm(path, { force: true });
  await flushFolder(dirname(path));
}
