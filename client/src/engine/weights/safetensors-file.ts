/**
 * Safetensors files on disk, read by range: memory holds one tensor at a time, however large the file.
 *
 * The format itself is in `@fedlora/shared`. A folder may hold one `model.safetensors` or several shards with an index.
 */

import {
  decodeFloatsInto,
  FedloraError,
  floatBytes,
  HEADER_LENGTH_BYTES,
  isFloatDtype,
  parseSafetensorsHeader,
  safetensorsHeaderLength,
  type SafetensorsEntry,
} from '@fedlora/shared';
import { open, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { CHUNK_BYTES, identify, missing, placed, readRange, withFile, withUnchangedFile } from './file-range.js';

/** Far over any real index (a line per tensor), so that a wrong file is not read into memory. */
const MAXIMUM_INDEX_BYTES = 100_000_000;

export const SINGLE_FILE = 'model.safetensors';
export const INDEX_FILE = 'model.safetensors.index.json';

/** One file whose header was read and checked. */
export class SafetensorsFile {
  private constructor(
    readonly path: string,
    readonly tensors: ReadonlyMap<string, SafetensorsEntry>,
    private readonly dataStart: number,
    private readonly identity: string,
  ) {}

  /** Reads and checks the header only. @throws FedloraError base-model/not-found | safetensors/* */
  static async open(path: string): Promise<SafetensorsFile> {
    return withFile(path, async (handle) => {
      try {
        const { size, identity } = await identify(handle);
        const length = safetensorsHeaderLength(
          await readRange(handle, 0, Math.min(size, HEADER_LENGTH_BYTES), path),
          size,
        );
        const header = parseSafetensorsHeader(await readRange(handle, HEADER_LENGTH_BYTES, length, path), size);
        return new SafetensorsFile(path, header.tensors, header.dataStart, identity);
      } catch (error) {
        throw placed(error, basename(path));
      }
    });
  }

  /** A tensor's bytes as they stand in the file. @throws FedloraError base-model/changed: the file is another than was opened */
  async bytes(entry: SafetensorsEntry): Promise<Uint8Array> {
    return withUnchangedFile(this.path, this.identity, (handle) =>
      readRange(handle, this.dataStart + entry.begin, entry.end - entry.begin, this.path),
    );
  }

  /** Everything before the first tensor, as it stands in the file. @throws FedloraError base-model/changed */
  async header(): Promise<Uint8Array> {
    return withUnchangedFile(this.path, this.identity, (handle) => readRange(handle, 0, this.dataStart, this.path));
  }

  /** A tensor's bytes in pieces of whole elements, for tensors of any size. @throws FedloraError base-model/changed */
  async *pieces({ begin, end }: SafetensorsEntry): AsyncGenerator<Uint8Array> {
    for (let at = begin; at < end; at += CHUNK_BYTES)
      yield await withUnchangedFile(this.path, this.identity, (handle) =>
        readRange(handle, this.dataStart + at, Math.min(CHUNK_BYTES, end - at), this.path),
      );
  }

  /**
   * A tensor of any float format as f32.
   *
   * Cost       4 bytes an element and one chunk
   * @throws FedloraError safetensors/unsupported-dtype | base-model/changed
   */
  async floats(entry: SafetensorsEntry): Promise<Float32Array> {
    const { dtype, begin, end, name } = entry;
    if (!isFloatDtype(dtype)) {
      throw new FedloraError('safetensors/unsupported-dtype', `Tensor ${name} is ${dtype}, not F32, F16 or BF16.`, {
        where: basename(this.path),
      });
    }
    const values = new Float32Array((end - begin) / floatBytes(dtype));
    await withUnchangedFile(this.path, this.identity, async (handle) => {
      for (let at = begin; at < end; at += CHUNK_BYTES) {
        const bytes = await readRange(handle, this.dataStart + at, Math.min(CHUNK_BYTES, end - at), this.path);
        decodeFloatsInto(values, (at - begin) / floatBytes(dtype), bytes, dtype);
      }
    });
    return values;
  }
}

/** The tensors of a model, wherever among its files they are. */
export interface SafetensorsFolder {
  /** Names of the files used, sorted. */
  readonly files: readonly string[];
  has(name: string): boolean;
  names(): Iterable<string>;
  /** Shape and format of a tensor. */
  entry(name: string): SafetensorsEntry | undefined;
  bytes(name: string): Promise<Uint8Array>;
  floats(name: string): Promise<Float32Array>;
}

/**
 * Opens `model.safetensors`, or else the shards that `model.safetensors.index.json` lists.
 *
 * Guarantee  only files directly in the folder are opened: a name in the index that leads elsewhere is refused. Each tensor is in
 *            the shard that the index says, and in no other.
 * @throws FedloraError base-model/not-found | base-model/invalid: index and shards disagree | safetensors/*
 */
export async function openSafetensorsFolder(directory: string): Promise<SafetensorsFolder> {
  const { files, weightMap } = await safetensorsFiles(directory);
  const located = new Map<string, { file: SafetensorsFile; entry: SafetensorsEntry }>();
  for (const name of files) {
    const file = await SafetensorsFile.open(join(directory, name));
    for (const entry of file.tensors.values()) {
      if (weightMap !== undefined && weightMap.get(entry.name) !== name) {
        throw new FedloraError(
          'base-model/invalid',
          `${name} has tensor ${entry.name}, which the index does not place there.`,
          { where: INDEX_FILE },
        );
      }
      located.set(entry.name, { file, entry });
    }
  }
  for (const [tensor, name] of weightMap ?? []) {
    if (!located.has(tensor))
      throw new FedloraError('base-model/invalid', `${name} lacks tensor ${tensor}.`, { where: INDEX_FILE });
  }
  const find = (name: string): { file: SafetensorsFile; entry: SafetensorsEntry } => {
    const found = located.get(name);
    if (found === undefined) throw new FedloraError('base-model/invalid', `Tensor ${name} is missing.`);
    return found;
  };
  return {
    files,
    has: (name) => located.has(name),
    names: () => located.keys(),
    entry: (name) => located.get(name)?.entry,
    bytes: async (name) => {
      const { file, entry } = find(name);
      return file.bytes(entry);
    },
    floats: async (name) => {
      const { file, entry } = find(name);
      return file.floats(entry);
    },
  };
}

/** Which files a model's tensors are in, without opening them. `weightMap` is absent for a single file. */
export async function safetensorsFiles(
  directory: string,
): Promise<{ readonly files: readonly string[]; readonly weightMap?: ReadonlyMap<string, string> }> {
  const single = await open(join(directory, SINGLE_FILE)).catch(missing);
  if (single !== undefined) {
    await single.close();
    return { files: [SINGLE_FILE] };
  }
  const handle = await open(join(directory, INDEX_FILE)).catch(missing);
  if (handle === undefined) {
    throw new FedloraError(
      'base-model/not-found',
      `There is no ${SINGLE_FILE} or ${INDEX_FILE}; pickled *.bin weights are not read, since they can run code.`,
      {
        where: directory,
      },
    );
  }
  let text: string;
  try {
    if ((await handle.stat()).size > MAXIMUM_INDEX_BYTES)
      throw new FedloraError('base-model/invalid', 'The index is too large.', { where: INDEX_FILE });
    text = await readFile(handle, 'utf8');
  } finally {
    await handle.close();
  }
  const weightMap = parseIndex(text);
  return { files: [...new Set(weightMap.values())].sort(), weightMap };
}

function parseIndex(text: string): ReadonlyMap<string, string> {
  let index: unknown;
  try {
    index = JSON.parse(text);
  } catch (cause) {
    throw new FedloraError('base-model/invalid', 'The index is no JSON.', { where: INDEX_FILE, cause });
  }
  const map = typeof index === 'object' && index !== null && 'weight_map' in index ? index.weight_map : undefined;
  if (typeof map !== 'object' || map === null)
    throw new FedloraError('base-model/invalid', 'The index has no weight_map.', { where: INDEX_FILE });
  const weightMap = new Map<string, string>();
  for (const [tensor, name] of Object.entries(map) as [string, unknown][]) {
    // A plain name: no separator, no drive, no leading dot, so that it cannot leave the folder.
    if (typeof name !== 'string' || !/^[A-Za-z0-9_][A-Za-z0-9._-]*\.safetensors$/.test(name)) {
      throw new FedloraError(
        'base-model/invalid',
        `The index names ${JSON.stringify(name)}, which is no file name of a shard.`,
        { where: INDEX_FILE },
      );
    }
    weightMap.set(tensor, name);
  }
  return weightMap;
}
