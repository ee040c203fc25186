/** Hostile bytes made from good ones, and how many of them: few in `npm test`, very many by `npm run test:nightly`. */

import fc from 'fast-check';

/** Cases of each property: `usual`, or what the nightly asks for by FEDLORA_FUZZ_CASES. */
export function cases(usual: number): number {
  return Number(process.env['FEDLORA_FUZZ_CASES'] ?? usual);
}

/** The seed that the nightly made and printed, or one that every run of `npm test` shares. */
export const fuzzSeed: number = Number(process.env['FEDLORA_FUZZ_SEED'] ?? 4);

/** Pieces that turn into large numbers, negative ones, other names and other ends, in binary formats and in JSON. */
const PIECES: readonly Uint8Array[] = [
  ...[0, 1, 127, 128, 255].map((byte) => new Uint8Array(8).fill(byte)),
  Uint8Array.of(0, 0, 0, 0, 1),
  Uint8Array.of(1, 0, 0, 0, 0),
  ...[
    '-1',
    '1e99',
    '-0',
    '0.5',
    '"',
    '\\u0000',
    '}',
    ']',
    '[',
    '{',
    ',',
    ':',
    'null',
    ' ',
    '\n',
    '__proto__',
    '[[[[',
  ].map((text) => new TextEncoder().encode(text)),
];

/** Values that stand in the place of another in JSON. */
const VALUES: readonly ((old: unknown) => unknown)[] = [
  () => null,
  () => [],
  () => ({}),
  () => -1,
  () => 1e300,
  () => '',
  () => true,
  (old) => [old],
  (old) => String(old),
  (old) => ({ length: 1, 0: old }),
  (old) => (typeof old === 'number' ? old + 1 : old),
  (old) => (Array.isArray(old) ? [...(old as unknown[]), ...(old as unknown[])] : old),
];

/**
 * Bytes that a decoder may be given: random ones; the beginning of good ones with random ones after it; good ones that are cut,
 * extended, with bits flipped, or with a piece in the place of another; JSON with a value in the place of another; and good ones.
 */
export function hostile(good: readonly Uint8Array[]): fc.Arbitrary<Uint8Array> {
  return fc
    .tuple(fc.nat(7), fc.nat(good.length - 1), fc.nat(1 << 30), fc.nat(1 << 30), fc.uint8Array({ maxLength: 80 }))
    .map(([kind, which, a, b, noise]) => damaged(good[which], kind, a, b, noise));
}

function damaged(bytes: Uint8Array, kind: number, a: number, b: number, noise: Uint8Array): Uint8Array {
  const at = a % (bytes.length + 1);
  switch (kind) {
    case 0:
      return noise;
    case 1:
      return joined(bytes.subarray(0, at), noise);
    case 2:
      return bytes.slice(0, at);
    case 3:
      return joined(bytes, noise);
    case 4: {
      const bent = bytes.slice();
      for (const bit of [a, b].slice(0, 1 + (noise.length & 1))) {
        if (bent.length > 0) bent[(bit >> 3) % bent.length] ^= 1 << (bit & 7);
      }
      return bent;
    }
    case 5: {
      const piece = PIECES[b % PIECES.length];
      const removed = [0, piece.length, noise.length % 16][b % 3];
      return joined(bytes.subarray(0, at), piece, bytes.subarray(Math.min(at + removed, bytes.length)));
    }
    case 6:
      return otherValue(bytes, a, b) ?? bytes.slice(0, at);
    default:
      return bytes;
  }
}

/** JSON with one of its values replaced; `undefined` where the bytes are none. */
function otherValue(bytes: Uint8Array, a: number, b: number): Uint8Array | undefined {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
  let places = 0;
  const count = (node: unknown): void => {
    places += 1;
    if (typeof node === 'object' && node !== null) Object.values(node).forEach(count);
  };
  count(value);
  let left = a % places;
  const replaced = (node: unknown): unknown => {
    if (left-- === 0) return VALUES[b % VALUES.length](node);
    if (Array.isArray(node)) return (node as unknown[]).map(replaced);
    if (typeof node !== 'object' || node === null) return node;
    return Object.fromEntries(Object.entries(node).map(([key, one]) => [key, replaced(one)]));
  };
  return new TextEncoder().encode(JSON.stringify(replaced(value)));
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}
