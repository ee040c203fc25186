/**
 * The safetensors format, read strictly and written canonically: bytes in, values out.
 *
 * Source     huggingface/safetensors, README "Format": u64 little-endian header length, a JSON header, then the tensors' bytes.
 * It is not a file reader: a caller that reads by range gives `parseSafetensorsHeader` the header and the file's length.
 *
 * Guarantee  What is accepted has no duplicate name, and its tensors cover the data exactly once: no overlap, hole or trailing
 *            byte. A file that two readers could understand differently is refused, and so is every file that the reference
 *            implementation refuses.
 * Divergence stricter: tensor fields that the format does not define are refused, and so is a tensor named `__proto__`.
 */

import { FedloraError } from '../errors/fedlora-error.js';

/** The reference implementation's limit: with it, eight bytes cannot make a reader allocate more. */
export const MAXIMUM_HEADER_BYTES = 100_000_000;

/** Bytes before the header. */
export const HEADER_LENGTH_BYTES = 8;

/** More dimensions than any model has; a hostile shape of a million ones costs time, not memory. */
const MAXIMUM_DIMENSIONS = 64;

/** Bits of one element. F4 and the F6 formats are packed: a tensor of them must fill whole bytes. */
const dtypeBits = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const;

export type SafetensorsDtype = keyof typeof dtypeBits;

