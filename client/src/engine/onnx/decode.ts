/**
 * Continuing a text: each token is computed once, and later ones read the keys and values that it left (a KV cache).
 *
 * Source     Pope et al. 2022, arXiv:2211.05102, section 2.1.
 * One graph serves the prompt, which is many tokens after few, and each further token, which is one after many.
 * Legend     S  tokens that are new         C  tokens for which there is room in the cache; those not yet filled are masked
 *            Otherwise as in `spec.ts`, with B = 1.
 */

import type { Tensor } from 'onnxruntime-node';
import type { Continuation } from '../engine.js';
import { layerTypeOf, windowOf } from '../weights/architecture.js';
import type { Tokens } from './attention.js';
import { MASKED } from './batch.js';
import { blockForward } from './block.js';
import type { GraphFile } from './graph.js';
import { headLogits } from './head.js';
import { contextOf, embed, typedInputs } from './model.js';
import { turningOf } from './rope.js';
import { Rows } from './rows.js';
import { floats, tensorOf, type Feeds, type TensorMap } from './sessions.js';
import type { GraphSpec } from './spec.js';

/**
 * Inputs     ids [1, S] i32, start [1] i64 (position of the first), `mask` and
 *            `mask.sliding` [S, C + S], and for each block `0.past.keys` and
 *            `0.past.values` [1, K, C, dh]
 * Outputs    logits [1, V] of the last token, and for each block `0.keys` and `0.values` [1, K, S, dh] of the new tokens
 */
export function decodeGraph(spec: GraphSpec): GraphFile {
  const context = contextOf(spec, 'logits');
  const { graph } = context;
  const { num_key_value_heads: K, head_dim: dh, hidden_size: D, num_hidden_layers, vocab_size: V } = spec.config;
  const rows = new Rows(graph, graph.op('Shape', [graph.input('ids', 'int32', [1, 'S'])]));
  const start = graph.input('start', 'int64', [1]);
  const tokensOf = (block: number): Tokens => {
    const { mask, rope } = typedInputs[layerTypeOf(spec.config, block)];
    return {
      rows,
      turning: turningOf(context, start, rope),
      mask: graph.input(mask, 'float32', ['S', 'total']),
      past: (prefix) => ({
        keys: graph.input(`${prefix}past.keys`, 'float32', [1, K, 'C', dh]),
        values: graph.input(`${prefix}past.values`, 'float32', [1, K, 'C', dh]),
      }),
    };
  };
  let x = graph.reshape(embed(context), [-1, D]); // [S, D]
  for (let block = 0; block < num_hidden_layers; block++) {
    const { y, cache } = blockForward(context, `${block}.`, x, tokensOf(block));
    graph.output(`${block}.keys`, cache.attention.k, 'float32', [1, K, 'S', dh]);
    graph.output(`${block}.values`, cache.attention.v, 'float32', [1, K, 'S', dh]);
    x = y;
  }
  const last = graph.op('Gather', [x, graph.integers([-1])], { axis: 0 }); // [1, D]
  graph.output('logits', headLogits(context, last), 'float32', [1, V]);
  return graph.build();
}

/** Runs `decodeGraph` with the weights and adapter, and tables of rotations for `length` positions. */
export type DecodeRun = (feeds: Feeds, length: number) => Promise<TensorMap>;

/** Room of a new cache; it doubles when it is full. */
const FIRST_ROOM = 64;

/** New tokens computed at a time: the scores of a long prompt against itself would be the largest tensor by far. */
const TOKENS_AT_ONCE = 256;

/** A text on the `onnx` engine, with its cache in this process. */
export class OnnxContinuation implements Continuation {
  /** [block] keys and values [K, room, dh] each. */
  #cache: { keys: Float32Array; values: Float32Array }[];
  #room = FIRST_ROOM;
  #length = 0;

