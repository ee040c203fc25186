/** Blobs that come a piece at a time, over several connections: those of contributions. */

import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, rm, stat, type FileHandle } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { dirname, join } from 'node:path';
import { AtMost } from './at-most.js';
import { deleteAll, type BlobStore } from './blob-store.js';
import { flushFolder, isMissing, writeAtomically } from './durable-file.js';

/** Bytes read at a time. Whole words. */
const READ_BYTES = 1 << 20;
/** Bytes of one request for a part of a piece: a range of a worker's size needs one or two. */
const PART_BYTES = 4 * READ_BYTES;

/** Bytes of a blob: from the one numbered `from` to before `to`, or to the end. */
export interface ByteRange {
  readonly from: number;
  readonly to?: number;
}

/** Words of a blob: from the one numbered `from` to before `to`. */
export interface WordRange {
  readonly from: number;
  readonly to: number;
}

/** Names are of two parts, `group/name`. One piece of a blob is appended at a time. */
export interface GrowingBlobs {
  /** Bytes that are stored. */
  size(name: string): Promise<number>;
  /**
   * Appends a piece to the `stored` bytes; returns how many there are then. Where the piece breaks off, what came of it stays.
   *
   * Guarantee  a blob whose size reaches `wholeBytes` is durable when this returns
   */
  append(
    name: string,
    piece: AsyncIterable<Uint8Array>,
    at: { readonly stored: number; readonly wholeBytes: number },
  ): Promise<number>;
  /**
   * Stores a blob that comes whole; one of the same name is replaced. Its group must have others.
   *
   * Guarantee  it is durable when this returns
   */
  put(name: string, content: Uint8Array): Promise<void>;
  /** The bytes of a blob, or of a range of it, a piece at a time; all but the last have `READ_BYTES`, which is whole words. */
  read(name: string, range?: ByteRange): AsyncIterable<Uint8Array>;
  remove(name: string): Promise<void>;
  removeGroup(group: string): Promise<void>;
  groups(): Promise<readonly string[]>;
}

/** Files of a folder, each of which grows. */
export class GrowingFiles implements GrowingBlobs {
  /** @param folder is there already */
  constructor(private readonly folder: string) {}

  async size(name: string): Promise<number> {
    try {
      return (await stat(join(this.folder, name))).size;
    } catch (error) {
      if (isMissing(error)) return 0;
      throw error;
    }
  }

  async append(
    name: string,
    piece: AsyncIterable<Uint8Array>,
    { stored, wholeBytes }: { readonly stored: number; readonly wholeBytes: number },
  ): Promise<number> {
    const path = join(this.folder, name);
    const made = await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    if (made !== undefined) await flushFolder(this.folder);
    const file = await open(path, 'a', 0o600);
    try {
      let bytes = stored;
      for await (const chunk of piece) {
        await file.writeFile(chunk);
        bytes += chunk.length;
      }
      if (bytes === wholeBytes) {
        await file.sync();
        await flushFolder(dirname(path));
      }
      return bytes;
    } finally {
      await file.close();
    }
  }

  /** Makes no folder: that of a group which was removed meanwhile stays away. */
  put(name: string, content: Uint8Array): Promise<void> {
    return writeAtomically(join(this.folder, name), content, 0o600);
  }

  read(name: string, { from, to = Infinity }: ByteRange = { from: 0 }): AsyncIterable<Uint8Array> {
    return createReadStream(join(this.folder, name), { highWaterMark: READ_BYTES, start: from, end: to - 1 });
  }

  async remove(name: string): Promise<void> {
    await rm(join(this.folder, name), { force: true });
  }

  async removeGroup(group: string): Promise<void> {
    await rm(join(this.folder, group), { recursive: true, force: true });
    await flushFolder(this.folder);
  }

  groups(): Promise<readonly string[]> {
    return readdir(this.folder);
  }
}

/** Pieces that are being stored at once: bounds memory, as each is held while it is. */
const STORED_AT_ONCE = 8;

/**
 * Each piece a blob of its own, named after the byte at which it begins: no bucket lets an object grow. A piece is collected in a file
 * on this machine first, so that a slow line costs neither memory nor a connection to the bucket, and one that breaks loses nothing.
 */
