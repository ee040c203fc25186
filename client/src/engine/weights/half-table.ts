/**
 * A matrix in 16 bits a value, as its checkpoint has it: the embedding or the head of a large model.
 *
 * Guarantee  What is read from it is exactly what the 16 bits stand for; f32 has every value of both formats.
 * Legend     V = rows, one for each token; D = values of a row.
 */

import { decodeFloatsInto, FedloraError } from '@fedlora/shared';

export type HalfFormat = 'F16' | 'BF16';

const HALF_BYTES = 2;

/** The bits of the exponent: all of them set in infinities and NaN, and in nothing else. */
const exponentBits: Readonly<Record<HalfFormat, number>> = { F16: 0x7c00, BF16: 0x7f80 };

export class HalfTable {
  /**
   * `bytes` [V * D] little-endian, row-major.
   *
   * @throws FedloraError base-model/not-finite: names the tensor and the index of its first such value
   */
  constructor(
    name: string,
    readonly format: HalfFormat,
    readonly width: number,
    private readonly bytes: Uint8Array,
  ) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const exponent = exponentBits[format];
    for (let at = 0; at < bytes.length; at += HALF_BYTES) {
      if ((view.getUint16(at, true) & exponent) !== exponent) continue;
      const index = at / HALF_BYTES;
      throw new FedloraError(
        'base-model/not-finite',
        `Tensor ${name} holds a value that is not finite at index ${index}.`,
        { details: { tensor: name, index } },
      );
    }
  }

  get sizeBytes(): number {
    return this.bytes.length;
  }

  /** Rows [begin, end) as f32 [end - begin, D], at the start of `target`. */
  widenInto(target: Float32Array, begin: number, end: number): void {
    decodeFloatsInto(target, 0, this.#rows(begin, end), this.format);
  }

  /** The rows of some tokens: ids [N] -> [N, D] f32. */
  gather(ids: Int32Array): Float32Array {
    const rows = new Float32Array(ids.length * this.width);
    ids.forEach((id, i) => decodeFloatsInto(rows, i * this.width, this.#rows(id, id + 1), this.format));
    return rows;
  }

  #rows(begin: number, end: number): Uint8Array {
    return this.bytes.subarray(HALF_BYTES * this.width * begin, HALF_BYTES * this.width * end);
  }
}
