/** Builds a message: big-endian integers and byte fields, one after the other (SPEC §2). */

import { ProtocolError } from '../errors.js';

/** Collects the fields of a message. Arrays handed in are copied when `finish` is called, so do not change them before. */
export class Writer {
  readonly #parts: Uint8Array[] = [];
  #length = 0;

  u8(value: number): this {
    return this.#integer(value, 1);
  }

  u16(value: number): this {
    return this.#integer(value, 2);
  }

  u32(value: number): this {
    return this.#integer(value, 4);
  }

  /** A field of a length that the format fixes. @throws ProtocolError codec/malformed: it has another length */
  fixed(bytes: Uint8Array, length: number): this {
    if (bytes.length !== length) {
      throw new ProtocolError('codec/malformed', `A field of ${length} bytes was given ${bytes.length}.`);
    }
    return this.raw(bytes);
  }

  /** A field that carries its length in a u32 before it. */
  prefixed(bytes: Uint8Array): this {
    return this.u32(bytes.length).raw(bytes);
  }

  /** Bytes as they are. */
  raw(bytes: Uint8Array): this {
    this.#parts.push(bytes);
    this.#length += bytes.length;
    return this;
  }

  /** The message so far, in one new array. */
  finish(): Uint8Array {
    const message = new Uint8Array(this.#length);
    let offset = 0;
    for (const part of this.#parts) {
      message.set(part, offset);
      offset += part.length;
    }
    return message;
  }

  #integer(value: number, width: number): this {
    if (!Number.isInteger(value) || value < 0 || value >= 2 ** (8 * width)) {
      throw new ProtocolError('codec/malformed', `${value} does not fit an unsigned integer of ${width} bytes.`);
    }
    const bytes = new Uint8Array(width);
    for (let i = width - 1, rest = value; i >= 0; i--, rest = Math.floor(rest / 256)) bytes[i] = rest % 256;
    return this.raw(bytes);
  }
}
