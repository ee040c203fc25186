/** A GGUF file on disk, read by range: memory holds the header's values and one tensor at a time. */

import { FedloraError } from '@fedlora/shared';
import { basename } from 'node:path';
import { CHUNK_BYTES, identify, placed, readRange, withFile, withUnchangedFile } from '../file-range.js';
import { MAXIMUM_HEADER_BYTES, parseGgufHeader, type GgufHeader, type GgufTensor } from './format.js';

/** Enough for the header of a model with a small vocabulary. */
const FIRST_READ_BYTES = 1 << 20;

/** Whether a path is taken for a GGUF file: its name says so. */
export function isGguf(path: string): boolean {
  return /\.gguf$/i.test(path);
}

/** A file whose header was read and checked. */
export class GgufFile {
  private constructor(
    readonly path: string,
    readonly header: GgufHeader,
    private readonly identity: string,
  ) {}

  /** Reads and checks the header only. @throws FedloraError base-model/not-found | gguf/malformed | gguf/unsupported */
  static async open(path: string): Promise<GgufFile> {
    return withFile(path, async (handle) => {
      try {
        const { size, identity } = await identify(handle);
        const limit = Math.min(size, MAXIMUM_HEADER_BYTES);
        // Twice as much each time, so that a long header costs at most twice its reading.
        for (let length = Math.min(limit, FIRST_READ_BYTES); ;) {
          const parsed = parseGgufHeader(await readRange(handle, 0, length, path), size);
          if (!('needsBytes' in parsed)) return new GgufFile(path, parsed, identity);
          length = Math.min(limit, Math.max(parsed.needsBytes, 2 * length));
        }
      } catch (error) {
        throw placed(error, basename(path));
      }
    });
  }

  /**
   * A tensor as f32, in the order of the file.
   *
   * Cost       4 bytes an element and one chunk
   * @throws FedloraError base-model/changed: the file is another than was opened
   */
  async floats(tensor: GgufTensor): Promise<Float32Array> {
    const { type, begin, end } = tensor;
    const chunk = Math.floor(CHUNK_BYTES / type.blockBytes) * type.blockBytes;
    const values = new Float32Array(((end - begin) / type.blockBytes) * type.blockValues);
    await withUnchangedFile(this.path, this.identity, async (handle) => {
      for (let at = begin; at < end; at += chunk) {
        const bytes = await readRange(handle, at, Math.min(chunk, end - at), this.path);
        type.decodeInto(values, ((at - begin) / type.blockBytes) * type.blockValues, bytes);
      }
    });
    return values;
  }

  /** A tensor by name. @throws FedloraError base-model/invalid: there is none */
  tensor(name: string): GgufTensor {
    const tensor = this.header.tensors.get(name);
    if (tensor === undefined)
      throw new FedloraError('base-model/invalid', `Tensor ${name} is missing.`, { where: basename(this.path) });
    return tensor;
  }
}
