import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { mergeAdapters, readLora, type LoraAdapter, type MergeMethod, type WeightedAdapter } from './merge.js';
import { adapterConfigJson, encodeAdapter, parseAdapterConfig, type AdapterConfig } from './peft.js';

const fixtures = resolve(import.meta.dirname, '../../../test/fixtures/merge');
/** PEFT computes in f32: sums of at most 16 terms of size 1. */
const F32_SUM = 2e-6;

interface Recorded {
  readonly name: string;
  readonly method: MergeMethod;
  readonly adapters: readonly string[];
  readonly weights: readonly number[];
  readonly rank?: number;
}
const { merges } = JSON.parse(readFileSync(join(fixtures, 'fixtures.json'), 'utf8')) as {
  readonly merges: readonly Recorded[];
};

function load(folder: string): LoraAdapter {
  const config = parseAdapterConfig(readFileSync(join(fixtures, folder, 'adapter_config.json'), 'utf8'));
  return readLora(config, readFileSync(join(fixtures, folder, 'adapter_model.safetensors')));
}

const adapter = (name: string, weight = 1): WeightedAdapter => ({ adapter: load(`adapters/${name}`), weight });

/** B A of each layer, row-major. */
function products({ config: { r }, modules, tensors }: LoraAdapter): Map<string, number[]> {
  return new Map(
    modules.map(({ name, inFeatures, outFeatures }, i) => {
      const { A, B } = tensors.modules[i];
      const product = Array.from({ length: outFeatures * inFeatures }, (_, at) => {
        const [row, column] = [Math.floor(at / inFeatures), at % inFeatures];
        let sum = 0;
        for (let k = 0; k < r; k++) sum += B[row * r + k] * A[k * inFeatures + column];
        return sum;
      });
      return [name, product];
    }),
  );
}

function largestDifference(left: ArrayLike<number>, right: ArrayLike<number>): number {
  expect(left.length).toBe(right.length);
  return Array.from(left).reduce((largest, value, i) => Math.max(largest, Math.abs(value - right[i])), 0);
}

const asParts = ({ adapters, weights }: Recorded): WeightedAdapter[] =>
  adapters.map((name, i) => adapter(name, weights[i]));

