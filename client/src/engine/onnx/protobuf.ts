/**
 * Writes protocol buffer messages, as far as ONNX files need them.
 *
 * Source     Protocol Buffers encoding: a field is a varint of (number * 8 + wire type), then its value; wire types 0 (varint),
 *            2 (bytes after their length) and 5 (32 bits, little-endian).
 * It reads nothing, knows no schema and has no other types: graphs are made here and never parsed here.
 */

const encoder = new TextEncoder();

const INITIAL_CAPACITY = 256;

/** A message that grows as fields are appended. */
export class ProtobufMessage {
  #bytes = new Uint8Array(INITIAL_CAPACITY);
  #length = 0;

  /** Appends a whole number; negative ones as the 64-bit two's complement, as int64 fields have it. */
  integer(field: number, value: number): this {
    this.#varint(field * 8);
    if (value >= 0) this.#varint(value);
    else this.#bigVarint(BigInt.asUintN(64, BigInt(value)));
    return this;
  }

  float(field: number, value: number): this {
    this.#varint(field * 8 + 5);
    this.#reserve(4);
    new DataView(this.#bytes.buffer).setFloat32(this.#length, value, true);
    this.#length += 4;
    return this;
  }

  bytes(field: number, value: Uint8Array): this {
    this.#varint(field * 8 + 2);
    this.#varint(value.length);
    this.#reserve(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
    return this;
  }

  text(field: number, value: string): this {
    return this.bytes(field, encoder.encode(value));
  }

  message(field: number, value: ProtobufMessage): this {
    return this.bytes(field, value.finish());
  }

  /** The message's bytes; a view that the next field invalidates. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  #varint(value: number): void {
    this.#reserve(10);
    while (value > 127) {
      this.#bytes[this.#length++] = (value % 128) | 128;
      value = Math.floor(value / 128);
    }
    this.#bytes[this.#length++] = value;
  }

  #bigVarint(value: bigint): void {
    this.#reserve(10);
    while (value > 127n) {
      this.#bytes[this.#length++] = Number(value & 127n) | 128;
      value >>= 7n;
    }
    this.#bytes[this.#length++] = Number(value);
  }

  #reserve(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }
}
