/** Builds GGUF files byte by byte, right ones and wrong ones. */

/** A metadata value with its type, encoded. */
export type Encoded = readonly [type: number, ...bytes: Uint8Array[]];

export interface TensorParts {
  readonly name: string;
  /** Fastest first, as in the file. */
  readonly dimensions: readonly bigint[];
  readonly type?: number;
  /** By default where the builder puts it. */
  readonly offset?: bigint;
}

export interface GgufParts {
  readonly magic?: string;
  readonly version?: number;
  readonly tensorCount?: bigint;
  readonly keyCount?: bigint;
  /** Changes to the metadata of a tiny llama; `undefined` removes. */
  readonly metadata?: Readonly<Record<string, Encoded | undefined>>;
  /** Instead of a tiny llama's. */
  readonly tensors?: readonly TensorParts[];
  /** Besides a tiny llama's. */
  readonly more?: readonly TensorParts[];
  /** Bytes after the header's end and padding; by default what the tensors need. */
  readonly dataBytes?: number;
}

const bytesOf = (length: number, write: (view: DataView) => void): Uint8Array => {
  const bytes = new Uint8Array(length);
  write(new DataView(bytes.buffer));
  return bytes;
};
const word = (value: number): Uint8Array => bytesOf(4, (view) => view.setUint32(0, value, true));
const long = (value: bigint): Uint8Array => bytesOf(8, (view) => view.setBigUint64(0, value, true));
const string = (value: string): Uint8Array[] => {
  const bytes = new TextEncoder().encode(value);
  return [long(BigInt(bytes.length)), bytes];
};

export const u32 = (value: number): Encoded => [4, word(value)];
export const f32 = (value: number): Encoded => [6, bytesOf(4, (view) => view.setFloat32(0, value, true))];
export const u64 = (value: bigint): Encoded => [10, long(value)];
export const text = (value: string): Encoded => [8, ...string(value)];
export const list = (...elements: readonly Encoded[]): Encoded => [
  9,
  word(elements[0]?.[0] ?? 4),
  long(BigInt(elements.length)),
  ...elements.flatMap(([, ...bytes]) => bytes),
];
/** A value of a type and bytes that may not belong together. */
export const raw = (type: number, ...bytes: readonly number[]): Encoded => [type, Uint8Array.from(bytes)];

/** One block, 16 wide, two heads of 8, three tokens. */
const tinyMetadata: Readonly<Record<string, Encoded>> = {
  'general.architecture': text('llama'),
  'llama.context_length': u32(32),
  'llama.embedding_length': u32(16),
  'llama.block_count': u32(1),
  'llama.feed_forward_length': u32(4),
  'llama.attention.head_count': u32(2),
  'llama.attention.layer_norm_rms_epsilon': f32(2 ** -17),
  'llama.rope.dimension_count': u32(8),
};

const tinyTensors: readonly TensorParts[] = [
  { name: 'token_embd.weight', dimensions: [16n, 3n] },
  { name: 'output_norm.weight', dimensions: [16n] },
  { name: 'blk.0.attn_norm.weight', dimensions: [16n] },
  { name: 'blk.0.ffn_norm.weight', dimensions: [16n] },
  ...['q', 'k', 'v', 'output'].map((name) => ({ name: `blk.0.attn_${name}.weight`, dimensions: [16n, 16n] })),
  { name: 'blk.0.ffn_gate.weight', dimensions: [16n, 4n] },
  { name: 'blk.0.ffn_up.weight', dimensions: [16n, 4n] },
  { name: 'blk.0.ffn_down.weight', dimensions: [4n, 16n] },
];

const ALIGNMENT = 32;
const aligned = (length: number): number => Math.ceil(length / ALIGNMENT) * ALIGNMENT;

/** The bytes of a file with these parts; without any, of a tiny llama whose weights are zeros. */
export function aGguf(parts: GgufParts = {}): Uint8Array {
  const { magic = 'GGUF', version = 3, tensors = tinyTensors, more = [] } = parts;
  const entries = Object.entries({ ...tinyMetadata, ...parts.metadata });
  const metadata = entries.filter((entry): entry is [string, Encoded] => entry[1] !== undefined);
  const all = [...tensors, ...more];
  const pieces: Uint8Array[] = [
    new TextEncoder().encode(magic),
    word(version),
    long(parts.tensorCount ?? BigInt(all.length)),
    long(parts.keyCount ?? BigInt(metadata.length)),
  ];
  for (const [key, [type, ...value]] of metadata) pieces.push(...string(key), word(type), ...value);
  let end = 0;
  for (const { name, dimensions, type = 0, offset } of all) {
    pieces.push(...string(name), word(dimensions.length), ...dimensions.map(long), word(type));
    pieces.push(long(offset ?? BigInt(end)));
    end = aligned(end + 4 * Number(dimensions.reduce((product, size) => product * size, 1n)));
  }
  const header = Buffer.concat(pieces);
  const file = new Uint8Array(aligned(header.length) + (parts.dataBytes ?? end));
  file.set(header.subarray(0, file.length));
  return file;
}
