/**
 * Quantized weights on disk, so that a base model is quantized once.
 *
 *     header   JSON that says which model, which tensors in which shapes, and how; padded with spaces to 64 bytes
 *     data     for each tensor codes, then absmax as little-endian f32, each padded with zeros to 64 bytes
 *     footer   for each tensor the SHA-256 of its codes and absmax; then the SHA-256 of header and footer so far
 *
 * The reader knows the header beforehand and compares it; there is nothing in the file to parse, and no length in it is believed.
 * Guarantee  What is read has the hashes that were written with it. This finds damage, not malice: whoever can write in the folder
 *            can also change the model or the program.
 */

import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { missing, readRange } from './file-range.js';
import { NF4_BLOCK, type Nf4Values } from './nf4.js';

const ALIGNMENT = 64;
const HASH_BYTES = 32;
/** Temporary files of programs that were killed are removed once no program can still be writing them. */
const STALE_MS = 24 * 3600 * 1000;

/** A tensor to keep: name and shape. */
export type NamedShape = readonly [name: string, shape: readonly number[]];

interface Place {
  readonly codes: number;
  readonly codesBytes: number;
  readonly absmax: number;
  readonly absmaxBytes: number;
}

interface Layout {
  readonly path: string;
  readonly header: Uint8Array;
  readonly places: ReadonlyMap<string, Place>;
  readonly footer: number;
  readonly size: number;
}

function layoutOf(folder: string, modelDigest: string, tensors: readonly NamedShape[]): Layout {
  const json = JSON.stringify({ format: 'fedlora/nf4-cache/v1', modelDigest, blockSize: NF4_BLOCK, tensors });
  const text = new TextEncoder().encode(json);
  const header = new Uint8Array(aligned(text.length)).fill(0x20);
  header.set(text);
  const places = new Map<string, Place>();
  let at = header.length;
  for (const [name, shape] of tensors) {
    const count = shape.reduce((product, size) => product * size, 1);
    const codesBytes = Math.ceil(count / 2);
    const absmaxBytes = 4 * Math.ceil(count / NF4_BLOCK);
    places.set(name, { codes: at, codesBytes, absmax: at + aligned(codesBytes), absmaxBytes });
    at += aligned(codesBytes) + aligned(absmaxBytes);
  }
  const selection = createHash('sha256').update(header).digest('hex').slice(0, 16);
  const path = join(folder, `${modelDigest}-${selection}.nf4`);
  return { path, header, places, footer: at, size: at + HASH_BYTES * (places.size + 1) };
}

/**
 * Reads all tensors from the cache, or says why not.
 *
 * Edge cases no file -> absent | wrong size, header or any hash -> damaged; the caller quantizes anew and writes over it
 */
export async function readNf4Cache(
  folder: string,
  modelDigest: string,
  tensors: readonly NamedShape[],
): Promise<ReadonlyMap<string, Nf4Values> | 'absent' | 'damaged'> {
  const layout = layoutOf(folder, modelDigest, tensors);
  const file = await open(layout.path).catch(missing);
  if (file === undefined) return 'absent';
  try {
    if ((await file.stat()).size !== layout.size) return 'damaged';
    const header = await readRange(file, 0, layout.header.length, layout.path);
    const footer = await readRange(file, layout.footer, layout.size - layout.footer, layout.path);
    const hashes = footer.subarray(0, -HASH_BYTES);
    if (!equal(header, layout.header) || !equal(footer.subarray(-HASH_BYTES), sha256(header, hashes))) return 'damaged';
    const found = new Map<string, Nf4Values>();
    let index = 0;
    for (const [name, place] of layout.places) {
      const codes = await readRange(file, place.codes, place.codesBytes, layout.path);
      const scales = await readRange(file, place.absmax, place.absmaxBytes, layout.path);
      if (!equal(sha256(codes, scales), hashes.subarray(HASH_BYTES * index, HASH_BYTES * (index + 1))))
        return 'damaged';
      found.set(name, { codes, absmax: new Float32Array(scales.buffer) });
      index++;
    }
    return found;
  } finally {
    await file.close();
  }
}

/** Writes tensors one by one; the file appears under its name when all are there and flushed. */
export class Nf4CacheWriter {
  readonly #hashes = new Map<string, Uint8Array>();

  private constructor(
    private readonly layout: Layout,
    private readonly temporary: string,
    private readonly file: FileHandle,
  ) {}

  static async create(folder: string, modelDigest: string, tensors: readonly NamedShape[]): Promise<Nf4CacheWriter> {
    await mkdir(folder, { recursive: true });
    await removeStale(folder);
    const layout = layoutOf(folder, modelDigest, tensors);
    const temporary = join(folder, `.${randomUUID()}.nf4.tmp`);
    const file = await open(temporary, 'wx', 0o644);
    const writer = new Nf4CacheWriter(layout, temporary, file);
    try {
      await file.truncate(layout.size);
      await writeAt(file, layout.header, 0);
    } catch (error) {
      await writer.discard();
      throw error;
    }
    return writer;
  }

  async write(name: string, { codes, absmax }: Nf4Values): Promise<void> {
    const place = this.layout.places.get(name);
    const scales = new Uint8Array(absmax.buffer, absmax.byteOffset, absmax.byteLength);
    if (place === undefined || place.codesBytes !== codes.length || place.absmaxBytes !== scales.length)
      throw new Error(`${name} has no place in the cache.`);
    await writeAt(this.file, codes, place.codes);
    await writeAt(this.file, scales, place.absmax);
    this.#hashes.set(name, sha256(codes, scales));
  }

  /** Flushes, and gives the file its name. */
  async finish(): Promise<void> {
    try {
      const hashes = [...this.layout.places.keys()].map((name) => {
        const hash = this.#hashes.get(name);
        if (hash === undefined) throw new Error(`${name} was not written.`);
        return hash;
      });
      const footer = Buffer.concat([...hashes, sha256(this.layout.header, ...hashes)]);
      await writeAt(this.file, footer, this.layout.footer);
      await this.file.sync();
      await this.file.close();
      await rename(this.temporary, this.layout.path);
      await flushFolder(dirname(this.layout.path));
    } catch (error) {
      await this.discard();
      throw error;
    }
  }

  async discard(): Promise<void> {
    await this.file.close().catch(() => undefined); // it may be closed already
    await rm(this.temporary, { force: true });
  }
}

async function removeStale(folder: string): Promise<void> {
  const before = Date.now() - STALE_MS;
  for (const name of await readdir(folder)) {
    if (!basename(name).endsWith('.nf4.tmp')) continue;
    const found = await stat(join(folder, name)).catch(missing);
    if (found !== undefined && found.mtimeMs < before) await rm(join(folder, name), { force: true });
  }
}

async function writeAt(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

/** Makes the name durable. Windows cannot open folders and needs no flush of them. */
async function flushFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

function aligned(length: number): number {
  return Math.ceil(length / ALIGNMENT) * ALIGNMENT;
}
