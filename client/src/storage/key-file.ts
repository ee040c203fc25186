/** A file with 32 secret bytes, as 64 hex digits: made where there is none. */

import { randomBytes } from 'node:crypto';
import { open, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { FedloraError, type FedloraErrorCode } from '@fedlora/shared';
import { flushFolder } from './atomic-file.js';

const KEY_BYTES = 32;

/** @throws FedloraError `malformed`: the file is there and has no key */
export async function keyOfFile(path: string, malformed: FedloraErrorCode): Promise<Uint8Array> {
  try {
    const file = await open(path, 'wx', 0o600);
    try {
      const key = randomBytes(KEY_BYTES);
      await file.writeFile(`${key.toString('hex')}\n`);
      await file.sync();
      await flushFolder(dirname(path));
      return key;
    } finally {
      await file.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const text = (await readFile(path, 'utf8')).trim();
  if (!/^[0-9a-f]{64}$/.test(text)) throw new FedloraError(malformed, undefined, { where: path });
  return Buffer.from(text, 'hex');
}
