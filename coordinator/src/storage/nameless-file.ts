/**
 * Bytes that a process keeps for a while without holding them in its memory. They lie in a file that has no name any more, so nobody else
 * can open it, and the system frees it when it is closed or the process ends, however that comes.
 *
 * It is for what is stored elsewhere as well, or need not outlive the process. Reading and writing wait for the system, whose memory
 * holds what was written lately: some microseconds for each part.
 */

import { randomBytes } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { StoredBytes } from '@fedlora/protocol';

export class NamelessFile {
  private descriptor: number | undefined;
  private length = 0;

  /** `folder`: on the disk that is to hold it. Made when something is first kept, as the file is. */
  constructor(private readonly folder: string) {}

  /**
   * Keeps bytes until the file is closed.
   *
   * @throws Error of the system, as on a full disk; nothing is kept then
   */
  keep(bytes: Uint8Array): StoredBytes {
    this.descriptor ??= openNameless(this.folder);
    const at = this.length;
    for (let written = 0; written < bytes.length;) {
      written += writeSync(this.descriptor, bytes, written, bytes.length - written, at + written);
    }
    this.length += bytes.length;
    return new Part(this, at, bytes.length);
  }

  /** @throws Error what was kept is not there any more: the file is closed */
  read(at: number, length: number): Uint8Array {
    if (this.descriptor === undefined) throw new Error('The file is closed, and what was kept in it is gone.');
    const bytes = new Uint8Array(length);
    for (let read = 0; read < length;) {
      const more = readSync(this.descriptor, bytes, read, length - read, at + read);
      if (more === 0) throw new Error('The file is shorter than what was written to it.');
      read += more;
    }
    return bytes;
  }

  /** Frees the disk. */
  close(): void {
    if (this.descriptor !== undefined) closeSync(this.descriptor);
    this.descriptor = undefined;
  }
}

class Part implements StoredBytes {
  constructor(
    private readonly file: NamelessFile,
    private readonly at: number,
    readonly length: number,
  ) {}

  subarray(begin: number, end: number): Uint8Array {
    return this.file.read(this.at + begin, Math.max(0, Math.min(end, this.length) - begin));
  }
}

function openNameless(folder: string): number {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, `.nameless-${randomBytes(8).toString('hex')}`);
  const descriptor = openSync(path, 'wx+', 0o600);
  rmSync(path);
  return descriptor;
}
