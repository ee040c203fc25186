/**
 * What every engine refuses, in the same words: batches, bounds and adapters that do not fit the base model.
 *
 * Legend     B = examples in a batch, T = tokens after padding, V = vocabulary.
 */

import { FedloraError } from '@fedlora/shared';
import type { AdapterValues, Batch, GradientOptions, LoraModule } from './engine.js';

/** What a base model takes. */
interface ModelLimits {
  readonly vocabularySize: number;
  readonly maximumLength: number;
}

/**
 * Refuses a batch that the base model cannot take. Rows are counted from 0.
 *
 * @throws FedloraError data/too-long: a row is longer than the base model's limit | tokenizer/mismatch: a token id that the base model
 *         does not have | internal/unexpected: arrays of other lengths than B * T
 */
export function checkBatch(batch: Batch, limits: ModelLimits): void {
  const { examples, length, ids, answerMask } = batch;
  const count = examples * length;
  if (ids.length !== count || answerMask.length !== count) {
    throw new FedloraError(
      'internal/unexpected',
      `A batch of ${examples} x ${length} has ${ids.length} ids and a mask of ${answerMask.length}.`,
    );
  }
  if (length > limits.maximumLength) {
    const lengths = Array.from({ length: examples }, (_, row) => usedLength(batch, row));
    const row = lengths.findIndex((used) => used > limits.maximumLength);
    const what = row < 0 ? `Rows are padded to ${length} tokens` : `Row ${row} of the batch has ${lengths[row]} tokens`;
    throw new FedloraError('data/too-long', `${what}; the base model takes ${limits.maximumLength}.`);
  }
  const wrong = ids.findIndex((id) => id < 0 || id >= limits.vocabularySize);
  if (wrong >= 0) {
    const row = Math.floor(wrong / length);
    throw new FedloraError(
      'tokenizer/mismatch',
      `Row ${row} of the batch has token id ${ids[wrong]}; the base model has ids under ${limits.vocabularySize}.`,
    );
  }
}

/** Tokens of a row up to the last that is no padding, which is 0 and no answer. */
function usedLength({ length, ids, answerMask }: Batch, row: number): number {
  let used = length;
  while (used > 0 && ids[row * length + used - 1] === 0 && answerMask[row * length + used - 1] === 0) used--;
  return used;
}

/**
 * Refuses true lengths that are not those of the rows of a batch.
 *
 * @throws FedloraError internal/unexpected
 */
export function checkLengths({ examples, length }: Batch, lengths: Int32Array): void {
  if (lengths.length === examples && lengths.every((own) => own >= 1 && own <= length)) return;
  throw new FedloraError(
    'internal/unexpected',
    `Lengths are ${lengths.join(', ')} for ${examples} rows of ${length} tokens.`,
  );
}

/**
 * Refuses a bound that clips to nothing sensible.
 *
 * @throws FedloraError privacy/invalid-parameter
 */
export function checkBound({ l2Bound }: GradientOptions): void {
  if (l2Bound !== null && !(l2Bound >= 0 && Number.isFinite(l2Bound)))
    throw new FedloraError('privacy/invalid-parameter', `l2Bound is ${l2Bound}, not a finite number of at least 0.`);
}

/**
 * Refuses to train R of an adapter that has none, and anything but R of one that has it: its A and B are frozen.
 *
 * @throws FedloraError internal/unexpected
 */
export function checkTrained({ trained }: GradientOptions, hasR: boolean): void {
  if ((trained === 'R') === hasR) return;
  throw new FedloraError(
    'internal/unexpected',
    `The adapter has ${hasR ? '' : 'no '}factors R, and ${trained} was to be trained.`,
  );
}

/** Whether an adapter has factors R. */
export function hasFactorR({ modules }: { readonly modules: readonly { readonly R?: unknown }[] }): boolean {
  return modules.some(({ R }) => R !== undefined);
}

/**
 * Refuses an adapter of another layout than A [r, in] and B [out, r], and R [r, r] where any module has it, of each module.
 *
 * @throws FedloraError adapter/wrong-shape
 */
export function checkAdapter(values: AdapterValues, modules: readonly LoraModule[], r: number): void {
  if (values.modules.length !== modules.length) {
    throw new FedloraError(
      'adapter/wrong-shape',
      `The adapter has ${values.modules.length} modules; the base model calls for ${modules.length}.`,
    );
  }
  const lengthOfR = hasFactorR(values) ? r * r : 0;
  modules.forEach(({ name, inFeatures, outFeatures }, i) => {
    const { A, B, R } = values.modules[i];
    if ((R?.length ?? 0) !== lengthOfR) {
      throw new FedloraError(
        'adapter/wrong-shape',
        `R of ${name} has ${R?.length ?? 0} values; r = ${r} calls for ${lengthOfR}.`,
      );
    }
    if (A.length === r * inFeatures && B.length === outFeatures * r) return;
    throw new FedloraError(
      'adapter/wrong-shape',
      `A and B of ${name} have ${A.length} and ${B.length} values; r = ${r} calls for ${r * inFeatures} and ${outFeatures * r}.`,
    );
  });
}

/**
 * Refuses a gradient that is not finite.
 *
 * @throws FedloraError engine/diverged
 */
export function checkGradient(gradient: Float32Array | Float64Array): void {
  if (!gradient.every(Number.isFinite)) throw new FedloraError('engine/diverged', 'A gradient is not a finite number.');
}
