/** One file of `protocol/vectors`: known answers of one family, with where they are specified and what made them. */

import { toHex } from '../../protocol/src/bytes/hex.js';

export interface VectorFile {
  /** File name without `.json`. */
  readonly family: string;
  /** What the members mean, for whoever writes another implementation. Bytes are lower-case hex. */
  readonly description: string;
  /** Sections of SPEC.md that the answers hold. */
  readonly spec: string;
  /** The program in this folder that made it. */
  readonly program: string;
  readonly content: Readonly<Record<string, unknown>>;
}

/** The text of the file. The same vectors give the same bytes. */
export function textOf({ description, spec, program, content }: VectorFile): string {
  const madeBy = `test/vectors/${program} (npm run vectors)`;
  return `${JSON.stringify({ description, spec, madeBy, ...content }, null, 1)}\n`;
}

/** `count` bytes that count up from `first`: secrets that nobody mistakes for real ones. */
export function counting(first: number, count = 32): Uint8Array {
  return Uint8Array.from({ length: count }, (_, i) => (first + i) & 255);
}

/** Bytes in a value as hex, at any depth. */
export function inHex(value: unknown): unknown {
  if (value instanceof Uint8Array) return toHex(value);
  if (Array.isArray(value)) return value.map(inHex);
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, inHex(field)]));
  }
  return value;
}
