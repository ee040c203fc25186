/**
 * JSON with one spelling for each value, so that a hash or signature over it means something.
 *
 * Source     SPEC §20; RFC 8785 (JSON Canonicalization Scheme): keys sorted by UTF-16 code unit, no white space, numbers and strings as
 *            ECMAScript's JSON.stringify prints them, UTF-8.
 * Divergence stricter on input: what JSON.stringify would silently drop or change (undefined, NaN, functions, bigint, dates,
 *            class instances, holes, -0) is refused.
 */

import { ProtocolError } from '../errors.js';
import { utf8 } from './utf8.js';

/** Nesting deeper than this is refused, so that a hostile value cannot exhaust the stack. */
const MAXIMUM_DEPTH = 64;

/**
 * The canonical JSON of a plain value, as UTF-8 bytes.
 *
 * @throws ProtocolError codec/malformed: a value that JSON cannot carry faithfully; the message says where
 */
export function canonicalJson(value: unknown): Uint8Array {
  return utf8(print(value, '$', 0));
}

/**
 * The value of a text that must be its canonical JSON, so that what is hashed and signed is what was sent: no field twice, no white
 * space, no other spelling of a number.
 *
 * Guarantee  `canonicalJson` of the result gives the same text again
 * @throws ProtocolError codec/malformed: no JSON, or another encoding than the canonical one
 */
export function parseCanonicalJson(text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new ProtocolError('codec/malformed', 'The text is not JSON.', {}, { cause });
  }
  if (print(value, '$', 0) !== text)
    throw new ProtocolError('codec/malformed', 'The JSON is not in its canonical form.');
  return value;
}

function print(value: unknown, path: string, depth: number): string {
  if (depth > MAXIMUM_DEPTH) refuse(path, 'is nested too deeply');
  if (value === null) return 'null';
  switch (typeof value) {
    case 'boolean':
      return JSON.stringify(value);
    case 'string':
      return printString(value);
    case 'number':
      if (!Number.isFinite(value) || Object.is(value, -0)) refuse(path, 'is a number without a canonical form');
      return JSON.stringify(value);
    case 'object':
      return Array.isArray(value) ? printArray(value, path, depth) : printObject(value, path, depth);
    default:
      return refuse(path, `is of type ${typeof value}`);
  }
}

/** JSON.stringify would escape half of a surrogate pair; RFC 8785 §3.2.2.2 wants it refused, and `utf8` refuses it. */
function printString(text: string): string {
  utf8(text);
  return JSON.stringify(text);
}

function printArray(items: readonly unknown[], path: string, depth: number): string {
  // Array.from visits holes too, as undefined, which is refused.
  return `[${Array.from(items, (item, i) => print(item, `${path}[${i}]`, depth + 1)).join(',')}]`;
}

function printObject(value: object, path: string, depth: number): string {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) refuse(path, 'is not a plain object');
  const fields = Object.entries(value) as [string, unknown][];
  fields.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)); // < on strings compares UTF-16 code units
  return `{${fields.map(([key, field]) => `${printString(key)}:${print(field, `${path}.${key}`, depth + 1)}`).join(',')}}`;
}

function refuse(path: string, why: string): never {
  throw new ProtocolError('codec/malformed', `Value at ${path} ${why}; it has no canonical JSON.`);
}
