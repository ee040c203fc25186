import { writeSafetensors } from '@fedlora/shared';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { BaseModel } from './base-model.js';
import { expectedTensors, openBaseModel, parseModelConfig } from './hugging-face.js';
import { describeQuantization, linearWeightNames, quantizedLinear, type QuantizedLinear } from './nf4-store.js';
import { Nf4Threads, SLICE_VALUES } from './nf4-threads.js';
import { nf4Kernel, nf4Thresholds, quantizeNf4, type Nf4Values } from './nf4.js';

const shared = resolve(import.meta.dirname, '../../../../../shared');

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fedlora-nf4-'));
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

/** Seeded values in (-1, 1). */
function someValues(count: number, seed: number): Float32Array {
  let state = seed;
  const next = (): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  return Float32Array.from({ length: count }, () => next() + next() - 1);
}

/** 3.4 million linear parameters, so that threads are worth their start. Its tensors are made when they are read. */
function aBase(change: Partial<BaseModel> = {}): BaseModel & { readonly reads: string[] } {
  const config = parseModelConfig(
    JSON.stringify({
      model_type: 'llama',
      hidden_size: 512,
      intermediate_size: 1365,
      num_hidden_layers: 1,
      num_attention_heads: 8,
      num_key_value_heads: 8,
      vocab_size: 5,
      max_position_embeddings: 16,
    }),
  );
  const expected = expectedTensors(config);
  const reads: string[] = [];
  return {
    config,
    directory: '/nowhere',
    digest: 'ab'.repeat(32),
    has: (name) => expected.has(name),
    async tensor(name, shape) {
      reads.push(name);
      return someValues(
        shape.reduce((a, b) => a * b, 1),
        name.length + reads.length,
      );
    },
    reads,
    ...change,
  };
}

/** A hash instead of the bytes themselves: comparing millions of elements one by one takes the test runner seconds. */
function bytesOf(...weights: readonly Nf4Values[]): string {
  const hash = createHash('sha256');
  for (const { codes, absmax } of weights)
    hash.update(codes).update(absmax).update(`${codes.length} ${absmax.length} `);
  return hash.digest('hex');
}

const allBytes = ({ tensors }: QuantizedLinear): string[] =>
  [...tensors].map(([name, weight]) => `${name} ${weight.shape.join(' ')} ${bytesOf(weight)}`);

const filesIn = async (folder: string): Promise<string[]> => (await readdir(folder)).sort();

describe('nf4Kernel', () => {
  it('needs nothing outside its own text, of which threads are made', () => {
    // eslint-disable-next-line @typescript-eslint/no-implied-eval
    const kernel = new Function(`return (${nf4Kernel.toString()})`)()(nf4Thresholds) as ReturnType<typeof nf4Kernel>;
    const values = someValues(1000, 1);
    const codes = new Uint8Array(500);
    const absmax = new Float32Array(16);
    expect(kernel(values, 64, codes, absmax)).toBe(-1);
    expect({ codes, absmax }).toEqual(quantizeNf4(values));
  });
});

describe('Nf4Threads', () => {
  it('gives the bytes of quantizeNf4 for sizes around a slice and a block', async () => {
    const threads = new Nf4Threads(2);
    try {
      const sizes = [1, 64, 65, SLICE_VALUES - 1, SLICE_VALUES, SLICE_VALUES + 1, 2 * SLICE_VALUES + 67];
      const weights = sizes.map((size) => someValues(size, size));
      const results = await Promise.all(weights.map((weight) => threads.quantize(weight).result));
      results.forEach((result, i) => expect(bytesOf(result)).toBe(bytesOf(quantizeNf4(weights[i]))));
    } finally {
      await threads.close();
    }
  });

  it('says in which block a value is not finite, and goes on', async () => {
    const threads = new Nf4Threads(1);
    try {
      const weight = new Float32Array(SLICE_VALUES + 1000);
      weight[SLICE_VALUES + 130] = Number.NaN;
      await expect(threads.quantize(weight).result).rejects.toMatchObject({
        code: 'base-model/not-finite',
        details: { block: SLICE_VALUES / 64 + 2 },
      });
      weight[SLICE_VALUES + 130] = 1;
      expect(bytesOf(await threads.quantize(weight).result)).toBe(bytesOf(quantizeNf4(weight)));
    } finally {
      await threads.close();
    }
  });

  it('fails what is asked of it after it was closed', async () => {
    const threads = new Nf4Threads(1);
    await threads.close();
    await expect(threads.quantize(new Float32Array(64)).result).rejects.toMatchObject({ code: 'internal/unexpected' });
  });
});

