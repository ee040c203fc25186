/** Bytes that need not be in memory: the dealt shares of a thousand participants are read a few hundred bytes at a time. */

/** A `Uint8Array`, or what reads parts of bytes that lie elsewhere and do not change. */
export interface StoredBytes {
  readonly length: number;
  /** The bytes from `begin` to before `end`, 0 <= begin <= end; what lies beyond the length is left out. The caller does not change them. */
  subarray(begin: number, end: number): Uint8Array;
}

/** All of the bytes. Of a `Uint8Array` that is the array itself. */
export function bytesOf(stored: StoredBytes): Uint8Array {
  return stored instanceof Uint8Array ? stored : stored.subarray(0, stored.length);
}