  constructor(
    readonly spec: GraphSpec,
    readonly maximumLength: number,
    readonly run: DecodeRun,
  ) {
    const { num_hidden_layers, num_key_value_heads, head_dim } = spec.config;
    const size = num_key_value_heads * FIRST_ROOM * head_dim;
    this.#cache = Array.from({ length: num_hidden_layers }, () => ({
      keys: new Float32Array(size),
      values: new Float32Array(size),
    }));
  }

  get length(): number {
    return this.#length;
  }

  /** @throws RangeError no token, one that is not in the vocabulary, or more than the model has positions for - our bug */
  async append(ids: readonly number[]): Promise<Float32Array> {
    if (ids.length === 0) throw new RangeError('There is no token to append.');
    if (this.#length + ids.length > this.maximumLength)
      throw new RangeError(
        `A text of ${this.#length + ids.length} tokens; the base model takes ${this.maximumLength}.`,
      );
    for (const id of ids) {
      if (!(id >= 0 && id < this.spec.config.vocab_size))
        throw new RangeError(`Token ${id} is not in the vocabulary of ${this.spec.config.vocab_size}.`);
    }
    let logits: Float32Array = new Float32Array(0);
    for (let begin = 0; begin < ids.length; begin += TOKENS_AT_ONCE) {
      logits = await this.#step(Int32Array.from(ids.slice(begin, begin + TOKENS_AT_ONCE)));
    }
    return logits;
  }

  async #step(ids: Int32Array): Promise<Float32Array> {
    const { num_key_value_heads: K, head_dim: dh } = this.spec.config;
    const S = ids.length;
    const feeds = new Map<string, Tensor>([
      ['ids', tensorOf(ids, [1, S])],
      ['start', tensorOf(BigInt64Array.of(BigInt(this.#length)), [1])],
    ]);
    for (const type of new Set(this.#cache.map((_, block) => layerTypeOf(this.spec.config, block)))) {
      const mask = cachedMask(S, this.#length, this.#room, windowOf(this.spec.config, type));
      feeds.set(typedInputs[type].mask, tensorOf(mask, [S, this.#room + S]));
    }
    this.#cache.forEach(({ keys, values }, block) => {
      feeds.set(`${block}.past.keys`, tensorOf(keys, [1, K, this.#room, dh]));
      feeds.set(`${block}.past.values`, tensorOf(values, [1, K, this.#room, dh]));
    });
    const outputs = await this.run(feeds, this.#length + S);
    this.#makeRoom(this.#length + S);
    this.#cache.forEach(({ keys, values }, block) => {
      this.#put(keys, floats(outputs, `${block}.keys`), S);
      this.#put(values, floats(outputs, `${block}.values`), S);
    });
    this.#length += S;
    return floats(outputs, 'logits');
  }

  /** Writes rows [K, S, dh] after those that the cache [K, room, dh] holds. */
  #put(cache: Float32Array, rows: Float32Array, S: number): void {
    const { num_key_value_heads: K, head_dim: dh } = this.spec.config;
    for (let head = 0; head < K; head++) {
      cache.set(rows.subarray(head * S * dh, (head + 1) * S * dh), (head * this.#room + this.#length) * dh);
    }
  }

  #makeRoom(length: number): void {
    if (length <= this.#room) return;
    const { num_key_value_heads: K, head_dim: dh } = this.spec.config;
    const before = this.#room;
    while (this.#room < length) this.#room *= 2;
    const larger = (cache: Float32Array): Float32Array => {
      const moved = new Float32Array(K * this.#room * dh);
      for (let head = 0; head < K; head++) {
        moved.set(cache.subarray(head * before * dh, (head + 1) * before * dh), head * this.#room * dh);
      }
      return moved;
    };
    this.#cache = this.#cache.map(({ keys, values }) => ({ keys: larger(keys), values: larger(values) }));
  }
}

/** [S, room + S] 0 where a new token may look: at the `filled` earlier tokens and at new ones up to itself, as far as `window` goes. */
function cachedMask(S: number, filled: number, room: number, window: number): Float32Array {
  const width = room + S;
  const mask = new Float32Array(S * width);
  for (let row = 0; row < S; row++) {
    const tooFar = Math.max(0, filled + row + 1 - window); // tokens before the window
    mask.fill(MASKED, row * width, row * width + Math.min(filled, tooFar));
    mask.fill(MASKED, row * width + filled, row * width + room + Math.max(0, tooFar - filled));
    mask.fill(MASKED, row * width + room + row + 1, (row + 1) * width);
  }
  return mask;
}