describe('quantizedLinear', () => {
  it('quantizes every linear weight alike on two threads and on none, and says how fast', async () => {
    const progress: number[] = [];
    const onProgress = (done: number): number => progress.push(done);
    const onThreads = await quantizedLinear(aBase(), undefined, { threads: 2, onProgress });
    const alone = await quantizedLinear(aBase(), undefined, { threads: 0 });
    expect(allBytes(onThreads)).toEqual(allBytes(alone));
    expect([...onThreads.tensors.keys()]).toEqual(linearWeightNames(aBase().config));
    expect(onThreads.tensors.get('model.layers.0.mlp.down_proj.weight')?.shape).toEqual([512, 1365]);
    const parameters = 4 * 512 * 512 + 3 * 512 * 1365;
    expect(onThreads.report).toMatchObject({ parameters, threads: 2, cache: 'off' });
    expect(alone.report.threads).toBe(0);
    expect(onThreads.report.parametersPerSecond).toBeGreaterThan(0);
    expect(progress).toHaveLength(7);
    expect(progress.at(-1)).toBe(parameters);
  });

  it('starts no threads for a model so small that they would cost more than they save', async () => {
    const { report } = await quantizedLinear(aBase(), ['model.layers.0.self_attn.q_proj.weight'], { threads: 2 });
    expect(report).toMatchObject({ threads: 0, parameters: 512 * 512 });
  });

  it.each([0, 2])('names the tensor that holds NaN, on %i threads', async (threads) => {
    const bad = 'model.layers.0.mlp.up_proj.weight';
    const base = aBase({
      tensor: async (name, [rows, columns]) => new Float32Array(rows * columns).fill(name === bad ? Number.NaN : 1),
    });
    await expect(quantizedLinear(base, undefined, { threads })).rejects.toMatchObject({
      code: 'base-model/not-finite',
      details: { tensor: bad, block: 0 },
    });
  });

  it('passes on what reading throws, and refuses a name that the model has not', async () => {
    const trouble = new Error('disk');
    const base = aBase({ tensor: () => Promise.reject(trouble) });
    await expect(quantizedLinear(base, undefined, { threads: 2 })).rejects.toBe(trouble);
    await expect(quantizedLinear(aBase(), ['lm_head.bias'])).rejects.toMatchObject({ code: 'base-model/invalid' });
  });

  it('ends at once when aborted, and leaves nothing in the cache', async () => {
    const abort = new AbortController();
    const onProgress = (): void => abort.abort(new Error('enough'));
    const options = { threads: 0, signal: abort.signal, onProgress, cacheFolder: directory };
    await expect(quantizedLinear(aBase(), undefined, options)).rejects.toThrow('enough');
    expect(await filesIn(directory)).toEqual([]);
  });
});

describe('describeQuantization', () => {
  it('prints the throughput', () => {
    const report = { parameters: 106_168_320, seconds: 2, parametersPerSecond: 53_084_160, threads: 2 };
    expect(describeQuantization({ ...report, cache: 'written' })).toBe(
      'quantized 106.2 million parameters in 2.0 s (53.1 million a second, 2 threads); kept in the cache',
    );
    expect(describeQuantization({ ...report, cache: 'read' })).toBe(
      'read 106.2 million NF4 parameters from the cache in 2.0 s',
    );
  });
});

