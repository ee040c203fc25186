/**
 * AdamW whose state takes two bytes a parameter: each moment is a code of 8 bits, with one scale for a block of 256.
 *
 * Source     Dettmers et al. 2022, arXiv:2110.02861 (block-wise dynamic quantization); the maps and the block length are those of
 *            bitsandbytes `create_dynamic_map` and its block-wise optimizers.
 * Divergence A second moment that is not 0 never becomes the code of 0: the step divides by its root, and would explode.
 */

import type { AdamWOptions, Optimizer } from './optimizer.js';

/** Parameters that share a scale. */
const BLOCK = 256;

/** Powers of ten that a map covers. */
const DECADES = 7;

/**
 * The 256 numbers that a code may stand for, ascending, in shares of the block's largest.
 *
 * Decade i, from 10^-6 to 1, has 2^i numbers evenly between 0.1 and 1 times itself (twice as many where there is no sign): small
 * values keep few digits, large ones many. 0 and 1 are added; with a sign, so are the negatives of all but these two.
 */
export function dynamicMap(isSigned: boolean): Float32Array {
  const values = [0, 1];
  for (let decade = 0; decade < DECADES; decade++) {
    const count = 2 ** decade * (isSigned ? 1 : 2);
    for (let i = 0; i < count; i++) {
      const value = 10 ** (decade - DECADES + 1) * (0.1 + (0.9 * (i + 0.5)) / count);
      values.push(value);
      if (isSigned) values.push(-value);
    }
  }
  return Float32Array.from(values).sort();
}

/** A vector of codes that are read and written a block at a time. */
class CodedVector {
  readonly codes: Uint8Array;
  readonly scales: Float32Array;
  readonly #middles: Float32Array;

  constructor(
    length: number,
    readonly map: Float32Array,
    readonly keepsNonZero: boolean,
  ) {
    this.codes = new Uint8Array(length).fill(map.indexOf(0));
    this.scales = new Float32Array(Math.ceil(length / BLOCK));
    this.#middles = map.slice(1).map((value, i) => (value + map[i]) / 2);
  }

  /** Writes the values of a block into `values`. */
  read(block: number, values: Float64Array): void {
    const begin = block * BLOCK;
    const end = Math.min(begin + BLOCK, this.codes.length);
    for (let i = begin; i < end; i++) values[i - begin] = this.map[this.codes[i]] * this.scales[block];
  }

  /** Stores `values` as the nearest codes. */
  write(block: number, values: Float64Array): void {
    const begin = block * BLOCK;
    const count = Math.min(BLOCK, this.codes.length - begin);
    let largest = 0;
    for (let i = 0; i < count; i++) largest = Math.max(largest, Math.abs(values[i]));
    this.scales[block] = largest;
    const zero = this.map.indexOf(0);
    for (let i = 0; i < count; i++) {
      const code = largest === 0 ? zero : this.#nearest(values[i] / largest);
      this.codes[begin + i] = this.keepsNonZero && code === zero && values[i] !== 0 ? zero + 1 : code;
    }
  }

  /** By bisection over the middles between neighbours. */
  #nearest(value: number): number {
    let low = 0;
    let high = this.#middles.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (value > this.#middles[middle]) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** As `AdamW`, but for the rounding of its moments between steps. */
export class AdamW8bit implements Optimizer {
  readonly #first: CodedVector;
  readonly #second: CodedVector;
  #steps = 0;

  constructor(
    length: number,
    readonly options: AdamWOptions = {},
  ) {
    this.#first = new CodedVector(length, dynamicMap(true), false);
    this.#second = new CodedVector(length, dynamicMap(false), true);
  }

  /** Bytes held between steps. */
  get stateBytes(): number {
    const bytes = ({ codes, scales }: CodedVector): number => codes.byteLength + scales.byteLength;
    return bytes(this.#first) + bytes(this.#second);
  }

  step(parameters: Float32Array, gradient: Float32Array | Float64Array, learningRate: number): void {
    const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0 } = this.options;
    this.#steps++;
    const firstCorrection = 1 - beta1 ** this.#steps;
    const secondCorrection = 1 - beta2 ** this.#steps;
    const first = new Float64Array(BLOCK);
    const second = new Float64Array(BLOCK);
    for (let block = 0; block * BLOCK < parameters.length; block++) {
      this.#first.read(block, first);
      this.#second.read(block, second);
      const begin = block * BLOCK;
      const count = Math.min(BLOCK, parameters.length - begin);
      for (let i = 0; i < count; i++) {
        const g = gradient[begin + i];
        first[i] = beta1 * first[i] + (1 - beta1) * g;
        second[i] = beta2 * second[i] + (1 - beta2) * g * g;
        const direction = first[i] / firstCorrection / (Math.sqrt(second[i] / secondCorrection) + epsilon);
        parameters[begin + i] = parameters[begin + i] * (1 - learningRate * weightDecay) - learningRate * direction;
      }
      this.#first.write(block, first);
      this.#second.write(block, second);
    }
  }
}
