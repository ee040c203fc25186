/** An adapter's folder as the one file that llama.cpp loads. */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  ADAPTER_CONFIG_FILE,
  ADAPTER_WEIGHTS_FILE,
  FedloraError,
  parseAdapterConfig,
  type WeightDtype,
} from '@fedlora/shared';
import { encodeGgufAdapter } from '../engine/weights/gguf/encode-adapter.js';
import { computedRopeTypes } from '../engine/onnx/rope.js';
import { readModelConfig } from '../engine/weights/hugging-face.js';
import { writeAtomically } from './atomic-file.js';

export interface GgufExport {
  /** A PEFT folder. Whether its files are anybody's is for the caller to check. */
  readonly folder: string;
  /** The version that it is; `undefined` for none. */
  readonly version?: string | undefined;
  /** Of the base model: a folder with its config.json, or the GGUF file that is served. */
  readonly base: string;
  readonly dtype: WeightDtype;
  /** Replaced in one step if it is there. */
  readonly target: string;
}

/** Returns how many bytes were written. @throws FedloraError adapter/* | safetensors/* | base-model/* | gguf/* */
export async function writeGgufAdapter({ folder, version, base, dtype, target }: GgufExport): Promise<number> {
  const config = await readModelConfig(base, { ropeTypes: computedRopeTypes });
  const adapter = parseAdapterConfig((await read(folder, ADAPTER_CONFIG_FILE)).toString('utf8'));
  const bytes = encodeGgufAdapter(adapter, await read(folder, ADAPTER_WEIGHTS_FILE), config, dtype, version);
  await writeAtomically(target, bytes);
  return bytes.length;
}

async function read(folder: string, name: string): Promise<Buffer> {
  return readFile(join(folder, name)).catch((cause: unknown) => {
    throw new FedloraError('adapter/invalid-config', 'The file cannot be read.', { where: join(folder, name), cause });
  });
}
