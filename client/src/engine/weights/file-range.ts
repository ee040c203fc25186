/**
 * Reading ranges of a file that must not change meanwhile.
 *
 * Tensors are read long after the header, and a file that was replaced in between would give numbers of another model.
 */

import { FedloraError } from '@fedlora/shared';
import { open, type FileHandle } from 'node:fs/promises';
import { basename } from 'node:path';

/** Bytes read at once, so that decoding needs no second copy of a large tensor. A multiple of every float's size. */
export const CHUNK_BYTES = 16 << 20;

/** What tells one state of a file from another. */
export interface FileState {
  readonly size: number;
  readonly identity: string;
}

/** Opens, uses and closes. @throws FedloraError base-model/not-found */
export async function withFile<T>(path: string, use: (handle: FileHandle) => Promise<T>): Promise<T> {
  const handle = await open(path).catch(missing);
  if (handle === undefined) throw new FedloraError('base-model/not-found', 'The file does not exist.', { where: path });
  try {
    return await use(handle);
  } finally {
    await handle.close();
  }
}

/** As `withFile`, for a file that was seen before. @throws FedloraError base-model/changed: it is another now */
export async function withUnchangedFile<T>(
  path: string,
  identity: string,
  use: (handle: FileHandle) => Promise<T>,
): Promise<T> {
  return withFile(path, async (handle) => {
    if ((await identify(handle)).identity !== identity)
      throw new FedloraError('base-model/changed', undefined, { where: basename(path) });
    return use(handle);
  });
}

/** Exactly these bytes: a read may return fewer than asked for. The caller has checked `length` against the file's size. */
export async function readRange(
  handle: FileHandle,
  position: number,
  length: number,
  path: string,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await handle.read(bytes, done, Math.min(CHUNK_BYTES, length - done), position + done);
    if (bytesRead === 0)
      throw new FedloraError('base-model/changed', 'The file became shorter while it was read.', {
        where: basename(path),
      });
    done += bytesRead;
  }
  return bytes;
}

/** @throws FedloraError base-model/not-found: it is a folder or a device */
export async function identify(handle: FileHandle): Promise<FileState> {
  const found = await handle.stat();
  if (!found.isFile()) throw new FedloraError('base-model/not-found', 'It is not a file.');
  const { size, mtimeMs, ino } = found;
  return { size, identity: `${size} ${mtimeMs} ${ino}` };
}

/** Absence is an answer; any other trouble is thrown. */
export function missing(error: unknown): undefined {
  if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR'))
    return undefined;
  throw error;
}

/** The same error with the file it is about, unless it names one already. */
export function placed(error: unknown, where: string): unknown {
  if (!(error instanceof FedloraError) || error.where !== undefined) return error;
  return new FedloraError(error.code, error.summary, { where, details: error.details, cause: error });
}
