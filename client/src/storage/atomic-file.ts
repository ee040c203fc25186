/** Writes that are either there in full after a power cut or not at all. */

import { open, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { writeError } from './disk-full.js';

export interface WriteOptions {
  readonly mode?: number;
  /** `false` skips the disk flush: for what may be lost, such as the status file, but must never be seen half written. */
  readonly durable?: boolean;
}

/**
 * Replaces `path` by `content`: a temporary file beside it, flushed, renamed over it, folder flushed. Content may come piece by piece;
 * where its making throws, nothing is replaced.
 */
export async function writeAtomically(
  path: string,
  content: string | Uint8Array | AsyncIterable<string>,
  options: WriteOptions = {},
): Promise<void> {
  const temporary = join(dirname(path), `.${randomUUID()}.tmp`);
  try {
    const file = await open(temporary, 'wx', options.mode ?? 0o644);
    try {
      await writeFile(file, content);
      if (options.durable !== false) await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw writeError(error, path);
  }
  if (options.durable !== false) await flushFolder(dirname(path));
}

/** Makes `path` a link to `target`, in one step: whoever opens it has what it led to before, or what it leads to now. */
export async function replaceLink(path: string, target: string): Promise<void> {
  const temporary = join(dirname(path), `.${randomUUID()}.tmp`);
  await symlink(target, temporary);
  await rename(temporary, path);
  await flushFolder(dirname(path));
}

/** Makes the names in a folder durable. Windows cannot open folders and needs no flush of them. */
export async function flushFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
