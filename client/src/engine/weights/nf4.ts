/**
 * NF4, the 4-bit format of QLoRA, as bitsandbytes computes and stores it.
 *
 * Source     Dettmers et al. 2023, arXiv:2305.14314 (NF4, double quantization); bitsandbytes `dQuantizeNF4`,
 *            `quantize_blockwise` and `create_dynamic_map` for the thresholds, the order of nibbles and every rounding.
 * It knows nothing of models or files, and takes no part in differential privacy: the base model is public to the run.
 * Checked    against fixtures/stories260K-nf4, which our own earlier implementation wrote; bitsandbytes itself was not run.
 * Legend     N = values, in blocks of `blockSize` over the flattened weight; the last block may be short.
 */

import { FedloraError, NF4_BLOCK } from '@fedlora/shared';

export { NF4_BLOCK };

/** Values of absmax in a block of double quantization. */
export const NESTED_BLOCK = 256;

/** What each code stands for, relative to its block's absmax: quantiles of the normal distribution, with an exact 0. */
export const nf4Codebook = Float32Array.of(
  -1,
  -0.6961928009986877,
  -0.5250730514526367,
  -0.39491748809814453,
  -0.28444138169288635,
  -0.18477343022823334,
  -0.09105003625154495,
  0,
  0.07958029955625534,
  0.16093020141124725,
  0.24611230194568634,
  0.33791524171829224,
  0.44070982933044434,
  0.5626170039176941,
  0.7229568362236023,
  1,
);

/** A value over the i-th threshold has a code over i. Close to the midpoints, but bitsandbytes' constants are what counts. */
export const nf4Thresholds: Float32Array = Float32Array.of(
  -0.8480964004993439,
  -0.6106329262256622,
  -0.4599952697753906,
  -0.33967943489551544,
  -0.23460740596055984,
  -0.13791173323988914,
  -0.045525018125772476,
  0.03979014977812767,
  0.1202552504837513,
  0.2035212516784668,
  0.2920137718319893,
  0.3893125355243683,
  0.5016634166240692,
  0.6427869200706482,
  0.8614784181118011,
);

/** A quantized weight. */
export interface Nf4Values {
  /** [ceil(N / 2)] two codes a byte, the first of a pair in the high nibble; a missing last one is the code of 0. */
  readonly codes: Uint8Array;
  /** [ceil(N / blockSize)] largest magnitude of each block. */
  readonly absmax: Float32Array;
}

/**
 * Quantizes a weight to NF4.
 *
 * Shapes     values [N] f32, row-major -> codes [ceil(N/2)] u8, absmax [ceil(N/64)] f32
 * Guarantee  codes and absmax are byte for byte those of bitsandbytes' CUDA kernel: each value times the rounded reciprocal of
 *            absmax, in f32, then its decision thresholds. Quantizing the dequantized weight again gives the same bytes.
 * Edge cases a block of zeros -> absmax 0, codes of 0 | NaN or infinity -> refused | absmax so small that its reciprocal
 *            overflows -> divided instead | N odd -> the last low nibble is the code of 0
 * Divergence bitsandbytes gives a block of zeros code 0 (its 0 * infinity is NaN), which stands for -absmax: harmless while
 *            absmax is 0, wrong once double quantization has made it something else.
 * Cost       two passes over N, about 5 ns a value
 * @throws FedloraError base-model/not-finite
 */
export function quantizeNf4(values: Float32Array, blockSize: number = NF4_BLOCK): Nf4Values {
  const codes = new Uint8Array(Math.ceil(values.length / 2));
  const absmax = new Float32Array(Math.ceil(values.length / blockSize));
  const block = quantizeInto(values, blockSize, codes, absmax);
  if (block >= 0) throw new FedloraError('base-model/not-finite', undefined, { details: { block } });
  return { codes, absmax };
}

/** Fills codes and absmax, which must hold zeros; returns the first block with a value that is not finite, or -1. */
export type Nf4Kernel = (values: Float32Array, blockSize: number, codes: Uint8Array, absmax: Float32Array) => number;

/**
 * Makes the function that quantizes.
 *
 * It refers to nothing outside itself but its argument and the language, because threads are given its source text (nf4-threads.ts):
 * so there is one definition of the format, and no second file that a build could leave out. A test runs it from its text.
 */
