/** Continues a text with an engine, token by token. */

import type { RandomSource } from '@fedlora/protocol';
import type { Continuation, Engine } from './engine.js';
import { greedyToken, sampledToken, type SamplingOptions } from './sampling.js';

export interface GenerationOptions {
  readonly maximumTokens: number;
  /** Tokens that end a text; none of them is part of the answer. */
  readonly endIds: ReadonlySet<number>;
  /** Draws tokens with chances from `random`; absent, the likeliest token is taken each time. */
  readonly sampling?: SamplingOptions & { readonly random: RandomSource };
}

/**
 * The tokens that follow `prompt`, one at a time, until one ends the text, the limit is reached or the model has no position left.
 *
 * @param prompt at least one token
 */
export async function* generateTokens(
  engine: Pick<Engine, 'continuation' | 'logits' | 'maximumLength'>,
  prompt: readonly number[],
  { maximumTokens, endIds, sampling }: GenerationOptions,
): AsyncGenerator<number> {
  const text = engine.continuation?.() ?? new RecomputedText(engine);
  let added = prompt;
  for (let count = 0; count < maximumTokens && text.length + added.length <= engine.maximumLength; count++) {
    const logits = await text.append(added);
    const next =
      sampling === undefined ? greedyToken(logits) : sampledToken(logits, sampling, uniform(sampling.random));
    if (endIds.has(next)) return;
    yield next;
    added = [next];
  }
}

/** In [0, 1), with 32 random bits. */
function uniform(random: RandomSource): number {
  const bytes = random(4);
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0, true) / 2 ** 32;
}

/** Padded lengths are multiples of this, so that the engine sees few shapes. */
const PADDED_TO = 16;

/** For engines that keep nothing: computes the whole text for each token. */
class RecomputedText implements Continuation {
  readonly #ids: number[] = [];

  constructor(readonly engine: Pick<Engine, 'logits' | 'maximumLength'>) {}

  get length(): number {
    return this.#ids.length;
  }

  append(ids: readonly number[]): Promise<Float32Array> {
    this.#ids.push(...ids);
    const length = Math.min(Math.ceil(this.#ids.length / PADDED_TO) * PADDED_TO, this.engine.maximumLength);
    const padded = new Int32Array(length); // [1, T]
    padded.set(this.#ids);
    const batch = { examples: 1, length, ids: padded, answerMask: new Uint8Array(length) };
    return this.engine.logits(batch, Int32Array.of(this.#ids.length));
  }
}