/** One tensor of a file. `begin` and `end` count bytes from `SafetensorsHeader.dataStart`. */
export interface SafetensorsEntry {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

export interface SafetensorsHeader {
  /** By name, in the order of the file's bytes. */
  readonly tensors: ReadonlyMap<string, SafetensorsEntry>;
  readonly metadata: ReadonlyMap<string, string>;
  /** Offset in the file of the first tensor's first byte. */
  readonly dataStart: number;
}

/**
 * How many bytes the header has, from the file's first bytes (`HEADER_LENGTH_BYTES` or more, or all there are).
 *
 * @throws FedloraError safetensors/malformed: too short, or a length over the limit or the file
 * @throws FedloraError safetensors/git-lfs-pointer: the text that Git puts in place of a large file
 */
export function safetensorsHeaderLength(prefix: Uint8Array, fileLength: number): number {
  const lfs = 'version ';
  if (fileLength < 1024 && startsWithAscii(prefix, lfs)) {
    throw new FedloraError('safetensors/git-lfs-pointer', 'The file is a Git LFS pointer, not the tensors themselves.');
  }
  if (fileLength === 0) malformed('The file is empty.', 0);
  if (fileLength < HEADER_LENGTH_BYTES || prefix.length < HEADER_LENGTH_BYTES) {
    malformed(`The file has ${fileLength} bytes, fewer than the header's length takes.`, 0);
  }
  const view = new DataView(prefix.buffer, prefix.byteOffset, prefix.byteLength);
  // Over 2^53 the sum rounds, but stays far over the limit.
  const length = view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32;
  if (length > MAXIMUM_HEADER_BYTES)
    malformed(`The header claims ${length} bytes; the limit is ${MAXIMUM_HEADER_BYTES}.`, 0);
  if (length > fileLength - HEADER_LENGTH_BYTES) {
    malformed(`The header claims ${length} bytes, but only ${fileLength - HEADER_LENGTH_BYTES} follow.`, 0);
  }
  if (length < 2) malformed(`The header claims ${length} bytes, which cannot hold a JSON object.`, 0);
  return length;
}

/**
 * Reads and checks a header.
 *
 * @param header the JSON bytes, without the length before them
 * @param fileLength bytes of the whole file
 * @throws FedloraError safetensors/malformed: see the module's guarantee; the message says what and where
 */
export function parseSafetensorsHeader(header: Uint8Array, fileLength: number): SafetensorsHeader {
  const dataStart = HEADER_LENGTH_BYTES + header.length;
  const { entries, metadata } = new HeaderParser(decodeUtf8(header)).parse();

  // By begin, then end: tensors without elements come before the one that starts where they stand.
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let covered = 0;
  for (const entry of entries) {
    checkExtent(entry);
    const name = JSON.stringify(entry.name);
    if (entry.begin < covered) malformed(`Tensor ${name} overlaps the one before it.`, dataStart + entry.begin);
    if (entry.begin > covered) malformed(`There is a hole before tensor ${name}.`, dataStart + covered);
    covered = entry.end;
  }
  const dataLength = fileLength - dataStart;
  if (covered > dataLength)
    malformed(`The tensors need ${covered} bytes, but the file holds ${dataLength}: it was cut short.`, fileLength);
  if (covered < dataLength) malformed(`${dataLength - covered} bytes follow the last tensor.`, dataStart + covered);
  return { tensors: new Map(entries.map((entry) => [entry.name, entry])), metadata, dataStart };
}

/** A whole file in memory. */
export interface SafetensorsContent {
  readonly header: SafetensorsHeader;
  /** A copy of the tensor's bytes, or `undefined` if there is none of that name. */
  bytesOf(name: string): Uint8Array | undefined;
}

/** Reads a whole file. @throws FedloraError as `safetensorsHeaderLength` and `parseSafetensorsHeader` */
export function readSafetensors(file: Uint8Array): SafetensorsContent {
  const length = safetensorsHeaderLength(file, file.length);
  const header = parseSafetensorsHeader(file.subarray(HEADER_LENGTH_BYTES, HEADER_LENGTH_BYTES + length), file.length);
  return {
    header,
    bytesOf(name) {
      const entry = header.tensors.get(name);
      if (entry === undefined) return undefined;
      // Not slice(): on Node's Buffer that would share memory.
      const copy = new Uint8Array(entry.end - entry.begin);
      copy.set(file.subarray(header.dataStart + entry.begin, header.dataStart + entry.end));
      return copy;
    },
  };
}

/** Number of elements of a shape; 1 for a scalar. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** The formats that are read as floating point. */
export type FloatDtype = 'F32' | 'F16' | 'BF16' | 'F64';

/** Whether `decodeFloats` reads the format. */
export function isFloatDtype(dtype: SafetensorsDtype): dtype is FloatDtype {
  return dtype === 'F32' || dtype === 'F16' || dtype === 'BF16' || dtype === 'F64';
}

/** Bytes of one element of a floating-point format. */
export function floatBytes(dtype: FloatDtype): number {
  return dtypeBits[dtype] / 8;
}

/**
 * Little-endian floats of any of the formats as f32, written to `target` from `offset` on.
 *
 * Guarantee  exact for F32, F16 and BF16 (infinities and NaN included); F64 is rounded to nearest.
 */
export function decodeFloatsInto(target: Float32Array, offset: number, bytes: Uint8Array, dtype: FloatDtype): void {
  const count = bytes.length / floatBytes(dtype);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const bits = new Uint32Array(target.buffer, target.byteOffset, target.length);
  switch (dtype) {
    case 'F32':
      if (LITTLE_ENDIAN) new Uint8Array(target.buffer, target.byteOffset + 4 * offset, 4 * count).set(bytes);
      else for (let i = 0; i < count; i++) bits[offset + i] = view.getUint32(4 * i, true);
      return;
    case 'BF16':
      for (let i = 0; i < count; i++) bits[offset + i] = view.getUint16(2 * i, true) << 16;
      return;
    case 'F16':
      for (let i = 0; i < count; i++) {
        const half = view.getUint16(2 * i, true);
        const magnitude = half & 0x7fff;
        if (magnitude >= 0x7c00) {
          bits[offset + i] = ((half & 0x8000) << 16) | 0x7f800000 | ((magnitude & 0x3ff) << 13);
        } else {
          // The half's bits, moved, are a float 2^112 times too small; the product is exact, subnormals included.
          bits[offset + i] = ((half & 0x8000) << 16) | (magnitude << 13);
          target[offset + i] *= TWO_TO_112;
        }
      }
      return;
    case 'F64':
      for (let i = 0; i < count; i++) target[offset + i] = view.getFloat64(8 * i, true);
      return;
    default:
      return dtype satisfies never;
  }
}

/** As `decodeFloatsInto`, into a new array. @throws FedloraError safetensors/unsupported-dtype: not a floating-point format */
export function decodeFloats(bytes: Uint8Array, dtype: SafetensorsDtype): Float32Array {
  if (!isFloatDtype(dtype))
    throw new FedloraError('safetensors/unsupported-dtype', `A tensor of ${dtype} cannot be read as floats.`);
  const target = new Float32Array(bytes.length / floatBytes(dtype));
  decodeFloatsInto(target, 0, bytes, dtype);
  return target;
}

/** f32 as little-endian bytes of another format, rounded to nearest, ties to even; what is too large becomes infinity. */
export function encodeFloats(values: Float32Array, dtype: 'F32' | 'F16' | 'BF16'): Uint8Array {
  const bytes = new Uint8Array(values.length * floatBytes(dtype));
  const view = new DataView(bytes.buffer);
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < values.length; i++) {
    const word = bits[i];
    if (dtype === 'F32') view.setUint32(4 * i, word, true);
    else view.setUint16(2 * i, dtype === 'BF16' ? toBf16(word) : toF16(word, values[i]), true);
  }
  return bytes;
}