describe('quantizedLinear with a cache', () => {
  const cached = (base = aBase(), names?: readonly string[]): ReturnType<typeof quantizedLinear> =>
    quantizedLinear(base, names, { threads: 2, cacheFolder: join(directory, 'cache') });

  it('reads what it wrote, without reading the model', async () => {
    const first = await cached();
    expect(first.report.cache).toBe('written');
    const base = aBase();
    const second = await cached(base);
    expect(second.report).toMatchObject({ cache: 'read', threads: 0 });
    expect(base.reads).toEqual([]);
    expect(allBytes(second)).toEqual(allBytes(first));
    expect(await filesIn(join(directory, 'cache'))).toHaveLength(1);
  });

  it('keeps models and selections of tensors apart', async () => {
    await cached();
    expect((await cached(aBase({ digest: 'cd'.repeat(32) }))).report.cache).toBe('written');
    expect((await cached(aBase(), ['model.layers.0.mlp.up_proj.weight'])).report.cache).toBe('written');
    expect((await cached()).report.cache).toBe('read');
  });

  it('finds damage anywhere in the file, and replaces it', async () => {
    const names = ['model.layers.0.self_attn.q_proj.weight', 'model.layers.0.self_attn.k_proj.weight'];
    const first = await cached(aBase(), names);
    const [name] = await filesIn(join(directory, 'cache'));
    const path = join(directory, 'cache', name);
    const good = await readFile(path);
    for (const at of [3, 5000, good.length >> 1, good.length - 300, good.length - 1]) {
      const bad = Buffer.from(good);
      bad[at] ^= 1;
      await writeFile(path, bad);
      const again = await cached(aBase(), names);
      expect(again.report.cache, `byte ${at} of ${good.length}`).toBe('rewritten');
      expect(allBytes(again)).toEqual(allBytes(first));
      expect(Buffer.compare(await readFile(path), good)).toBe(0);
    }
    for (const cut of [good.subarray(0, -1), good.subarray(0, 10), Buffer.concat([good, Buffer.alloc(1)])]) {
      await writeFile(path, cut);
      expect((await cached(aBase(), names)).report.cache).toBe('rewritten');
    }
  });

  it('gives the weights although they cannot be kept, and says so', async () => {
    await writeFile(join(directory, 'cache'), 'a file where the folder should be');
    const { tensors, report } = await cached();
    expect(report).toMatchObject({ cache: 'failed', cacheError: expect.anything() });
    expect(tensors.size).toBe(7);
  });

  it('removes what a killed program left, but not what another may be writing', async () => {
    await mkdir(join(directory, 'cache'));
    for (const name of ['.old.nf4.tmp', '.new.nf4.tmp', 'other.txt'])
      await writeFile(join(directory, 'cache', name), '');
    await utimes(join(directory, 'cache', '.old.nf4.tmp'), 1, 1);
    await cached();
    expect((await filesIn(join(directory, 'cache'))).slice(0, 1)).toEqual(['.new.nf4.tmp']);
    expect(await filesIn(join(directory, 'cache'))).toHaveLength(3);
  });
});

describe('quantizedLinear of a checkpoint', () => {
  it('reads bf16 weights from a folder', async () => {
    const { config } = aBase();
    const tensors = [...expectedTensors(config)].map(([name, shape], i) => ({
      name,
      shape,
      values: someValues(
        shape.reduce((a, b) => a * b, 1),
        i + 1,
      ),
    }));
    await writeFile(join(directory, 'config.json'), JSON.stringify({ ...config, tie_word_embeddings: false }));
    await writeFile(join(directory, 'tokenizer.json'), '{}');
    await writeFile(join(directory, 'model.safetensors'), writeSafetensors(tensors, { dtype: 'BF16' }));
    const base = await openBaseModel(directory);
    const name = 'model.layers.0.self_attn.k_proj.weight';
    const { tensors: quantized } = await quantizedLinear(base);
    expect(bytesOf(quantized.get(name)!)).toBe(bytesOf(quantizeNf4(await base.tensor(name, [512, 512]))));
  });

  it.skipIf(!existsSync(shared))('takes bitsandbytes’ own codes without quantizing again', async () => {
    for (const name of ['model.safetensors', 'config.json'])
      await copyFile(join(shared, 'fixtures/stories260K-nf4', name), join(directory, name));
    await writeFile(join(directory, 'tokenizer.json'), '{}');
    const base = await openBaseModel(directory);
    const tensors: string[] = [];
    const watched: BaseModel = {
      ...base,
      tensor: (name, shape) => {
        tensors.push(name);
        return base.tensor(name, shape);
      },
    };
    const { tensors: quantized, report } = await quantizedLinear(watched);
    expect(tensors).toEqual([]);
    expect(report.parameters).toBe(226_560);
    const name = 'model.layers.4.mlp.down_proj.weight';
    const again = quantizeNf4(await base.tensor(name, [64, 172]));
    expect(bytesOf(quantized.get(name)!)).toBe(bytesOf(again));
  });
});
