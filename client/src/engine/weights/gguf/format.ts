/**
 * The header of a GGUF file: metadata, and where which tensor lies.
 *
 * Source     ggml `docs/gguf.md`, versions 2 and 3, little-endian.
 *
 *     magic "GGUF" | version u32 | tensors u64 | keys u64
 *     keys times     key string | type u32 | value        string = bytes u64, UTF-8; list = type u32, count u64, elements
 *     tensors times  name string | dimensions u32 | dimensions times u64, fastest first | type u32 | offset u64
 *     zeros up to a multiple of `general.alignment`, from where offsets count
 *
 * A file is hostile until proved otherwise: every count is checked against the bytes that are there before anything is allocated
 * for it, and numbers over 2^53 are refused. Long lists (a vocabulary) are walked over, not kept.
 */

import { FedloraError } from '@fedlora/shared';
import { tensorTypes, unreadTypes, type TensorType } from './tensor-types.js';

/** Far over any real header: a vocabulary of 256,000 with merges takes about 10 MB. */
export const MAXIMUM_HEADER_BYTES = 100_000_000;
const MAXIMUM_KEYS = 4096;
const MAXIMUM_KEY_BYTES = 65_535;
const MAXIMUM_TENSORS = 65_536;
const MAXIMUM_NAME_BYTES = 64;
const MAXIMUM_DIMENSIONS = 4;
const MAXIMUM_ALIGNMENT = 1 << 20;
/** Longer lists are counted, not kept. */
const MAXIMUM_KEPT_ELEMENTS = 1024;

const MAGIC = 0x46554747; // "GGUF", read as a little-endian word
const DEFAULT_ALIGNMENT = 32;

/** A metadata value. 64-bit numbers over 2^53 are `bigint`. */
export type GgufValue = number | bigint | boolean | string | GgufList;

export interface GgufList {
  readonly length: number;
  /** Absent for lists of text and for lists over the limit. */
  readonly numbers?: readonly (number | bigint | boolean)[];
}

export interface GgufTensor {
  readonly name: string;
  /** Row-major, slowest dimension first: the file's order reversed. */
  readonly shape: readonly number[];
  readonly type: TensorType;
  /** Byte range within the file. */
  readonly begin: number;
  readonly end: number;
}

export interface GgufHeader {
  readonly version: number;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
}

/**
 * Reads the header from the first bytes of a file, or says how many bytes it needs at least.
 *
 * @throws FedloraError gguf/malformed: with the byte offset | gguf/unsupported: version, byte order or tensor type
 */
export function parseGgufHeader(prefix: Uint8Array, fileLength: number): GgufHeader | { readonly needsBytes: number } {
  try {
    return new HeaderReader(prefix, fileLength).header();
  } catch (error) {
    if (error instanceof NeedsBytes) return { needsBytes: error.count };
    throw error;
  }
}

/** The prefix ends before the header does. Never leaves this file. */
class NeedsBytes extends Error {
  constructor(readonly count: number) {
    super(`${count} bytes are needed`);
  }
}

/** Bytes of a value of fixed length, by type id; 8 is text and 9 a list. */
const valueBytes: readonly (number | undefined)[] = [1, 1, 2, 2, 4, 4, 4, 1, undefined, undefined, 8, 8, 8];
const TEXT = 8;
const LIST = 9;
/** A text's length field: the least that an element of a list of texts takes. */
const LEAST_TEXT_BYTES = 8;

class HeaderReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #fileLength: number;
  #at = 0;

  constructor(bytes: Uint8Array, fileLength: number) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#fileLength = fileLength;
  }

  header(): GgufHeader {
    if (this.#u32() !== MAGIC) malformed('It does not begin with "GGUF".', 0);
    const version = this.#u32();
    if (version === 0x02000000 || version === 0x03000000)
      unsupported('It is big-endian; only little-endian files are read.');
    if (version !== 2 && version !== 3) unsupported(`It is GGUF version ${version}; versions 2 and 3 are read.`);
    const tensorCount = this.#count('tensors', MAXIMUM_TENSORS);
    const keyCount = this.#count('keys', MAXIMUM_KEYS);
    const metadata = new Map<string, GgufValue>();
    for (let i = 0; i < keyCount; i++) {
      const key = this.#text(MAXIMUM_KEY_BYTES);
      if (metadata.has(key)) this.#refuse(`The key ${JSON.stringify(key)} occurs twice.`);
      metadata.set(key, this.#value(this.#u32()));
    }
    const alignment = metadata.get('general.alignment') ?? DEFAULT_ALIGNMENT;
    const isPowerOfTwo = typeof alignment === 'number' && Number.isInteger(Math.log2(alignment));
    if (!isPowerOfTwo || alignment < 1 || alignment > MAXIMUM_ALIGNMENT)
      this.#refuse('general.alignment is no power of two in range.');
    return { version, metadata, tensors: this.#tensors(tensorCount, alignment) };
  }

  #tensors(count: number, alignment: number): ReadonlyMap<string, GgufTensor> {
    const relative: GgufTensor[] = [];
    const names = new Set<string>();
    for (let i = 0; i < count; i++) {
      const tensor = this.#tensor(alignment);
      if (names.has(tensor.name)) this.#refuse(`The tensor ${JSON.stringify(tensor.name)} occurs twice.`);
      names.add(tensor.name);
      relative.push(tensor);
    }
    const dataStart = Math.ceil(this.#at / alignment) * alignment;
    const tensors = relative.map((tensor) => ({
      ...tensor,
      begin: dataStart + tensor.begin,
      end: dataStart + tensor.end,
    }));
    let covered = dataStart;
    for (const { name, begin, end } of [...tensors].sort((a, b) => a.begin - b.begin)) {
      if (begin < covered) malformed(`Tensor ${JSON.stringify(name)} overlaps the one before it.`, begin);
      if (end > this.#fileLength)
        malformed(`Tensor ${JSON.stringify(name)} ends after the file: it was cut short.`, this.#fileLength);
      covered = end;
    }
    return new Map(tensors.map((tensor) => [tensor.name, tensor]));
  }

  /** A tensor's entry, with offsets from the start of the data. */
  #tensor(alignment: number): GgufTensor {
    const name = this.#text(MAXIMUM_NAME_BYTES);
    const shown = JSON.stringify(name);
    const rank = this.#u32();
    if (rank < 1 || rank > MAXIMUM_DIMENSIONS) this.#refuse(`Tensor ${shown} has ${rank} dimensions.`);
    const shape: number[] = [];
    let elements = 1;
    for (let i = 0; i < rank; i++) {
      const size = this.#u64();
      if (typeof size !== 'number' || size < 1) this.#refuse(`Tensor ${shown} has dimension ${size}.`);
      elements *= size;
      shape.unshift(size);
    }
    const id = this.#u32();
    const type = tensorTypes.get(id);
    if (type === undefined) {
      unsupported(
        `Tensor ${shown} is of type ${unreadTypes.get(id) ?? id}; read are ${[...tensorTypes.values()].map((known) => known.name).join(', ')}.`,
      );
    }
    if (!Number.isSafeInteger(elements)) this.#refuse(`The shape of tensor ${shown} overflows.`);
    if (shape[shape.length - 1] % type.blockValues !== 0)
      this.#refuse(`Rows of tensor ${shown} are no multiple of ${type.blockValues}, as ${type.name} needs.`);
    const begin = this.#u64();
    const end = Number(begin) + (elements / type.blockValues) * type.blockBytes;
    if (typeof begin !== 'number' || !Number.isSafeInteger(end)) this.#refuse(`Tensor ${shown} begins at ${begin}.`);
    if (begin % alignment !== 0) this.#refuse(`Tensor ${shown} is not aligned to ${alignment} bytes.`);
    return { name, shape, type, begin, end };
  }

  #value(type: number): GgufValue {
    if (type === TEXT) return this.#text(MAXIMUM_HEADER_BYTES);
    if (type === LIST) return this.#list();
    return this.#scalar(type);
  }

  #list(): GgufList {
    const type = this.#u32();
    if (type === LIST) this.#refuse('A list within a list is not read.');
    const elementBytes = type === TEXT ? LEAST_TEXT_BYTES : this.#bytesOf(type);
    const length = this.#count('elements', Math.floor(MAXIMUM_HEADER_BYTES / elementBytes));
    if (type === TEXT) {
      for (let i = 0; i < length; i++) this.#skip(this.#count('bytes', MAXIMUM_HEADER_BYTES));
      return { length };
    }
    if (length > MAXIMUM_KEPT_ELEMENTS) {
      this.#skip(length * elementBytes);
      return { length };
    }
    return { length, numbers: Array.from({ length }, () => this.#scalar(type)) };
  }

  #scalar(type: number): number | bigint | boolean {
    const at = this.#skip(this.#bytesOf(type));
    switch (type) {
      case 0:
        return this.#view.getUint8(at);
      case 1:
        return this.#view.getInt8(at);
      case 2:
        return this.#view.getUint16(at, true);
      case 3:
        return this.#view.getInt16(at, true);
      case 4:
        return this.#view.getUint32(at, true);
      case 5:
        return this.#view.getInt32(at, true);
      case 6:
        return this.#view.getFloat32(at, true);
      case 7:
        if (this.#bytes[at] > 1) this.#refuse('A truth value is neither 0 nor 1.');
        return this.#bytes[at] === 1;
      case 10:
        return exact(this.#view.getBigUint64(at, true));
      case 11:
        return exact(this.#view.getBigInt64(at, true));
      default:
        return this.#view.getFloat64(at, true);
    }
  }

  #bytesOf(type: number): number {
    return valueBytes[type] ?? this.#refuse(`${type} is no type of a value.`);
  }

  /** Text that is not UTF-8 gets replacement characters: it may be a description, and no name that we know holds them. */
  #text(limit: number): string {
    const length = this.#count('bytes', limit);
    const at = this.#skip(length);
    return utf8.decode(this.#bytes.subarray(at, at + length));
  }

  /** A count that cannot be more than the file has bytes for. */
  #count(what: string, limit: number): number {
    const count = this.#u64();
    if (typeof count !== 'number' || count > limit || count > this.#fileLength)
      this.#refuse(`${count} ${what} are over the limit or the file.`);
    return count;
  }

  #u32(): number {
    return this.#view.getUint32(this.#skip(4), true);
  }

  #u64(): number | bigint {
    return exact(this.#view.getBigUint64(this.#skip(8), true));
  }

  /** Steps over bytes that must be there; returns where they begin. */
  #skip(length: number): number {
    const begin = this.#at;
    const end = begin + length;
    if (end > this.#fileLength) malformed('The file ends within its header: it was cut short.', this.#fileLength);
    if (end > MAXIMUM_HEADER_BYTES) malformed(`The header is over ${MAXIMUM_HEADER_BYTES} bytes.`, begin);
    if (end > this.#bytes.length) throw new NeedsBytes(end);
    this.#at = end;
    return begin;
  }

  #refuse(message: string): never {
    malformed(message, this.#at);
  }
}

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

function exact(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function malformed(message: string, offset: number): never {
  throw new FedloraError('gguf/malformed', message, { details: { offset } });
}

function unsupported(message: string): never {
  throw new FedloraError('gguf/unsupported', message);
}