describe('mergeAdapters', () => {
  it.each(merges)('$name gives what PEFT gives', async (recorded) => {
    const expected = load(`merged/${recorded.name}`);
    const merged = await mergeAdapters(asParts(recorded), recorded);
    expect(merged.modules).toEqual(expected.modules);
    expect(merged.config.r).toBe(expected.config.r);
    expect(merged.config.lora_alpha).toBe(expected.config.lora_alpha);
    expect(merged.config.target_modules).toEqual(expected.config.target_modules);
    if (recorded.method !== 'svd')
      merged.tensors.modules.forEach(({ A, B }, i) => {
        expect(largestDifference(A, expected.tensors.modules[i].A)).toBeLessThan(F32_SUM);
        expect(largestDifference(B, expected.tensors.modules[i].B)).toBeLessThan(F32_SUM);
      });
    // Singular vectors have no sign of their own: their products have.
    for (const [name, product] of products(expected))
      expect(largestDifference(products(merged).get(name) ?? [], product)).toBeLessThan(F32_SUM);
  });

  it('keeps what is saved and read again, as any reader of PEFT folders does', async () => {
    const merged = await mergeAdapters([adapter('one'), adapter('three')], { method: 'cat' });
    const config = parseAdapterConfig(adapterConfigJson(merged.config));
    expect(readLora(config, encodeAdapter(merged.modules, config.r, merged.tensors))).toEqual(merged);
    expect(config).toMatchObject({ r: 5, lora_alpha: 5, use_rslora: false });
  });

  it('approximates by svd no worse than any shorter list of singular vectors, and exactly with all of them', async () => {
    const parts = [adapter('one', 0.7), adapter('two', 0.4), adapter('three', 1.3)];
    const whole = products(await mergeAdapters(parts, { method: 'cat' }));
    const errors: number[] = [];
    for (let rank = 1; rank <= 7; rank++) {
      let square = 0;
      for (const [name, product] of products(await mergeAdapters(parts, { method: 'svd', rank })))
        product.forEach((value, i) => (square += (value - (whole.get(name)?.[i] ?? 0)) ** 2));
      errors.push(Math.sqrt(square));
    }
    errors.slice(1).forEach((error, i) => expect(error).toBeLessThanOrEqual(errors[i] + F32_SUM));
    expect(errors[0]).toBeGreaterThan(0.1);
    expect(errors[6]).toBeLessThan(F32_SUM);
  });

  it('takes an adapter away from itself and leaves nothing, though its factors depend on one another', async () => {
    const merged = await mergeAdapters([adapter('one'), adapter('one', -1)], { method: 'svd', rank: 2 });
    for (const product of products(merged).values())
      expect(largestDifference(product, new Float64Array(product.length))).toBeLessThan(F32_SUM);
  });

  it('gives others their turn after each layer', async () => {
    let turns = 0;
    await mergeAdapters([adapter('one'), adapter('two')], { method: 'cat' }, () => Promise.resolve(++turns));
    expect(turns).toBe(3);
  });

  const elsewhere = (change: Partial<AdapterConfig>): WeightedAdapter => {
    const { adapter: other } = adapter('three');
    return { adapter: { ...other, config: { ...other.config, ...change } }, weight: 1 };
  };
  it.each<[string, WeightedAdapter[], { method: MergeMethod; rank?: number }, string]>([
    ['one adapter', [adapter('one')], { method: 'cat' }, 'two adapters or more'],
    ['a weight of nothing', [adapter('one', 0), adapter('two')], { method: 'cat' }, 'other than 0'],
    ['a weight that is no number', [adapter('one', Number.NaN), adapter('two')], { method: 'cat' }, 'finite'],
    [
      'ranks that differ, linearly',
      [adapter('one'), adapter('three')],
      { method: 'linear' },
      'equal ranks; these are 2, 3',
    ],
    ['a rank where it is not free', [adapter('one'), adapter('two')], { method: 'cat', rank: 3 }, 'only svd takes one'],
    ['a rank over the sum', [adapter('one'), adapter('two')], { method: 'svd', rank: 5 }, 'from 1 to 4'],
    [
      'another base model',
      [adapter('one'), elsewhere({ base_model_name_or_path: 'other' })],
      { method: 'cat' },
      'other',
    ],
    [
      'another revision of it',
      [adapter('one'), elsewhere({ revision: 'v2' })],
      { method: 'cat' },
      'different base models',
    ],
  ])('refuses %s', async (_what, parts, choice, why) => {
    await expect(mergeAdapters(parts, choice)).rejects.toMatchObject({
      code: 'adapter/not-mergeable',
      summary: expect.stringContaining(why) as string,
    });
  });

  it('refuses layers of one name and two shapes', async () => {
    const { adapter: other } = adapter('one');
    const [{ name, inFeatures, outFeatures }] = other.modules;
    const wide = {
      ...other,
      modules: [{ name, inFeatures: 2 * inFeatures, outFeatures }],
      tensors: { modules: [{ A: new Float32Array(4 * inFeatures), B: new Float32Array(2 * outFeatures) }] },
    };
    await expect(
      mergeAdapters([adapter('one'), { adapter: wide, weight: 1 }], { method: 'cat' }),
    ).rejects.toMatchObject({
      code: 'adapter/not-mergeable',
      summary: expect.stringContaining('different shapes') as string,
    });
  });
});

describe('readLora', () => {
  it('refuses a file with a factor that has no other', () => {
    const { config } = load('adapters/one');
    const bytes = readFileSync(join(fixtures, 'adapters/one/adapter_model.safetensors'));
    const renamed = Buffer.from(bytes.toString('latin1').replace('q_proj.lora_B', 'q_proj.lora_C'), 'latin1');
    expect(() => readLora(config, renamed)).toThrow(expect.objectContaining({ code: 'adapter/tensor-unexpected' }));
  });
});
