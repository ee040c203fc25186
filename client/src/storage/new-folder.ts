/** A folder of small files that is there whole or not at all. */

import { randomUUID } from 'node:crypto';
import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { FedloraError } from '@fedlora/shared';
import { flushFolder, writeAtomically } from './atomic-file.js';

/** Makes it, and the folders above it. @throws FedloraError config/invalid: something is there already */
export async function writeNewFolder(
  target: string,
  contents: ReadonlyMap<string, Uint8Array | string>,
): Promise<void> {
  await makeNewFolder(target, async (folder) => {
    for (const [name, content] of contents) await writeAtomically(join(folder, name), content);
  });
}

/** As `writeNewFolder`, for whoever writes the files itself: `fill` gets the folder that gets its name when all is well. */
export async function makeNewFolder<Result>(
  target: string,
  fill: (folder: string) => Promise<Result>,
): Promise<Result> {
  const temporary = join(dirname(target), `.${randomUUID()}.tmp`);
  await mkdir(temporary, { recursive: true });
  let result: Result;
  try {
    result = await fill(temporary);
    await flushFolder(temporary);
    await rename(temporary, target);
  } catch (cause) {
    await rm(temporary, { recursive: true, force: true });
    const isThere = ['EEXIST', 'ENOTEMPTY', 'ENOTDIR'].includes((cause as NodeJS.ErrnoException).code ?? '');
    if (isThere) throw new FedloraError('config/invalid', 'It is there already.', { where: target, cause });
    throw cause;
  }
  await flushFolder(dirname(target));
  return result;
}
