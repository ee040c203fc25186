/** The one name of a base model: a hash of what training depends on. */

import { FedloraError } from '@fedlora/shared';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isGguf } from './gguf/gguf-file.js';
import { safetensorsFiles } from './safetensors-file.js';

const DOMAIN = 'fedlora/base-model/v1';

/** SHA-256 by (path, size, modification time), for the life of the process: hashing gigabytes takes seconds. */
const known = new Map<string, string>();

/**
 * Hex SHA-256 that identifies the base model in a folder, or in a .gguf file with the tokenizer.json beside it.
 *
 * Source     SHA-256 over the lines `fedlora/base-model/v1`, then `<sha256 hex>  <file name>` for config.json, tokenizer.json and
 *            every safetensors file in use, sorted by name, each line ended by \n. A GGUF file stands for config and weights, and
 *            is called `model.gguf` whatever its name, since people rename such files.
 * Guarantee  two folders with the same digest give the same tokens and weights. Other files (README, tokenizer_config.json,
 *            generation_config.json) do not enter, and neither does the index: how tensors are spread over shards does.
 * @throws FedloraError base-model/not-found
 */
export async function baseModelDigest(path: string): Promise<string> {
  const total = createHash('sha256').update(`${DOMAIN}\n`);
  if (isGguf(path)) {
    total.update(`${await fileDigest(path)}  model.gguf\n`);
    total.update(`${await fileDigest(join(dirname(path), 'tokenizer.json'))}  tokenizer.json\n`);
    return total.digest('hex');
  }
  const { files } = await safetensorsFiles(path);
  const names = ['config.json', 'tokenizer.json', ...files].sort();
  for (const name of names) total.update(`${await fileDigest(join(path, name))}  ${name}\n`);
  return total.digest('hex');
}

async function fileDigest(path: string): Promise<string> {
  try {
    const { size, mtimeMs, ino } = await stat(path);
    const key = JSON.stringify([path, size, mtimeMs, ino]);
    const cached = known.get(key);
    if (cached !== undefined) return cached;
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
    const digest = hash.digest('hex');
    known.set(key, digest);
    return digest;
  } catch (cause) {
    throw new FedloraError('base-model/not-found', 'The file cannot be read.', { where: path, cause });
  }
}