export function nf4Kernel(decisions: Float32Array): Nf4Kernel {
  // The search tree as a table: [-1, 1] in bins so narrow that none holds two thresholds, for each bin the code at its lower edge
  // and the one threshold that may still be in it. One addition and one comparison then replace four unpredictable branches.
  const BINS_PER_UNIT = 32;
  const ZERO = 7;
  const binCode = new Uint8Array(2 * BINS_PER_UNIT + 2);
  const binThreshold = new Float32Array(2 * BINS_PER_UNIT + 2);
  for (let bin = 0; bin < binCode.length; bin++) {
    const lower = bin / BINS_PER_UNIT - 1;
    const code = decisions.findIndex((threshold) => threshold >= lower);
    binCode[bin] = code < 0 ? 15 : code;
    binThreshold[bin] = code < 0 ? Infinity : decisions[code];
  }

  function codeOf(relative: number): number {
    const bin = ((relative + 1) * BINS_PER_UNIT) | 0;
    return binCode[bin] + (relative > binThreshold[bin] ? 1 : 0);
  }

  /** Adds the codes of `values[begin, end)` to bytes whose nibbles are still 0 there. */
  function quantizeBlock(values: Float32Array, begin: number, end: number, largest: number, codes: Uint8Array): void {
    const reciprocal = Math.fround(1 / largest);
    // 0 for absmax: any finite reciprocal maps 0 to 0.
    const factor = largest === 0 ? 1 : reciprocal;
    let i = begin;
    if (factor === Infinity || (begin & 1) === 1) {
      for (; i < end; i++) {
        const code = codeOf(Math.fround(factor === Infinity ? values[i] / largest : values[i] * factor));
        codes[i >> 1] |= (i & 1) === 0 ? code << 4 : code;
      }
      return;
    }
    for (; i + 1 < end; i += 2) {
      const first = Math.fround(values[i] * factor);
      const second = Math.fround(values[i + 1] * factor);
      const firstBin = ((first + 1) * BINS_PER_UNIT) | 0;
      const secondBin = ((second + 1) * BINS_PER_UNIT) | 0;
      const high = binCode[firstBin] + (first > binThreshold[firstBin] ? 1 : 0);
      const low = binCode[secondBin] + (second > binThreshold[secondBin] ? 1 : 0);
      codes[i >> 1] = (high << 4) | low;
    }
    if (i < end) codes[i >> 1] |= codeOf(Math.fround(values[i] * factor)) << 4;
  }

  return (values, blockSize, codes, absmax) => {
    const count = values.length;
    if (count % 2 === 1) codes[codes.length - 1] = ZERO;
    for (let block = 0, begin = 0; begin < count; block++, begin += blockSize) {
      const end = Math.min(begin + blockSize, count);
      let largest = 0;
      let poison = 0; // becomes NaN with the first value that is not finite
      for (let i = begin; i < end; i++) {
        const magnitude = Math.abs(values[i]);
        poison += magnitude * 0;
        if (magnitude > largest) largest = magnitude;
      }
      if (poison !== 0) return block;
      absmax[block] = largest;
      quantizeBlock(values, begin, end, largest, codes);
    }
    return -1;
  };
}

const quantizeInto = nf4Kernel(nf4Thresholds);

/**
 * The values themselves, which must all be finite.
 *
 * @throws FedloraError base-model/not-finite: names the tensor and the index of its first such value
 */
export function requireFinite(name: string, values: Float32Array): Float32Array {
  let poison = 0; // becomes NaN with the first value that is not finite
  for (let i = 0; i < values.length; i++) poison += values[i] * 0;
  if (poison === 0) return values;
  const index = values.findIndex((value) => !Number.isFinite(value));
  throw new FedloraError('base-model/not-finite', `Tensor ${name} holds ${values[index]} at index ${index}.`, {
    details: { tensor: name, index },
  });
}

/**
 * The weight that the codes stand for, rounded as a product of two f32.
 *
 * Shapes     codes [ceil(N/2)] u8, absmax [ceil(N/64)] f32 -> [N] f32
 */
export function dequantizeNf4(quantized: Nf4Values, count: number, blockSize: number = NF4_BLOCK): Float32Array {
  const { codes, absmax } = quantized;
  const values = new Float32Array(count);
  for (let block = 0, begin = 0; begin < count; block++, begin += blockSize) {
    const end = Math.min(begin + blockSize, count);
    const largest = absmax[block];
    for (let i = begin; i < end; i++) {
      const byte = codes[i >> 1];
      // The f64 product of two f32 is exact; storing it rounds once.
      values[i] = nf4Codebook[(i & 1) === 0 ? byte >> 4 : byte & 15] * largest;
    }
  }
  return values;
}

