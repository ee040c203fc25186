import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Engine } from '../../client/src/engine/engine.js';
import { createOnnxEngine } from '../../client/src/engine/onnx/engine.js';
import { fixtureFolder, fixtures, modelOf, storedModel } from './engine-fixtures.js';

/** Two orders of the same f32 sums. */
const SAME = 1e-4;

const open: Engine[] = [];
afterAll(() => Promise.all(open.map((engine) => engine.close())));

/** The engine of a fixture, whose model has positions for long texts. */
async function anEngine(name: string, weights: 'merged' | 'dense' | 'nf4', structure: 'whole' | 'blocks' = 'whole') {
  const fixture = fixtures[name];
  const { base: generated, adapter } = modelOf(fixture);
  const model = weights === 'nf4' ? storedModel(join(fixtureFolder, 'tiny')) : generated;
  const base = { ...model, config: { ...model.config, max_position_embeddings: 400 } };
  const quantization = weights === 'nf4' ? 'nf4' : 'none';
  const engine = await createOnnxEngine({
    base,
    lora: fixture.lora,
    quantization,
    threads: 1,
    plan: { weights, structure },
  });
  engine.setAdapter(adapter);
  open.push(engine);
  return engine;
}

const someTokens = (count: number, vocabulary: number, seed = 0): number[] =>
  Array.from({ length: count }, (_, i) => (i * i * 7 + i * 3 + 5 + seed) % vocabulary);

async function uncached(engine: Engine, ids: readonly number[]): Promise<Float32Array> {
  const batch = { examples: 1, length: ids.length, ids: Int32Array.from(ids), answerMask: new Uint8Array(ids.length) };
  return engine.logits(batch, Int32Array.of(ids.length));
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length);
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i])), 0);
}

describe('a continued text has the logits of the same text computed whole', () => {
  it.each([
    ['tiny', 'merged'],
    ['tiny', 'dense'],
    ['tiny', 'nf4'],
    ['mistral', 'merged'],
    ['qwen2', 'merged'],
    ['qwen2', 'dense'],
    ['qwen3', 'merged'],
    ['qwen3', 'dense'],
    ['llama-mha-1-block', 'dense'],
    ['qwen2-window', 'dense'],
    ['gemma2', 'merged'],
    ['gemma3', 'dense'],
  ] as const)('%s, %s weights: after the prompt and after each further token', async (name, weights) => {
    const engine = await anEngine(name, weights);
    const ids = someTokens(20, engine.vocabularySize);
    const text = engine.continuation!();
    let logits = await text.append(ids.slice(0, 9));
    for (let length = 9; ; logits = await text.append([ids[length++]])) {
      expect(largestDifference(logits, await uncached(engine, ids.slice(0, length)))).toBeLessThan(SAME);
      expect(text.length).toBe(length);
      if (length === ids.length) break;
    }
  });

  it('where the prompt is longer than what is computed at a time, and the cache grows', async () => {
    const engine = await anEngine('qwen3', 'merged');
    const ids = someTokens(330, engine.vocabularySize);
    const text = engine.continuation!();
    for (const [begin, end] of [
      [0, 60],
      [60, 70],
      [70, 329],
      [329, 330],
    ]) {
      const logits = await text.append(ids.slice(begin, end));
      expect(largestDifference(logits, await uncached(engine, ids.slice(0, end)))).toBeLessThan(SAME);
    }
  });

  it('where gradients are computed block by block', async () => {
    const engine = await anEngine('tiny', 'dense', 'blocks');
    const ids = someTokens(12, engine.vocabularySize);
    const text = engine.continuation!();
    await text.append(ids.slice(0, 5));
    expect(largestDifference(await text.append(ids.slice(5)), await uncached(engine, ids))).toBeLessThan(SAME);
  });

  it('of two texts at a time, each its own', async () => {
    const engine = await anEngine('qwen2', 'merged');
    const [one, other] = [0, 1].map((seed) => someTokens(8, engine.vocabularySize, seed));
    const [first, second] = [engine.continuation!(), engine.continuation!()];
    await first.append(one.slice(0, 5));
    await second.append(other.slice(0, 4));
    expect(largestDifference(await first.append(one.slice(5)), await uncached(engine, one))).toBeLessThan(SAME);
    expect(largestDifference(await second.append(other.slice(4)), await uncached(engine, other))).toBeLessThan(SAME);
  });
});

describe('a continuation', () => {
  it('refuses no tokens, tokens outside the vocabulary and more than the model has positions for', async () => {
    const engine = await anEngine('qwen2', 'merged');
    const text = engine.continuation!();
    await expect(text.append([])).rejects.toThrow(RangeError);
    await expect(text.append([engine.vocabularySize])).rejects.toThrow('not in the vocabulary');
    await expect(text.append(someTokens(401, 9))).rejects.toThrow('401 tokens');
  });

  it('ends when the adapter is replaced: its cache is of the adapter before', async () => {
    const engine = await anEngine('qwen2', 'merged');
    const text = engine.continuation!();
    await text.append([1, 2]);
    engine.setAdapter(engine.adapter());
    await expect(text.append([3])).rejects.toThrow('adapter was replaced');
  });
});
