import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FedloraError } from '../errors/fedlora-error.js';
import {
  decodeFloats,
  encodeFloats,
  MAXIMUM_HEADER_BYTES,
  readSafetensors,
  safetensorsHeaderLength,
  writeEncodedSafetensors,
  writeSafetensors,
} from './safetensors.js';

const fixtures = resolve(import.meta.dirname, '../../../../shared/fixtures');
const absent = !existsSync(fixtures);

/** A file with this JSON header and this many data bytes. */
function aFile(header: string, dataBytes = 0): Uint8Array {
  const json = Buffer.from(header);
  const file = Buffer.alloc(8 + json.length + dataBytes);
  file.writeBigUInt64LE(BigInt(json.length));
  json.copy(file, 8);
  return new Uint8Array(file);
}

/** The error that reading a file ends with. */
function refusal(file: Uint8Array): FedloraError {
  try {
    readSafetensors(file);
  } catch (error) {
    if (error instanceof FedloraError) return error;
    throw error;
  }
  throw new Error('The file was accepted.');
}

describe.skipIf(absent)('readSafetensors on ../shared/fixtures', () => {
  const edges = absent ? [] : readdirSync(resolve(fixtures, 'safetensors-edge'));

  it.each(edges.filter((name) => name.startsWith('ok-')))('accepts %s', (name) => {
    const { header } = readSafetensors(readFileSync(resolve(fixtures, 'safetensors-edge', name)));
    expect(header.dataStart).toBeGreaterThan(8);
  });

  const reasons: Record<string, RegExp> = {
    'bad-begin-after-end': /begins after its end/,
    'bad-duplicate-key': /"a" occurs twice/,
    'bad-empty-file': /is empty/,
    'bad-header-length-huge': /the limit is/,
    'bad-header-over-100MB': /the limit is/,
    'bad-header-past-eof': /but only \d+ follow/,
    'bad-hole': /hole before tensor "b"/,
    'bad-metadata-nonstring': /string is missing/,
    'bad-negative-offset': /whole number/,
    'bad-not-json': /`\{` is missing/,
    'bad-not-utf8': /not UTF-8/,
    'bad-overlap': /"b" overlaps/,
    'bad-proto-key': /"__proto__" is not accepted/,
    'bad-shape-overflow': /overflows/,
    'bad-size-mismatch': /has \d+ bytes; its shape and F32 need/,
    'bad-starts-not-brace': /does not start with/,
    'bad-too-short': /fewer than/,
    'bad-trailing-bytes': /bytes follow the last tensor|its shape/,
    'bad-truncated-data': /cut short/,
    'bad-unknown-dtype': /"Q9" is not known/,
  };
  it.each(edges.filter((name) => name.startsWith('bad-')))('refuses %s and says why', (name) => {
    const error = refusal(readFileSync(resolve(fixtures, 'safetensors-edge', name)));
    expect(error.code).toBe('safetensors/malformed');
    expect(error.message).toMatch(reasons[name.replace('.safetensors', '')] ?? /^$/);
  });

  it('sees all 25 files', () => {
    expect(edges).toHaveLength(25);
  });

  it.each(
    absent ? [] : readdirSync(resolve(fixtures, 'safetensors-samples')).filter((name) => name.endsWith('.safetensors')),
  )('accepts the sample %s', (name) => {
    const file = readSafetensors(readFileSync(resolve(fixtures, 'safetensors-samples', name)));
    for (const entry of file.header.tensors.values())
      expect(file.bytesOf(entry.name)).toHaveLength(entry.end - entry.begin);
  });

  it('reads the values of the samples in every float format', () => {
    const file = readSafetensors(readFileSync(resolve(fixtures, 'safetensors-samples/overall.safetensors')));
    for (const name of ['d', 'e', 'f']) {
      const values = decodeFloats(file.bytesOf(name)!, file.header.tensors.get(name)!.dtype);
      expect(values[0]).toBe(-3);
      expect(values).toHaveLength(6);
    }
  });

  it('tells a Git LFS pointer from a broken file', () => {
    const error = refusal(readFileSync(resolve(fixtures, 'lfs-pointer-not-safetensors/adapter_model.safetensors')));
    expect(error.code).toBe('safetensors/git-lfs-pointer');
  });
});

