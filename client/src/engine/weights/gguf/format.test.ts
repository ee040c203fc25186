import { FedloraError } from '@fedlora/shared';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { aGguf, f32, list, raw, text, u32, u64, type GgufParts } from '../../../../../test/support/a-gguf.js';
import { MAXIMUM_HEADER_BYTES, parseGgufHeader, type GgufHeader } from './format.js';

function parse(parts: GgufParts = {}): GgufHeader {
  const file = aGguf(parts);
  const header = parseGgufHeader(file, file.length);
  if ('needsBytes' in header) throw new Error('a whole file was given');
  return header;
}

const one = (change: object): GgufParts => ({ tensors: [{ name: 'a', dimensions: [32n, 2n], ...change }] });
const huge = 2n ** 60n;

describe('parseGgufHeader', () => {
  it('reads versions 2 and 3, and gives shapes row-major', () => {
    for (const version of [2, 3]) {
      const { tensors } = parse({ version });
      expect(tensors.get('blk.0.ffn_down.weight')?.shape).toEqual([16, 4]);
      const [first, second] = [...tensors.values()];
      expect(first.end - first.begin).toBe(16 * 3 * 4);
      expect([first.begin % 32, second.begin % 32, second.begin >= first.end]).toEqual([0, 0, true]);
    }
  });

  it('follows general.alignment', () => {
    const tensors = [{ name: 'a', dimensions: [1n] }];
    expect(parse({ tensors, metadata: { 'general.alignment': u32(8) } }).tensors.get('a')!.begin % 32).not.toBe(0);
    for (const bad of [u32(0), u32(24), u32(1 << 24), text('32'), f32(Number.NaN)])
      expect(() => parse({ metadata: { 'general.alignment': bad } })).toThrow(/power of two/);
  });

  it('asks for more bytes while the header is not all there, and never for more than the file has', () => {
    const file = aGguf();
    let length = 1;
    for (let asked = 0; ; asked++) {
      const parsed = parseGgufHeader(file.subarray(0, length), file.length);
      if (!('needsBytes' in parsed)) break;
      expect(parsed.needsBytes).toBeGreaterThan(length);
      expect(parsed.needsBytes).toBeLessThanOrEqual(file.length);
      expect(asked).toBeLessThan(1000);
      length = parsed.needsBytes;
    }
    expect(parseGgufHeader(file, file.length)).toHaveProperty('version', 3);
  });

  it('counts long lists without keeping them, and keeps numbers over 2^53 exact', () => {
    const numbers = Array.from({ length: 1025 }, (_, i) => u32(i));
    const { metadata } = parse({
      metadata: { words: list(text('a'), text('☃')), long: list(...numbers), short: list(u32(7)), wide: u64(huge) },
    });
    expect(metadata.get('words')).toEqual({ length: 2 });
    expect(metadata.get('long')).toEqual({ length: 1025 });
    expect(metadata.get('short')).toEqual({ length: 1, numbers: [7] });
    expect(metadata.get('wide')).toBe(huge);
  });

  it.each<[string, GgufParts, RegExp]>([
    ['another file', { magic: 'GGML' }, /does not begin/],
    ['2^60 tensors', { tensorCount: huge }, /tensors are over/],
    ['a tensor more than there is', { tensorCount: 12n, dataBytes: 0 }, /cut short|over the limit/],
    ['2^60 keys', { keyCount: huge }, /keys are over/],
    ['5000 keys', { keyCount: 5000n, dataBytes: 100_000 }, /keys are over/],
    ['a text of 2^60 bytes', { metadata: { a: raw(8, 0, 0, 0, 0, 0, 0, 0, 16) } }, /bytes are over/],
    ['a list of 2^60 bytes', { metadata: { a: raw(9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16) } }, /elements are over/],
    ['a list of 2^31 texts', { metadata: { a: raw(9, 8, 0, 0, 0, 0, 0, 0, 128, 0, 0, 0, 0) } }, /elements are over/],
    ['a list in a list', { metadata: { a: raw(9, 9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0) } }, /list within a list/],
    ['a type of value that is none', { metadata: { a: raw(13, 0) } }, /13 is no type/],
    [
      'a list of a type that is none',
      { metadata: { a: raw(9, 77, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0) } },
      /77 is no type/,
    ],
    ['a truth value of 2', { metadata: { a: raw(7, 2) } }, /truth value/],
    ['a tensor twice', { more: [{ name: 'output_norm.weight', dimensions: [1n] }] }, /occurs twice/],
    ['a name of 65 bytes', one({ name: 'x'.repeat(65) }), /bytes are over/],
    ['no dimensions', one({ dimensions: [] }), /0 dimensions/],
    ['five dimensions', one({ dimensions: [32n, 1n, 1n, 1n, 1n] }), /5 dimensions/],
    ['a dimension of 0', one({ dimensions: [0n] }), /dimension 0/],
    ['a dimension of 2^60', { ...one({ dimensions: [huge] }), dataBytes: 0 }, /dimension 1152921504606846976/],
    ['a shape that overflows', { ...one({ dimensions: [2n ** 32n, 2n ** 32n] }), dataBytes: 0 }, /overflows/],
    ['rows that are no whole blocks', one({ dimensions: [48n], type: 2 }), /no multiple of 32/],
    ['an offset of 2^60', one({ offset: huge }), /begins at/],
    ['an offset past the end', one({ offset: 2n ** 40n }), /cut short/],
    ['an offset off the alignment', one({ offset: 8n }), /not aligned/],
    ['a tensor longer than the file', { ...one({}), dataBytes: 255 }, /cut short/],
  ])('refuses %s', (_, parts, reason) => {
    // The list of 2^60 needs no huge file; limits apply before anything is allocated.
    expect(() => parse(parts)).toThrow(reason);
    expect(() => parse(parts)).toThrow(expect.objectContaining({ code: 'gguf/malformed' }));
  });

  it('refuses tensors that overlap, and a key that occurs twice', () => {
    const tensors = [
      { name: 'a', dimensions: [32n], offset: 0n },
      { name: 'b', dimensions: [32n], offset: 64n },
    ];
    expect(() => parse({ tensors })).toThrow(/"b" overlaps/);
    const twice = Buffer.from(aGguf({ metadata: { 'fixture.first': u32(1), 'fixture.other': u32(1) } }));
    twice.write('fixture.first', twice.indexOf('fixture.other'));
    expect(() => parseGgufHeader(twice, twice.length)).toThrow(/"fixture.first" occurs twice/);
  });

  it.each<[string, GgufParts, RegExp]>([
    ['version 1', { version: 1 }, /version 1; versions 2 and 3/],
    ['a big-endian file', { version: 0x03000000 }, /big-endian/],
    ['Q5_K', one({ type: 13 }), /"a" is of type Q5_K; read are F32, F16/],
    ['an unknown type', one({ type: 4 }), /of type 4/],
  ])('says that %s is not supported', (_, parts, reason) => {
    expect(() => parse(parts)).toThrow(reason);
    expect(() => parse(parts)).toThrow(expect.objectContaining({ code: 'gguf/unsupported' }));
  });

  it('refuses a header over the limit, however large the file says it is', () => {
    const file = aGguf({ metadata: { a: raw(8, 0, 0, 0, 5, 0, 0, 0, 0) } }); // 80 MiB of text
    expect(parseGgufHeader(file, 1e9)).toHaveProperty('needsBytes');
    const longer = aGguf({ metadata: { a: raw(8, 0, 0, 0, 6, 0, 0, 0, 0) } });
    expect(() => parseGgufHeader(longer, 1e9)).toThrow(/over the limit/);
    expect(MAXIMUM_HEADER_BYTES).toBeLessThan(6 << 24);
  });

  it('throws nothing but its own errors, whatever the bytes', () => {
    const file = aGguf({ metadata: { words: list(text('a'), text('b')), numbers: list(u32(1)), wide: u64(huge) } });
    const attempt = (bytes: Uint8Array): void => {
      try {
        parseGgufHeader(bytes, bytes.length);
      } catch (error) {
        if (!(error instanceof FedloraError) || !error.code.startsWith('gguf/')) throw error;
      }
    };
    for (let length = 0; length < file.length; length += length < 1200 ? 1 : 97) attempt(file.slice(0, length));
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(1199), fc.nat(255)), { minLength: 1, maxLength: 6 }),
        (changes: [number, number][]) => {
          const damaged = file.slice();
          for (const [at, mask] of changes) damaged[at] ^= mask;
          attempt(damaged);
        },
      ),
      { numRuns: 3000 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => attempt(Buffer.concat([file.slice(0, 24), bytes]))),
      { numRuns: 1000 },
    );
  });
});
