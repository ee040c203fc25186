/** Files that are written over nothing. */

import { open } from 'node:fs/promises';
import { FedloraError } from '@fedlora/shared';

/**
 * Makes an empty file, readable by its owner alone, under a name that nothing had. Looking first and writing later would write over a file
 * that came between.
 *
 * @throws FedloraError data/output-exists
 */
export async function takeName(path: string): Promise<void> {
  const file = await open(path, 'wx', 0o600).catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'EEXIST' ? new FedloraError('data/output-exists', undefined, { where: path }) : error;
  });
  await file.close();
}
