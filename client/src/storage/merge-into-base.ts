/** A base model's folder with an adapter in its weights: a plain model, for servers that know no LoRA. */

import { copyFile, open, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  ADAPTER_CONFIG_FILE,
  ADAPTER_WEIGHTS_FILE,
  FedloraError,
  floatBytes,
  isFloatDtype,
  loraScaling,
  parseAdapterConfig,
  readLora,
  type FloatDtype,
  type SafetensorsEntry,
} from '@fedlora/shared';
import { addUpdate, type LayerUpdate } from '../engine/weights/add-update.js';
import { INDEX_FILE, SafetensorsFile, safetensorsFiles, SINGLE_FILE } from '../engine/weights/safetensors-file.js';
import { makeNewFolder } from './new-folder.js';

export interface MergeIntoBase {
  /** A PEFT folder. Whether its files are anybody's, and made for this base model, is for the caller to check. */
  readonly folder: string;
  /** A Hugging Face folder with float weights. */
  readonly base: string;
  /** Text of the README.md of what is written. */
  readonly card: string;
  readonly target: string;
  /** Called with bytes of weights written, and of all. */
  readonly onProgress?: (done: number, all: number) => void;
}

/** In front of the names that modules have in the base model. */
const PEFT_PREFIX = /^base_model\.model\./;
/** What a model's folder has beside its weights: configuration, tokenizer, chat template, licence. */
const BESIDE_WEIGHTS = /\.(?:json|txt|model|jinja|tiktoken)$|^(?:LICEN[CS]E|NOTICE|COPYING)/i;

/**
 * Writes the folder whole or not at all: the same files in the same shards, each tensor in its format.
 *
 * Cost       memory for the adapter and a few pieces of a tensor, whatever the size of the model
 * Returns    bytes of weights
 * @throws FedloraError adapter/not-mergeable: the model lacks a layer, or is quantized | adapter/* | safetensors/* | base-model/* |
 *         config/invalid: the target is there
 */
export async function mergeIntoBase({ folder, base, card, target, onProgress }: MergeIntoBase): Promise<number> {
  const updates = await updatesOf(folder);
  const { files: names } = await safetensorsFiles(base);
  const files = await Promise.all(names.map((name) => SafetensorsFile.open(join(base, name))));
  for (const update of updates.values()) checkLayer(update, files);
  const all = files
    .flatMap(({ tensors }) => [...tensors.values()])
    .reduce((sum, { begin, end }) => sum + end - begin, 0);
  let done = 0;

  await makeNewFolder(target, async (temporary) => {
    for (const [i, file] of files.entries())
      await writeShard(file, updates, join(temporary, names[i]), (bytes) => onProgress?.((done += bytes), all));
    for (const name of await namesBeside(base, names)) await copyFile(join(base, name), join(temporary, name));
    await writeFile(join(temporary, 'README.md'), card);
  });
  return all;
}

async function updatesOf(folder: string): Promise<Map<string, LayerUpdate>> {
  const config = parseAdapterConfig(await readFile(join(folder, ADAPTER_CONFIG_FILE), 'utf8'));
  const { modules, tensors } = readLora(config, await readFile(join(folder, ADAPTER_WEIGHTS_FILE)));
  const scaling = loraScaling(config);
  return new Map(
    modules.map((module, i) => {
      const name = `${module.name.replace(PEFT_PREFIX, '')}.weight`;
      return [name, { ...module, ...tensors.modules[i], name, r: config.r, scaling }];
    }),
  );
}

function checkLayer({ name, inFeatures, outFeatures }: LayerUpdate, files: readonly SafetensorsFile[]): void {
  const entry = files.flatMap(({ tensors }) => tensors.get(name) ?? []).at(0);
  if (entry === undefined)
    throw new FedloraError('adapter/not-mergeable', `The base model has no ${name}, which the adapter changes.`);
  floatFormat(entry);
  if (entry.shape.length !== 2 || entry.shape[0] !== outFeatures || entry.shape[1] !== inFeatures)
    throw new FedloraError(
      'adapter/wrong-shape',
      `${name} is [${entry.shape.join(', ')}] in the base model; the adapter changes [${outFeatures}, ${inFeatures}].`,
    );
}

/** @throws FedloraError adapter/not-mergeable: what is quantized would be quantized again, which is another model */
function floatFormat({ name, dtype }: SafetensorsEntry): Exclude<FloatDtype, 'F64'> {
  if (!isFloatDtype(dtype) || dtype === 'F64')
    throw new FedloraError('adapter/not-mergeable', `${name} is ${dtype}: give a base model in F32, F16 or BF16.`);
  return dtype;
}

async function writeShard(
  file: SafetensorsFile,
  updates: ReadonlyMap<string, LayerUpdate>,
  path: string,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const handle = await open(path, 'wx');
  try {
    // Names, shapes and formats stay, so the header does.
    await handle.writeFile(await file.header());
    for (const entry of file.tensors.values()) {
      const update = updates.get(entry.name);
      let first = 0;
      for await (const piece of file.pieces(entry)) {
        if (update === undefined) await handle.writeFile(piece);
        else {
          const dtype = floatFormat(entry);
          await handle.writeFile(addUpdate(piece, dtype, first, update));
          first += piece.length / floatBytes(dtype);
        }
        onBytes(piece.length);
      }
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function namesBeside(base: string, weights: readonly string[]): Promise<string[]> {
  const entries = await readdir(base, { withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory() && !entry.name.startsWith('.'))
    .map(({ name }) => name)
    .filter((name) => BESIDE_WEIGHTS.test(name) && (name !== INDEX_FILE || !weights.includes(SINGLE_FILE)));
}