export class GrowingObjects implements GrowingBlobs {
  private readonly storing = new AtMost(STORED_AT_ONCE);

  /** @param folder for pieces that are coming; is there already, and may be that of other processes too */
  constructor(
    private readonly blobs: BlobStore,
    private readonly folder: string,
  ) {}

  async size(name: string): Promise<number> {
    let bytes = 0;
    for (const piece of await this.pieces(name)) bytes += piece.bytes;
    return bytes;
  }

  async append(
    name: string,
    piece: AsyncIterable<Uint8Array>,
    { stored }: { readonly stored: number; readonly wholeBytes: number },
  ): Promise<number> {
    const path = join(this.folder, randomUUID());
    const file = await open(path, 'wx+', 0o600);
    try {
      // Without a name it is gone when this process is, however that ends, and no other process that starts on the folder sweeps it away.
      await rm(path);
      let bytes = 0;
      try {
        for await (const chunk of piece) {
          await file.writeFile(chunk);
          bytes += chunk.length;
        }
      } finally {
        // Of a piece that broke off too: the next one begins where it ended.
        if (bytes > 0)
          await this.storing.take(async () => this.blobs.put(pieceName(name, stored), await firstBytes(file, bytes)));
      }
      return stored + bytes;
    } finally {
      await file.close();
    }
  }

  put(name: string, content: Uint8Array): Promise<void> {
    return this.blobs.put(pieceName(name, 0), content);
  }

  read(name: string, range: ByteRange = { from: 0 }): AsyncIterable<Uint8Array> {
    // Pieces that broke off end anywhere.
    return evenly(this.chunks(name, range));
  }

  private async *chunks(name: string, { from, to = Infinity }: ByteRange): AsyncGenerator<Uint8Array> {
    let offset = 0; // Of the piece.
    for (const piece of await this.pieces(name)) {
      const begin = Math.max(from - offset, 0);
      const end = Math.min(to - offset, piece.bytes);
      if (begin === 0 && end === piece.bytes) yield* this.blobs.stream(piece.name);
      else
        for (let at = begin; at < end; at += PART_BYTES)
          yield await this.blobs.part(piece.name, at, Math.min(at + PART_BYTES, end));
      offset += piece.bytes;
    }
  }

  async remove(name: string): Promise<void> {
    await deleteAll(this.blobs, `${name}/`);
  }

  async removeGroup(group: string): Promise<void> {
    await deleteAll(this.blobs, `${group}/`);
  }

  async groups(): Promise<readonly string[]> {
    const groups = new Set<string>();
    for await (const { name } of this.blobs.list()) groups.add(name.split('/', 1)[0]);
    return [...groups];
  }

  /** Pieces that follow each other without a gap, in order. */
  private async pieces(name: string): Promise<readonly { readonly name: string; readonly bytes: number }[]> {
    const pieces = [];
    let end = 0;
    for await (const piece of this.blobs.list(`${name}/`)) {
      if (piece.name !== pieceName(name, end)) continue;
      pieces.push(piece);
      end += piece.bytes;
    }
    return pieces;
  }
}

async function firstBytes(file: FileHandle, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafeSlow(length);
  for (let read = 0; read < length;) {
    const { bytesRead } = await file.read(bytes, read, length - read, read);
    if (bytesRead === 0) throw new Error('A file is shorter than what was written to it.');
    read += bytesRead;
  }
  return bytes;
}

/** Names in the order of the numbers: 15 digits, as many as an offset in a request may have. */
function pieceName(name: string, offset: number): string {
  return `${name}/${String(offset).padStart(15, '0')}`;
}

/** The same bytes, `READ_BYTES` at a time. */
async function* evenly(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let waiting: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of chunks) {
    waiting.push(chunk);
    bytes += chunk.length;
    if (bytes < READ_BYTES) continue;
    let all = Buffer.concat(waiting, bytes);
    for (; all.length >= READ_BYTES; all = all.subarray(READ_BYTES)) yield all.subarray(0, READ_BYTES);
    waiting = [all];
    bytes = all.length;
  }
  if (bytes > 0) yield Buffer.concat(waiting, bytes);
}
