/**
 * lora_dropout: which inputs of an A are dropped in a step.
 *
 * Source     Srivastava et al. 2014, and PEFT's `lora_dropout`: each value of the input of A is 0 with probability p, else divided by
 *            1 - p; each layer drops its own; nothing is dropped outside of training.
 * Whether a value is dropped follows from seed, layer, example, position and feature by a hash, not from a generator's state. So
 * forward, a recomputation of it, and another engine drop the same, whatever slice of a batch they compute.
 */

/** What a call of `gradients` drops. */
export interface Dropout {
  /** p, in (0, 1). */
  readonly probability: number;
  /** One for each call; of 32 bits. */
  readonly seed: number;
}

/** The rows that a layer reads, by example of the batch and position in it. */
export interface DropoutRows {
  readonly examples: Int32Array;
  readonly positions: Int32Array;
}

/**
 * Shapes     -> [R, width] 1 where a value is kept, 0 where it is dropped
 *
 * @param layer number of the layer among all linear layers of the model
 */
export function keepMask(
  dropout: Dropout,
  layer: number,
  { examples, positions }: DropoutRows,
  width: number,
): Uint8Array {
  const mask = new Uint8Array(examples.length * width);
  const threshold = Math.round(dropout.probability * 2 ** 32);
  const ofLayer = mixed(mixed(dropout.seed) + layer);
  for (let row = 0; row < examples.length; row++) {
    const ofRow = mixed(mixed(ofLayer + examples[row]) + positions[row]);
    for (let i = 0; i < width; i++) {
      mask[row * width + i] = mixed(ofRow + Math.imul(i, 0x9e3779b9)) >= threshold ? 1 : 0;
    }
  }
  return mask;
}

/** A permutation of 32-bit numbers in which every bit of the input changes about half of those of the result (lowbias32). */
function mixed(value: number): number {
  let x = value >>> 0;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return (x ^ (x >>> 16)) >>> 0;
}

/** The dropout of a call of `gradients`, if the adapter has any. @throws RangeError a seed is missing - our bug */
export function dropoutOf(probability: number | undefined, seed: number | undefined): Dropout | undefined {
  if (probability === undefined || probability === 0) return undefined;
  if (seed === undefined) throw new RangeError(`lora_dropout is ${probability}, and gradients have no dropoutSeed.`);
  return { probability, seed };
}
