/** Blobs as files of a folder. */

import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, readFile, rm, stat } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { expectBlobName, NoSuchBlob, type BlobEntry, type BlobStore } from './blob-store.js';
import { flushFolder, isMissing, writeAtomically } from './durable-file.js';

const STREAM_BYTES = 1 << 20;

export class FolderBlobs implements BlobStore {
  /** @param folder is there already */
  constructor(private readonly folder: string) {}

  async put(name: string, content: Uint8Array): Promise<void> {
    const path = this.path(name);
    const parent = dirname(path);
    // Folders that are new: each is an entry of the one above it.
    const first = await mkdir(parent, { recursive: true, mode: 0o700 });
    await writeAtomically(path, content, 0o600);
    if (first === undefined) return;
    for (let made = parent; made !== dirname(first); made = dirname(made)) await flushFolder(dirname(made));
  }

  async get(name: string): Promise<Uint8Array> {
    return orNoSuchBlob(name, readFile(this.path(name)));
  }

  async part(name: string, begin: number, end: number): Promise<Buffer> {
    const file = await orNoSuchBlob(name, open(this.path(name), 'r'));
    try {
      // Not of the pool that small buffers share, which one of them would hold.
      const buffer = Buffer.allocUnsafeSlow(end - begin);
      let length = 0;
      while (length < buffer.length) {
        const { bytesRead } = await file.read(buffer, length, buffer.length - length, begin + length);
        if (bytesRead === 0) break;
        length += bytesRead;
      }
      return buffer.subarray(0, length);
    } finally {
      await file.close();
    }
  }

  async *stream(name: string): AsyncGenerator<Uint8Array> {
    try {
      yield* createReadStream(this.path(name), { highWaterMark: STREAM_BYTES }) as AsyncIterable<Uint8Array>;
    } catch (error) {
      throw isMissing(error) ? new NoSuchBlob(name) : error;
    }
  }

  async size(name: string): Promise<number | undefined> {
    try {
      return (await stat(this.path(name))).size;
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  async delete(name: string): Promise<void> {
    await rm(this.path(name), { force: true });
  }

  async *list(prefix = ''): AsyncGenerator<BlobEntry> {
    for (const path of (await this.files()).filter((one) => !isTemporary(one)).sort()) {
      if (!path.startsWith(prefix)) continue;
      const { size, mtimeMs } = await stat(join(this.folder, path));
      yield { name: path, bytes: size, storedAt: mtimeMs };
    }
  }

  /** What was being written when the process ended; the folder is one process' own. */
  async tidy(): Promise<void> {
    for (const path of (await this.files()).filter(isTemporary)) await rm(join(this.folder, path), { force: true });
    // Versions were once written to folders of such names.
    for (const name of await readdir(this.folder))
      if (name.startsWith('.')) await rm(join(this.folder, name), { recursive: true, force: true });
  }

  /** Paths of all files below the folder, with slashes. */
  private async files(): Promise<string[]> {
    const entries = await readdir(this.folder, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => relative(this.folder, join(entry.parentPath, entry.name)).replaceAll(sep, '/'));
  }

  private path(name: string): string {
    expectBlobName(name);
    return join(this.folder, name);
  }
}

/** Files that are written under another name first have one that no blob can have. */
function isTemporary(path: string): boolean {
  return path.split('/').some((part) => part.startsWith('.'));
}

async function orNoSuchBlob<Value>(name: string, reading: Promise<Value>): Promise<Value> {
  try {
    return await reading;
  } catch (error) {
    throw isMissing(error) ? new NoSuchBlob(name) : error;
  }
}
