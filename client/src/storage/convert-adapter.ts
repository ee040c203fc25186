/** A version's folder again with its weights in another number format: a PEFT folder that nobody signed. */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  ADAPTER_CONFIG_FILE,
  ADAPTER_WEIGHTS_FILE,
  convertWeights,
  type VersionRecord,
  type WeightDtype,
} from '@fedlora/shared';
import { writeNewFolder } from './new-folder.js';

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
  const note = `\nThis is version \`${id}\` with its weights converted to ${dtype}; the signatures of that version do not hold for it.\n`;
  const contents = new Map<string, Uint8Array | string>([
    [ADAPTER_CONFIG_FILE, await readFile(join(folder, ADAPTER_CONFIG_FILE))],
    [ADAPTER_WEIGHTS_FILE, bytes],
    ['README.md', `${card}${note}`],
  ]);
  await writeNewFolder(target, contents);
  return { before: weights.length, after: bytes.length, largestChange };
}