/** absmax in 8 bits: what bitsandbytes stores with `bnb_4bit_use_double_quant`. */
export interface NestedAbsmax {
  /** [blocks] one code for each absmax. */
  readonly codes: Uint8Array;
  /** [ceil(blocks / 256)] largest magnitude of each block of (absmax - offset). */
  readonly absmax: Float32Array;
  /** Mean of absmax, f32. */
  readonly offset: number;
}

/**
 * Quantizes the absmax values themselves to 8 bits.
 *
 * Guarantee  for the same offset and map, byte for byte bitsandbytes' result.
 * Divergence torch sums the mean in an order of its own, so that its offset may differ in the last bit; ours is the f64 mean,
 *            rounded once.
 */
export function quantizeAbsmax(absmax: Float32Array, offset: number = meanOf(absmax)): NestedAbsmax {
  const codes = new Uint8Array(absmax.length);
  const nested = new Float32Array(Math.ceil(absmax.length / NESTED_BLOCK));
  for (let block = 0, begin = 0; begin < absmax.length; block++, begin += NESTED_BLOCK) {
    const centred = absmax.slice(begin, begin + NESTED_BLOCK).map((value) => value - offset);
    const largest = centred.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    nested[block] = largest;
    const reciprocal = Math.fround(1 / largest);
    centred.forEach(
      (value, i) => (codes[begin + i] = dynamicCodeOf(largest === 0 ? 0 : Math.fround(value * reciprocal))),
    );
  }
  return { codes, absmax: nested, offset };
}

/** The absmax values that nested codes stand for. `map` is what the checkpoint stores; bitsandbytes' own by default. */
export function dequantizeAbsmax(
  nested: NestedAbsmax,
  map: Float32Array = dynamicMap,
  blockSize: number = NESTED_BLOCK,
): Float32Array {
  const absmax = new Float32Array(nested.codes.length);
  const offset = Math.fround(nested.offset);
  for (let i = 0; i < absmax.length; i++) {
    const centred = Math.fround(map[nested.codes[i]] * nested.absmax[Math.floor(i / blockSize)]);
    absmax[i] = centred + offset;
  }
  return absmax;
}

function meanOf(values: Float32Array): number {
  return values.length === 0 ? 0 : Math.fround(values.reduce((sum, value) => sum + value, 0) / values.length);
}

/**
 * The signed dynamic 8-bit map: seven decades, each with twice as many steps as the one below, then 0 and 1.
 *
 * Divergence torch computes it in f32, so that some of its values may differ from these in the last bit. That matters to nobody:
 *            a checkpoint carries its own map, which is the one to decode it with.
 */
export const dynamicMap: Float32Array = makeDynamicMap();

function makeDynamicMap(): Float32Array {
  const map = [0, 1];
  for (let decade = 0; decade < 7; decade++) {
    const steps = 2 ** decade;
    const edge = (i: number): number => (i === steps ? 1 : 0.1 + i * (0.9 / steps));
    for (let i = 0; i < steps; i++) {
      const value = 10 ** (decade - 6) * ((edge(i) + edge(i + 1)) / 2);
      map.push(value, -value);
    }
  }
  return Float32Array.from(map).sort();
}

/** bitsandbytes' `dQuantize`: a binary search, then the nearer of the two neighbours, in f32 with its rule for ties. */
function dynamicCodeOf(relative: number): number {
  let pivot = 127;
  let lower = 0;
  let upper = 255;
  for (let step = 64; step > 0; step >>= 1) {
    if (relative > dynamicMap[pivot]) {
      lower = pivot;
      pivot += step;
    } else {
      upper = pivot;
      pivot -= step;
    }
  }
  const value = dynamicMap[pivot];
  if (relative > value) {
    const midpoint = Math.fround(Math.fround(dynamicMap[upper] + value) * 0.5);
    return relative > midpoint ? upper : pivot;
  }
  const midpoint = Math.fround(Math.fround(dynamicMap[lower] + value) * 0.5);
  return relative < midpoint ? lower : pivot;
}
