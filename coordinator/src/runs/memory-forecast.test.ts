import type { Manifest } from '@fedlora/protocol';
import { describe, expect, it } from 'vitest';
import type { BaseShape, MemoryKind } from '@fedlora/shared';
import { aLocalManifest, aManifest } from '../../../test/support/a-manifest.js';
import { memoryForecast } from './memory-forecast.js';

/** Llama 3.2 1B: numbers that are all different, and a model that is held as NF4. */
const SHAPE: BaseShape = {
  hidden_size: 2048,
  intermediate_size: 8192,
  num_hidden_layers: 16,
  num_attention_heads: 32,
  num_key_value_heads: 8,
};
const VOCABULARY = 128_256;
const LINEAR = 16 * (2 * 2048 * 2048 + 2 * 512 * 2048 + 3 * 8192 * 2048);

const { adapter, data, privacy } = aManifest();
const terms = (changes: Partial<Manifest> = {}): Manifest =>
  aManifest({
    adapter: { ...adapter, r: 8, targetModules: ['q_proj', 'k_proj'] },
    data: { ...data, maximumLength: 512 },
    ...changes,
  });
const parts = (shape: BaseShape, manifest = terms()): Partial<Record<MemoryKind, number>> =>
  Object.fromEntries(memoryForecast(shape, manifest).parts.map(({ kind, bytes }) => [kind, bytes]));

describe('the memory that a client needs', () => {
  it('holds the base as NF4: half a byte a value and a scale for each 64, with norms in f32', () => {
    const bytes = parts(SHAPE);
    expect(bytes).toMatchObject({ codes: LINEAR / 2, absmax: (4 * LINEAR) / 64, norms: 4 * 33 * 2048 });
    expect(bytes.weights).toBeUndefined();
    // A [8, 2048] of both, B [2048, 8] and [512, 8].
    expect(bytes.adapter).toBe(4 * 16 * 8 * (2048 + 2048 + 2048 + 512));
  });

  it('adds up what it names', () => {
    const { totalBytes, parts: named } = memoryForecast({ ...SHAPE, vocab_size: VOCABULARY }, terms());
    expect(named.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(totalBytes);
  });

  it('counts embedding, head and logits where the vocabulary is known, and else says that it does not', () => {
    expect(memoryForecast(SHAPE, terms()).countsVocabulary).toBe(false);
    expect(parts(SHAPE).tables).toBeUndefined();
    expect(parts(SHAPE).logits).toBeUndefined();
    const known = { ...SHAPE, vocab_size: VOCABULARY };
    expect(memoryForecast(known, terms()).countsVocabulary).toBe(true);
    // Tables this large stay in 16 bits.
    expect(parts(known).tables).toBe(2 * 2 * VOCABULARY * 2048);
    expect(parts({ ...known, tie_word_embeddings: true }).tables).toBe(2 * VOCABULARY * 2048);
    expect(parts(known).logits).toBeGreaterThan(0);
  });

  it('takes more for longer rows, and less by the most sparing plan', () => {
    const short = memoryForecast(SHAPE, terms());
    const long = memoryForecast(SHAPE, terms({ data: { ...data, maximumLength: 4096 } }));
    expect(short.rowTokens).toBe(512);
    expect(long.totalBytes).toBeGreaterThan(short.totalBytes);
    expect(short.leastBytes).toBeLessThan(short.totalBytes);
  });

  it('counts the optimizer of steps at home, and no gradient of each example where none is clipped', () => {
    const steps = { kind: 'local-steps', steps: 4, batchSize: 4, learningRate: 0.1, maximumGradientNorm: 1 } as const;
    const whole = parts(SHAPE, terms({ privacy: { ...privacy, unit: 'client' }, training: steps }));
    expect(parts(SHAPE).optimizer).toBeUndefined();
    expect(whole.optimizer).toBeGreaterThan(0);
    expect(whole.gradients ?? NaN).toBeLessThan(parts(SHAPE).gradients ?? NaN);
    const atHome = (optimizer: 'sgd' | 'adamw'): number =>
      parts(SHAPE, { ...aLocalManifest({ optimizer }), adapter: terms().adapter }).optimizer ?? NaN;
    expect(atHome('adamw')).toBeGreaterThan(atHome('sgd'));
  });

  it('trains both factors with rule fedavg, which takes more than B alone', () => {
    const both = parts(SHAPE, terms({ adapter: { ...terms().adapter, rule: 'fedavg' } }));
    expect(both.gradients ?? NaN).toBeGreaterThan(parts(SHAPE).gradients ?? NaN);
  });
});