/** A tensor to write: row-major values. */
export interface TensorToWrite {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/**
 * A safetensors file with tensors in the order of their names and the data aligned to 8 bytes.
 *
 * Guarantee  The same tensors give the same bytes, whatever order they come in. `readSafetensors` accepts the result.
 * @throws FedloraError safetensors/malformed: a name twice, or values that do not fill their shape
 */
export function writeSafetensors(
  tensors: readonly TensorToWrite[],
  options: { readonly dtype?: 'F32' | 'F16' | 'BF16'; readonly metadata?: Readonly<Record<string, string>> } = {},
): Uint8Array {
  const { dtype = 'F32', metadata = { format: 'pt' } } = options;
  // Encoded one by one, while the file is filled.
  const encoded = tensors.map(({ name, shape, values }) => ({
    name,
    shape,
    encode: () => encodeFloats(values, dtype),
  }));
  for (const { name, shape, values } of tensors)
    if (elementCount(shape) !== values.length)
      malformed(`Tensor ${JSON.stringify(name)} has ${values.length} values for its shape.`, 0);
  return fileOf(encoded, dtype, metadata);
}

/** The bytes of a tensor in the format of its file. */
export interface EncodedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/**
 * The same of tensors that are encoded already.
 *
 * @throws FedloraError safetensors/malformed: a name twice, or bytes that do not fill their shape
 */
export function writeEncodedSafetensors(
  tensors: readonly EncodedTensor[],
  dtype: 'F32' | 'F16' | 'BF16',
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  for (const { name, shape, bytes } of tensors)
    if (elementCount(shape) * floatBytes(dtype) !== bytes.length)
      malformed(`Tensor ${JSON.stringify(name)} has ${bytes.length} bytes for its shape.`, 0);
  return fileOf(
    tensors.map(({ name, shape, bytes }) => ({ name, shape, encode: () => bytes })),
    dtype,
    metadata,
  );
}

function fileOf(
  tensors: readonly (Omit<EncodedTensor, 'bytes'> & { readonly encode: () => Uint8Array })[],
  dtype: 'F32' | 'F16' | 'BF16',
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const sorted = [...tensors].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  const fields = [`"__metadata__":${JSON.stringify(metadata)}`];
  let end = 0;
  sorted.forEach(({ name, shape }, i) => {
    if (name === sorted[i - 1]?.name || RESERVED_NAMES.includes(name))
      malformed(`Tensor name ${JSON.stringify(name)} cannot be written.`, 0);
    const begin = end;
    end += elementCount(shape) * floatBytes(dtype);
    fields.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [begin, end] })}`);
  });
  // Names are printed in ASCII, so that characters are bytes.
  const json = escapeToAscii(`{${fields.join(',')}}`);
  const headerLength = Math.ceil(json.length / 8) * 8;
  const file = new Uint8Array(HEADER_LENGTH_BYTES + headerLength + end);
  new DataView(file.buffer).setUint32(0, headerLength, true);
  for (let i = 0; i < headerLength; i++) file[HEADER_LENGTH_BYTES + i] = i < json.length ? json.charCodeAt(i) : 0x20;
  let at = HEADER_LENGTH_BYTES + headerLength;
  for (const { encode } of sorted) {
    const bytes = encode();
    file.set(bytes, at);
    at += bytes.length;
  }
  return file;
}

// --- numbers ---

const TWO_TO_112 = 2 ** 112;
const LITTLE_ENDIAN = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

function toBf16(word: number): number {
  if ((word & 0x7fffffff) > 0x7f800000) return (word >>> 16) | 0x40; // NaN stays NaN
  return ((word + 0x7fff + ((word >>> 16) & 1)) >>> 16) & 0xffff;
}

function toF16(word: number, value: number): number {
  const sign = (word >>> 16) & 0x8000;
  const magnitude = word & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x47800000) return sign | 0x7c00; // 65536 and over
  if (magnitude >= 0x38800000) {
    const rebased = magnitude - 0x38000000; // exponent bias 127 -> 15
    return sign | ((rebased + 0xfff + ((rebased >>> 13) & 1)) >>> 13);
  }
  // Subnormal halves are multiples of 2^-24.
  const steps = Math.abs(value) * 2 ** 24;
  const floor = Math.floor(steps);
  const rest = steps - floor;
  return sign | (rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor);
}

// --- text ---

function malformed(message: string, offset: number): never {
  throw new FedloraError('safetensors/malformed', message, { details: { offset } });
}

function startsWithAscii(bytes: Uint8Array, text: string): boolean {
  if (bytes.length < text.length) return false;
  for (let i = 0; i < text.length; i++) if (bytes[i] !== text.charCodeAt(i)) return false;
  return true;
}

function escapeToAscii(json: string): string {
  return json.replace(/[^\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Strict UTF-8: no overlong forms, surrogates or values over U+10FFFF. */
export function decodeUtf8(bytes: Uint8Array): string {
  const parts: string[] = [];
  let units: number[] = [];
  let i = 0;
  while (i < bytes.length) {
    const first = bytes[i];
    let code = first;
    let more = 0;
    let least = 0;
    if (first >= 0x80) {
      if (first >= 0xc2 && first < 0xe0) [more, code, least] = [1, first & 0x1f, 0x80];
      else if (first >= 0xe0 && first < 0xf0) [more, code, least] = [2, first & 0x0f, 0x800];
      else if (first >= 0xf0 && first < 0xf5) [more, code, least] = [3, first & 0x07, 0x10000];
      else malformed('The header is not UTF-8.', HEADER_LENGTH_BYTES + i);
    }
    for (let k = 1; k <= more; k++) {
      const next = bytes[i + k];
      if (next === undefined || (next & 0xc0) !== 0x80) malformed('The header is not UTF-8.', HEADER_LENGTH_BYTES + i);
      code = (code << 6) | (next & 0x3f);
    }
    if (code < least || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
      malformed('The header is not UTF-8.', HEADER_LENGTH_BYTES + i);
    if (code < 0x10000) units.push(code);
    else units.push(0xd7c0 + (code >> 10), 0xdc00 | (code & 0x3ff));
    i += 1 + more;
    if (units.length >= 4096) {
      parts.push(String.fromCharCode(...units));
      units = [];
    }
  }
  parts.push(String.fromCharCode(...units));
  return parts.join('');
}

// --- header ---

const METADATA_NAME = '__metadata__';
/** Names that mean something else somewhere: the metadata field, and the key that sets a prototype in naive readers. */
const RESERVED_NAMES: readonly string[] = [METADATA_NAME, '__proto__'];

function checkExtent({ name, dtype, shape, begin, end }: SafetensorsEntry): void {
  let elements = 1;
  for (const size of shape) {
    elements *= size;
    if (!Number.isSafeInteger(elements))
      malformed(`The shape of tensor ${JSON.stringify(name)} overflows.`, HEADER_LENGTH_BYTES);
  }
  if (begin > end) malformed(`Tensor ${JSON.stringify(name)} begins after its end.`, HEADER_LENGTH_BYTES);
  const bits = elements * dtypeBits[dtype];
  if (bits % 8 !== 0 || bits / 8 !== end - begin) {
    malformed(
      `Tensor ${JSON.stringify(name)} has ${end - begin} bytes; its shape and ${dtype} need ${bits / 8}.`,
      HEADER_LENGTH_BYTES,
    );
  }
}

/**
 * JSON of exactly the header's form: `{name: {dtype, shape, data_offsets}, "__metadata__": {text: text}}`, then spaces.
 *
 * JSON.parse will not do: of two equal keys it keeps the last and says nothing.
 */
class HeaderParser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  parse(): { entries: SafetensorsEntry[]; metadata: Map<string, string> } {
    if (!this.#text.startsWith('{')) this.#refuse('The header does not start with `{`');
    const entries: SafetensorsEntry[] = [];
    const names = new Set<string>();
    const metadata = new Map<string, string>();
    this.#object((name) => {
      if (names.has(name)) this.#refuse(`The name ${JSON.stringify(name)} occurs twice`);
      names.add(name);
      if (name === METADATA_NAME) this.#metadata(metadata);
      else if (RESERVED_NAMES.includes(name)) this.#refuse(`The tensor name ${JSON.stringify(name)} is not accepted`);
      else entries.push(this.#entry(name));
    });
    this.#space();
    if (this.#at !== this.#text.length) this.#refuse('Text follows the header’s JSON');
    return { entries, metadata };
  }

  #metadata(into: Map<string, string>): void {
    this.#object((key) => {
      if (into.has(key)) this.#refuse(`The metadata key ${JSON.stringify(key)} occurs twice`);
      into.set(key, this.#string());
    });
  }

  #entry(name: string): SafetensorsEntry {
    let dtype: SafetensorsDtype | undefined;
    let shape: number[] | undefined;
    let offsets: number[] | undefined;
    this.#object((field) => {
      if (field === 'dtype' && dtype === undefined) {
        const text = this.#string();
        if (!Object.hasOwn(dtypeBits, text)) this.#refuse(`The dtype ${JSON.stringify(text)} is not known`);
        // Safe: a key of the table.
        dtype = text as SafetensorsDtype;
      } else if (field === 'shape' && shape === undefined) shape = this.#integers(MAXIMUM_DIMENSIONS);
      else if (field === 'data_offsets' && offsets === undefined) offsets = this.#integers(2);
      else
        this.#refuse(`The field ${JSON.stringify(field)} of tensor ${JSON.stringify(name)} is unknown or occurs twice`);
    });
    const [begin, end] = offsets ?? [];
    if (dtype === undefined || shape === undefined || begin === undefined || end === undefined) {
      this.#refuse(`Tensor ${JSON.stringify(name)} lacks dtype, shape or data_offsets`);
    }
    return { name, dtype, shape, begin, end };
  }

  #object(field: (key: string) => void): void {
    this.#expect('{');
    if (this.#accept('}')) return;
    do {
      const key = this.#string();
      this.#expect(':');
      field(key);
    } while (this.#accept(','));
    this.#expect('}');
  }

  #integers(limit: number): number[] {
    const numbers: number[] = [];
    this.#expect('[');
    if (this.#accept(']')) return numbers;
    do {
      if (numbers.length === limit) this.#refuse(`A list has more than ${limit} numbers`);
      this.#space();
      const pattern = /(?:0|[1-9][0-9]{0,15})(?![0-9.eE])/y;
      pattern.lastIndex = this.#at;
      const match = pattern.exec(this.#text);
      const value = Number(match?.[0]);
      if (match === null || !Number.isSafeInteger(value)) this.#refuse('A whole number from 0 to 2^53 - 1 is missing');
      this.#at = pattern.lastIndex;
      numbers.push(value);
    } while (this.#accept(','));
    this.#expect(']');
    return numbers;
  }

  #string(): string {
    this.#space();
    const begin = this.#at;
    if (this.#text[begin] !== '"') this.#refuse('A string is missing');
    let end = begin + 1;
    while (end < this.#text.length && this.#text[end] !== '"') end += this.#text[end] === '\\' ? 2 : 1;
    try {
      const value: unknown = JSON.parse(this.#text.slice(begin, end + 1));
      this.#at = end + 1;
      if (typeof value === 'string') return value;
    } catch (cause) {
      throw new FedloraError('safetensors/malformed', 'A string of the header is malformed.', {
        details: { offset: HEADER_LENGTH_BYTES + begin },
        cause,
      });
    }
    return this.#refuse('A string is missing');
  }

  #accept(character: string): boolean {
    this.#space();
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #expect(character: string): void {
    if (!this.#accept(character)) this.#refuse(`The header is not the JSON it should be: \`${character}\` is missing`);
  }

  #space(): void {
    while (this.#at < this.#text.length && ' \t\n\r'.includes(this.#text.charAt(this.#at))) this.#at++;
  }

  #refuse(what: string): never {
    // In characters; the same as bytes as long as names are ASCII.
    malformed(`${what} (character ${this.#at} of the header).`, HEADER_LENGTH_BYTES + this.#at);
  }
}