describe('readSafetensors', () => {
  it('keeps what two tensors of one buffer hold apart, wherever the buffer begins', () => {
    const file = writeSafetensors([
      { name: 'b', shape: [2], values: Float32Array.of(3, 4) },
      { name: 'a', shape: [1, 2], values: Float32Array.of(1, 2) },
    ]);
    const shifted = new Uint8Array(file.length + 3).subarray(3);
    shifted.set(file);
    const { bytesOf } = readSafetensors(shifted);
    expect([...decodeFloats(bytesOf('a')!, 'F32')]).toEqual([1, 2]);
    expect([...decodeFloats(bytesOf('b')!, 'F32')]).toEqual([3, 4]);
    expect(bytesOf('__proto__')).toBeUndefined();
  });

  it('refuses every truncation of a good file', () => {
    const file = writeSafetensors([{ name: 'a', shape: [3], values: Float32Array.of(1, 2, 3) }]);
    for (let length = 0; length < file.length; length++)
      expect(refusal(file.subarray(0, length)).code).toBe('safetensors/malformed');
  });

  it.each([
    ['{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"note":1}}', 1, /"note"/],
    ['{"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1, /twice/],
    ['{"a":{"dtype":"U8","shape":[01],"data_offsets":[0,1]}}', 1, /whole number/],
    ['{"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}}', 1, /whole number/],
    ['{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,1]}}', 1, /more than 2/],
    ['{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,9007199254740993]}}', 1, /whole number/],
    ['{"a":{"dtype":"toString","shape":[1],"data_offsets":[0,1]}}', 1, /not known/],
    ['{"a":{"shape":[1],"data_offsets":[0,1]}}', 1, /lacks/],
    ['{"a":{"dtype":"F4","shape":[1],"data_offsets":[0,1]}}', 1, /need 0.5/],
    ['{"\\ud83d\\q":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1, /malformed/],
    ['{}x', 0, /Text follows/],
    ['{"__metadata__":{"a":"1","a":"2"}}', 0, /occurs twice/],
    ['{"a', 0, /malformed/],
  ])('refuses the header %s', (header, dataBytes, reason) => {
    expect(refusal(aFile(header, dataBytes)).message).toMatch(reason);
  });

  it('ends with one of our errors, or a header that covers the file, whatever byte is changed', () => {
    const file = writeSafetensors([
      { name: 'a', shape: [2, 1], values: Float32Array.of(1, 2) },
      { name: 'b', shape: [], values: Float32Array.of(3) },
    ]);
    for (let at = 0; at < file.length; at++) {
      for (const change of [1, 2, 8, 0x20, 0x80]) {
        const spoilt = Uint8Array.from(file);
        spoilt[at] ^= change;
        try {
          const { tensors, dataStart } = readSafetensors(spoilt).header;
          expect([...tensors.values()].reduce((sum, { begin, end }) => sum + end - begin, dataStart)).toBe(file.length);
        } catch (error) {
          expect(error).toBeInstanceOf(FedloraError);
        }
      }
    }
  });

  it('reads names beyond ASCII', () => {
    const { header } = readSafetensors(aFile('{"gewïcht😀\\u00e9":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}', 1));
    expect([...header.tensors.keys()]).toEqual(['gewïcht😀é']);
  });
});

describe('safetensorsHeaderLength', () => {
  it('refuses a header over the limit before anything of that length is read', () => {
    const prefix = Uint8Array.of(1, 225, 245, 5, 0, 0, 0, 0); // 100,000,001
    expect(() => safetensorsHeaderLength(prefix, 2 ** 40)).toThrow(`the limit is ${MAXIMUM_HEADER_BYTES}`);
  });
});

describe('writeSafetensors', () => {
  it('writes the same bytes in whatever order tensors come, aligned to 8', () => {
    const a = { name: 'ä', shape: [2], values: Float32Array.of(1, -2) };
    const b = { name: 'b', shape: [], values: Float32Array.of(7) };
    const file = writeSafetensors([a, b]);
    expect(writeSafetensors([b, a])).toEqual(file);
    const { header } = readSafetensors(file);
    expect(header.dataStart % 8).toBe(0);
    expect(header.metadata.get('format')).toBe('pt');
    expect([...header.tensors.keys()]).toEqual(['b', 'ä']);
  });

  it('writes the same of tensors that are encoded already, and refuses bytes that do not fill their shape', () => {
    const values = Float32Array.of(1, -2, 0.5);
    const bytes = encodeFloats(values, 'BF16');
    const file = writeEncodedSafetensors([{ name: 'a', shape: [3], bytes }], 'BF16', { format: 'pt' });
    expect(file).toEqual(writeSafetensors([{ name: 'a', shape: [3], values }], { dtype: 'BF16' }));
    expect(() => writeEncodedSafetensors([{ name: 'a', shape: [3], bytes }], 'F32', {})).toThrow(
      /6 bytes for its shape/,
    );
  });

  it('refuses a name twice, a reserved name and values that do not fill their shape', () => {
    const a = { name: 'a', shape: [1], values: Float32Array.of(1) };
    expect(() => writeSafetensors([a, a])).toThrow(FedloraError);
    expect(() => writeSafetensors([{ ...a, name: '__metadata__' }])).toThrow(FedloraError);
    expect(() => writeSafetensors([{ ...a, shape: [2] }])).toThrow(FedloraError);
  });
});

describe('decodeFloats and encodeFloats', () => {
  it('return every half and every bfloat unchanged', () => {
    const words = new Uint8Array(Uint16Array.from({ length: 65536 }, (_, i) => i).buffer);
    for (const dtype of ['F16', 'BF16'] as const) {
      const values = decodeFloats(words, dtype);
      const back = new Uint16Array(encodeFloats(values, dtype).buffer);
      for (let word = 0; word < 65536; word++) {
        if (Number.isNaN(values[word]))
          expect(Number.isNaN(decodeFloats(encodeFloats(values.subarray(word, word + 1), dtype), dtype)[0])).toBe(true);
        else if (back[word] !== word) expect(back[word]).toBe(word);
      }
    }
  });

  it.each([
    // value, half, bfloat
    [1.5, 0x3e00, 0x3fc0],
    [65504, 0x7bff, 0x4780],
    [65519.996, 0x7bff, 0x4780],
    [65520, 0x7c00, 0x4780],
    [-1e9, 0xfc00, 0xce6e],
    [2 ** -24, 0x0001, 0x3380],
    [2 ** -25, 0x0000, 0x3300], // half of the least half: to even
    [1.5 * 2 ** -24, 0x0002, 0x33c0], // one and a half: to even
    [1 + 2 ** -11, 0x3c00, 0x3f80], // tie to even, down
    [1 + 3 * 2 ** -11, 0x3c02, 0x3f80], // tie to even, up
    [-0, 0x8000, 0x8000],
    [3.4e38, 0x7c00, 0x7f80], // f32's top rounds up to infinity in both
  ])('round %d to nearest, ties to even', (value, half, bfloat) => {
    expect(new Uint16Array(encodeFloats(Float32Array.of(value), 'F16').buffer)[0]).toBe(half);
    expect(new Uint16Array(encodeFloats(Float32Array.of(value), 'BF16').buffer)[0]).toBe(bfloat);
  });
});
