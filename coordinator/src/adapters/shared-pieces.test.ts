import { randomBytes } from 'node:crypto';
import fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NoSuchBlob } from '../storage/blob-store.js';
import { FolderBlobs } from '../storage/folder-blobs.js';
import { SharedPieces } from './shared-pieces.js';

const MIB = 2 ** 20;

let folder: string;
let blobs: FolderBlobs;
/** Where the blob `file` is. */
let path: string;
let content: Buffer;
beforeEach(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), 'fedlora-pieces-'));
  blobs = new FolderBlobs(folder);
  path = join(folder, 'file');
  content = randomBytes(3 * MIB + 12345);
  await fs.writeFile(path, content);
});
afterEach(async () => {
  await fs.rm(folder, { recursive: true, force: true });
});

async function sent(pieces: SharedPieces, begin: number, end: number): Promise<Buffer> {
  const target = new PassThrough();
  const [received] = await Promise.all([buffer(target), pieces.send(target, 'file', begin, end)]);
  return received;
}

describe('SharedPieces', () => {
  it.each([
    [0, 3 * MIB + 12345],
    [0, 1],
    [MIB - 1, MIB + 1],
    [MIB, 2 * MIB],
    [3 * MIB + 12344, 3 * MIB + 12345],
    [100, 100],
  ])('sends bytes %i to %i', async (begin, end) => {
    expect((await sent(new SharedPieces(blobs), begin, end)).equals(content.subarray(begin, end))).toBe(true);
  });

  it('reads a file once for all who ask, and again what it had no room for', async () => {
    const pieces = new SharedPieces(blobs);
    const all = await Promise.all(Array.from({ length: 5 }, () => sent(pieces, 0, content.length)));
    // What is kept does not change with the disk.
    await fs.writeFile(path, Buffer.alloc(content.length));
    all.push(await sent(pieces, 0, content.length));
    for (const one of all) expect(one.equals(content)).toBe(true);

    await fs.writeFile(path, content);
    const small = new SharedPieces(blobs, 2 * MIB);
    await sent(small, 0, content.length);
    await fs.writeFile(path, Buffer.alloc(content.length));
    // The last two of its four pieces are kept.
    const again = await sent(small, 2 * MIB, content.length);
    expect(again.equals(content.subarray(2 * MIB))).toBe(true);
    expect((await sent(small, 0, MIB)).every((byte) => byte === 0)).toBe(true);
  });

  it('does not fill the memory of a reader who is slow', async () => {
    let waiting = 0;
    let most = 0;
    const slow = new Writable({
      highWaterMark: 1,
      write: (piece: Buffer, _encoding, done) => {
        waiting += piece.length;
        most = Math.max(most, waiting);
        setTimeout(() => {
          waiting -= piece.length;
          done();
        }, 5);
      },
    });
    await new SharedPieces(blobs).send(slow, 'file', 0, content.length);
    expect(most).toBeLessThanOrEqual(MIB);
  });

  it('ends when the reader goes, and goes on for the others', async () => {
    const pieces = new SharedPieces(blobs);
    const stuck = new Writable({ highWaterMark: 1, write: () => undefined });
    const sending = pieces.send(stuck, 'file', 0, content.length);
    setTimeout(() => stuck.destroy(), 20);
    await sending;
    expect((await sent(pieces, 0, content.length)).equals(content)).toBe(true);
  });

  it('says that a file is missing or was cut short, and tries again next time', async () => {
    const pieces = new SharedPieces(blobs);
    await expect(pieces.send(new PassThrough().resume(), 'none', 0, 10)).rejects.toBeInstanceOf(NoSuchBlob);
    await expect(pieces.send(new PassThrough().resume(), 'file', 0, content.length + 1)).rejects.toThrow(/shorter/);
    await fs.writeFile(join(folder, 'none'), 'here now');
    const target = new PassThrough();
    const [received] = await Promise.all([buffer(target), pieces.send(target, 'none', 0, 8)]);
    expect(received.toString()).toBe('here now');
  });
});
