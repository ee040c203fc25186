/** Reads a message field by field; checks lengths before it allocates; says at which byte a message is wrong (SPEC §2). */

import { ProtocolError } from '../errors.js';

/** A position in a message. Every method moves it past what it returns. */
export class Reader {
  readonly #bytes: Uint8Array;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Bytes read so far. */
  get offset(): number {
    return this.#offset;
  }

  get remaining(): number {
    return this.#bytes.length - this.#offset;
  }

  u8(): number {
    return this.#integer(1);
  }

  u16(): number {
    return this.#integer(2);
  }

  u32(): number {
    return this.#integer(4);
  }

  /**
   * The next `length` bytes, copied, so that changing the message later cannot change what was checked.
   *
   * @throws ProtocolError codec/malformed: the message ends before
   */
  fixed(length: number): Uint8Array {
    // Not `slice`: on a Node `Buffer` that would share memory with the message.
    return new Uint8Array(this.#take(length));
  }

  /**
   * A field that carries its length in a u32 before it, copied.
   *
   * @throws ProtocolError codec/too-long: the length is over `limit`; nothing was allocated
   */
  prefixed(limit: number): Uint8Array {
    const at = this.#offset;
    const length = this.u32();
    if (length > limit) {
      throw new ProtocolError('codec/too-long', `A field of ${length} bytes is over its limit of ${limit}.`, {
        offset: at,
      });
    }
    return this.fixed(length);
  }

  /** A u16 count of entries of `entryBytes` or more each. @throws ProtocolError codec/too-long | codec/malformed */
  count(limit: number, entryBytes: number): number {
    const at = this.#offset;
    const count = this.u16();
    if (count > limit) {
      throw new ProtocolError('codec/too-long', `A list of ${count} entries is over its limit of ${limit}.`, {
        offset: at,
      });
    }
    if (count * entryBytes > this.remaining) {
      throw new ProtocolError('codec/malformed', `The message ends inside a list of ${count} entries.`, { offset: at });
    }
    return count;
  }

  /** Refuses the message, naming the byte at which it is wrong. */
  fail(why: string, offset: number = this.#offset): never {
    throw new ProtocolError('codec/malformed', why, { offset });
  }

  /** Demands that the message ends here. @throws ProtocolError codec/trailing-bytes */
  end(): void {
    if (this.remaining > 0) {
      throw new ProtocolError('codec/trailing-bytes', `The message has ${this.remaining} bytes after its end.`, {
        offset: this.#offset,
      });
    }
  }

  #integer(width: number): number {
    let value = 0;
    for (const byte of this.#take(width)) value = value * 256 + byte;
    return value;
  }

  #take(length: number): Uint8Array {
    if (length > this.remaining) {
      throw new ProtocolError('codec/malformed', `The message ends ${length - this.remaining} bytes too early.`, {
        offset: this.#offset,
      });
    }
    const taken = this.#bytes.subarray(this.#offset, this.#offset + length);
    this.#offset += length;
    return taken;
  }
}
