/** A version's folder again with its weights in another number format: a PEFT folder that nobody signed. */

import { mkdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { randomUUID } from 'node:crypto';
import {
  ADAPTER_CONFIG_FILE,
  ADAPTER_WEIGHTS_FILE,
  convertWeights,
  FedloraError,
  type VersionRecord,
  type WeightDtype,
} from '@fedlora/shared';
import { flushFolder, writeAtomically } from './atomic-file.js';

export interface Converted {
  /** Bytes of the weights. */
  readonly before: number;
  readonly after: number;
  /** As `convertWeights` tells it. */
  readonly largestChange: number;
}

/** Writes it whole or not at all. @throws FedloraError config/invalid: the target is there | adapter/not-finite | safetensors/* */
export async function writeConverted(
  folder: string,
  target: string,
  { id }: VersionRecord,
  dtype: WeightDtype,
): Promise<Converted> {
  const weights = await readFile(join(folder, ADAPTER_WEIGHTS_FILE));
  const { bytes, largestChange } = convertWeights(weights, dtype, { fedlora_version: id, fedlora_dtype: dtype });
  const card = await readFile(join(folder, 'README.md'), 'utf8');
  const temporary = join(dirname(target), `.${randomUUID()}.tmp`);
  await mkdir(temporary, { recursive: true });
  try {
    await writeAtomically(join(temporary, ADAPTER_CONFIG_FILE), await readFile(join(folder, ADAPTER_CONFIG_FILE)));
    await writeAtomically(join(temporary, ADAPTER_WEIGHTS_FILE), bytes);
    const note = `\nThis is version \`${id}\` with its weights converted to ${dtype}; the signatures of that version do not hold for it.\n`;
    await writeAtomically(join(temporary, 'README.md'), `${card}${note}`);
    await rename(temporary, target);
  } catch (cause) {
    await rm(temporary, { recursive: true, force: true });
    const isThere = ['EEXIST', 'ENOTEMPTY', 'ENOTDIR'].includes((cause as NodeJS.ErrnoException).code ?? '');
    if (isThere) throw new FedloraError('config/invalid', 'It is there already.', { where: target, cause });
    throw cause;
  }
  await flushFolder(dirname(target));
  return { before: weights.length, after: bytes.length, largestChange };
}
