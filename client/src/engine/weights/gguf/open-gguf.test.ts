import { decodeFloats, FedloraError, readSafetensors } from '@fedlora/shared';
import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { expectedTensors, openBaseModel } from '../hugging-face.js';
import { baseModelDigest } from '../digest.js';
import { aGguf, f32, list, text, u32, type GgufParts } from '../../../../../test/support/a-gguf.js';
import { GgufFile } from './gguf-file.js';
import { gemmaFields, llama3Scaling, openGguf } from './open-gguf.js';
import { permuteRows, unpermuteRows } from './permuted-rows.js';

const fixtures = resolve(import.meta.dirname, '../../../../../test/fixtures/gguf');
const ropeTypes = ['linear', 'llama3'] as const;

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fedlora-gguf-'));
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

/** A copy of the tiny llama, whose bytes the test may change. */
async function aTinyLlama(): Promise<string> {
  for (const name of ['model.gguf', 'tokenizer.json'])
    await copyFile(join(fixtures, 'llama', name), join(directory, name));
  return join(directory, 'model.gguf');
}

/** Replaces the tiny llama by one with these parts. */
async function written(parts: GgufParts): Promise<string> {
  await copyFile(join(fixtures, 'llama', 'tokenizer.json'), join(directory, 'tokenizer.json'));
  await writeFile(join(directory, 'made.gguf'), aGguf(parts));
  return join(directory, 'made.gguf');
}

describe('GgufFile', () => {
  it('dequantizes every type to the very values of llama.cpp’s Python package', async () => {
    const file = await GgufFile.open(join(fixtures, 'types.gguf'));
    const golden = readSafetensors(readFileSync(join(fixtures, 'types.golden.safetensors')));
    expect([...file.header.tensors.keys()]).toEqual(['F32', 'F16', 'BF16', 'Q4_0', 'Q4_1', 'Q8_0', 'Q4_K', 'Q6_K']);
    for (const tensor of file.header.tensors.values()) {
      expect(tensor.shape).toEqual([3, 512]);
      const expected = decodeFloats(golden.bytesOf(tensor.name)!, 'F32');
      // As bits, but for the sign of zero, on which numpy and C may differ.
      const actual = await file.floats(tensor);
      expect(
        actual.map((value) => value + 0),
        tensor.name,
      ).toEqual(expected.map((value) => value + 0));
    }
  });

  it('reads every kind of metadata', async () => {
    const { metadata } = (await GgufFile.open(join(fixtures, 'types.gguf'))).header;
    const fixture = [...metadata].filter(([key]) => key.startsWith('fixture.'));
    expect(Object.fromEntries(fixture)).toEqual({
      'fixture.uint8': 200,
      'fixture.uint16': 200,
      'fixture.uint32': 200,
      'fixture.uint64': 200,
      'fixture.int8': -100,
      'fixture.int16': -100,
      'fixture.int32': -100,
      'fixture.int64': -100,
      'fixture.float32': 0.5,
      'fixture.float64': 0.1,
      'fixture.bool': true,
      'fixture.string': 'naïve ☃',
      'fixture.numbers': { length: 3, numbers: [1, 2, 3] },
      'fixture.strings': { length: 3 },
    });
  });
});

describe('openGguf', () => {
  it.each(['llama', 'qwen2', 'qwen3', 'gemma2', 'gemma3'])(
    'gives the tensors and settings of the Hugging Face folder of a %s',
    async (name) => {
      const original = await openBaseModel(join(fixtures, name), { ropeTypes });
      const model = await openBaseModel(join(fixtures, name, 'model.gguf'), { ropeTypes });
      expect(model.config).toEqual(original.config);
      for (const [tensor, shape] of expectedTensors(original.config)) {
        expect(await model.tensor(tensor, shape), tensor).toEqual(await original.tensor(tensor, shape));
        expect(model.has(tensor)).toBe(true);
      }
      expect(model.has('lm_head.weight')).toBe(name === 'qwen2');
    },
  );

  it('refuses Llama 3’s stretched positions where the engine cannot compute them', async () => {
    await expect(openGguf(join(fixtures, 'llama/model.gguf'))).rejects.toMatchObject({
      code: 'base-model/unsupported',
      where: 'model.gguf',
    });
  });

  it('checks shapes and names', async () => {
    const model = await openGguf(join(fixtures, 'llama/model.gguf'), { ropeTypes });
    await expect(model.tensor('model.norm.weight', [4])).rejects.toMatchObject({ code: 'base-model/invalid' });
    await expect(model.tensor('output_norm.weight', [16])).rejects.toMatchObject({ code: 'base-model/invalid' });
  });

  it('has a digest of weights and tokenizer, whatever the file’s name', async () => {
    const path = await aTinyLlama();
    const { digest } = await openGguf(path, { ropeTypes });
    await rename(path, join(directory, 'Renamed-F16.GGUF'));
    expect(await baseModelDigest(join(directory, 'Renamed-F16.GGUF'))).toBe(digest);
    await writeFile(join(directory, 'tokenizer.json'), '{}');
    expect(await baseModelDigest(join(directory, 'Renamed-F16.GGUF'))).not.toBe(digest);
  });

  it('asks for the tokenizer.json of the original model', async () => {
    const path = await aTinyLlama();
    await rm(join(directory, 'tokenizer.json'));
    await expect(openGguf(path, { ropeTypes })).rejects.toThrow(/no tokenizer.json beside model.gguf.*original model/);
  });

  it('notices a file that changed after it was opened', async () => {
    const path = await aTinyLlama();
    const model = await openGguf(path, { ropeTypes });
    await writeFile(path, new Uint8Array(10));
    await expect(model.tensor('model.norm.weight', [16])).rejects.toMatchObject({ code: 'base-model/changed' });
  });

  it('names a tensor that holds NaN', async () => {
    const path = await aTinyLlama();
    const file = await GgufFile.open(path);
    const bytes = await readFile(path);
    new DataView(bytes.buffer, bytes.byteOffset).setUint32(
      file.tensor('output_norm.weight').begin + 8,
      0x7fc00000,
      true,
    );
    await writeFile(path, bytes);
    const model = await openGguf(path, { ropeTypes });
    await expect(model.tensor('model.norm.weight', [16])).rejects.toMatchObject({
      code: 'base-model/not-finite',
      summary: 'Tensor model.norm.weight holds NaN at index 2.',
    });
  });

  it.each([
    [
      { 'general.architecture': text('gpt2') },
      'base-model/unsupported',
      /"gpt2" is not supported; llama, qwen2, qwen3, gemma2, gemma3 are/,
    ],
    [{ 'split.count': u32(3) }, 'base-model/unsupported', /one of 3 parts; join them/],
    [{ 'llama.expert_count': u32(8) }, 'base-model/unsupported', /llama.expert_count = 8/],
    [{ 'llama.logit_scale': u32(8) }, 'base-model/unsupported', /llama.logit_scale/],
    [{ 'llama.rope.scaling.type': text('yarn') }, 'base-model/unsupported', /"yarn" is not supported/],
    [{ 'llama.rope.dimension_count': u32(4) }, 'base-model/unsupported', /rope.dimension_count 4 is not the 8/],
    [{ 'llama.attention.head_count': list(u32(2), u32(4)) }, 'base-model/unsupported', /differs between blocks/],
    [{ 'llama.attention.head_count': text('two') }, 'base-model/invalid', /num_attention_heads is "two"/],
    [{ 'llama.block_count': undefined }, 'base-model/invalid', /num_hidden_layers is absent/],
    [{ 'llama.block_count': u32(2) }, 'base-model/invalid', /blk.1.attn_norm.weight is missing/],
    [{ 'llama.feed_forward_length': u32(5) }, 'base-model/invalid', /is \[4, 16\], but .* call for \[5, 16\]/],
  ] as const)('refuses %o', async (metadata, code, reason) => {
    const path = await written({ metadata });
    await expect(openGguf(path, { ropeTypes })).rejects.toThrow(reason);
    await expect(openGguf(path, { ropeTypes })).rejects.toMatchObject({ code, where: expect.anything() });
  });

  it('opens what the builder of these tests makes, so that the refusals above are for the reasons they name', async () => {
    const path = await written({ metadata: { 'llama.attention.head_count': list(u32(2), u32(2)) } });
    const model = await openGguf(path);
    expect(model.config).toMatchObject({
      num_attention_heads: 2,
      head_dim: 8,
      vocab_size: 3,
      tie_word_embeddings: true,
    });
  });

  it('reads linear stretching, also in its old form, and cuts the context to a window', async () => {
    const linear = { rope_type: 'linear', factor: 4 };
    const path = await written({
      metadata: { 'llama.rope.scaling.type': text('linear'), 'llama.rope.scaling.factor': u32(4) },
    });
    expect((await openGguf(path, { ropeTypes })).config.rope_scaling).toEqual(linear);
    await written({ metadata: { 'llama.rope.scale_linear': u32(4), 'llama.attention.sliding_window': u32(5) } });
    const { config } = await openGguf(path, { ropeTypes });
    expect(config.rope_scaling).toEqual(linear);
    expect(config.max_position_embeddings).toBe(5);
  });

  /** The settings of the tiny llama as those of a Gemma of `blocks` blocks, whose tensors are not there. */
  async function aGemma(
    name: 'gemma2' | 'gemma3',
    blocks: number,
    changes: GgufParts['metadata'] = {},
  ): Promise<string> {
    const settings = {
      'general.architecture': text(name),
      [`${name}.context_length`]: u32(64),
      [`${name}.embedding_length`]: u32(48),
      [`${name}.block_count`]: u32(blocks),
      [`${name}.feed_forward_length`]: u32(4),
      [`${name}.attention.head_count`]: u32(4),
      [`${name}.attention.head_count_kv`]: u32(2),
      [`${name}.attention.key_length`]: u32(8),
      [`${name}.attention.value_length`]: u32(8),
      [`${name}.attention.layer_norm_rms_epsilon`]: f32(1e-6),
      [`${name}.attention.sliding_window`]: u32(5),
    };
    return written({ metadata: { ...settings, ...changes } });
  }

  it('scales the scores of the largest Gemma by its width, which GGUF does not say, and of others by the head', () => {
    const settings = (blocks: number) => (name: string) =>
      ({ block_count: blocks, 'attention.sliding_window': 5 })[name];
    expect(gemmaFields('gemma2', settings(46), 12, 8, '')).toMatchObject({ query_pre_attn_scalar: 12 });
    expect(gemmaFields('gemma2', settings(42), 12, 8, '')).toMatchObject({ query_pre_attn_scalar: 8 });
    expect(gemmaFields('gemma3', settings(62), 12, 8, '')).toMatchObject({ query_pre_attn_scalar: 12 });
    expect(gemmaFields('gemma3', settings(46), 12, 8, '')).toMatchObject({ query_pre_attn_scalar: 8 });
  });

  it('has the windows of a Gemma by the period that the file gives, or its architecture', () => {
    const types = (name: 'gemma2' | 'gemma3', pattern?: number): string => {
      const settings = { block_count: 7, 'attention.sliding_window': 5, 'attention.sliding_window_pattern': pattern };
      const { layer_types } = gemmaFields(name, (key) => settings[key as keyof typeof settings], 12, 8, '');
      return layer_types.map((type) => type[0]).join('');
    };
    expect(types('gemma2')).toBe('sfsfsfs');
    expect(types('gemma3')).toBe('sssssfs');
    expect(types('gemma3', 3)).toBe('ssfssfs');
  });

  it.each([
    [{ 'gemma2.attention.sliding_window_pattern': list(u32(1), u32(0)) }, /pattern is a list of 2, not a period/],
    [{ 'gemma2.attention.sliding_window': text('wide') }, /sliding_window/],
    [{ 'gemma2.block_count': u32(2_000_000_000) }, /num_hidden_layers is over 1000/],
  ])('refuses a Gemma with %o', async (changes, reason) => {
    await expect(openGguf(await aGemma('gemma2', 1, changes), { ropeTypes })).rejects.toThrow(reason);
  });

  it('gives decimals that were stored as f32 as the original config has them', async () => {
    const path = await written({
      metadata: { 'llama.attention.layer_norm_rms_epsilon': f32(1e-5), 'llama.rope.freq_base': f32(1e6) },
    });
    expect((await openGguf(path)).config).toMatchObject({ rms_norm_eps: 1e-5, rope_theta: 1e6 });
  });

  it('says that a folder is no file, and that a file is missing', async () => {
    await mkdir(join(directory, 'folder.gguf'));
    await expect(openBaseModel(join(directory, 'folder.gguf'))).rejects.toMatchObject({
      code: 'base-model/not-found',
      where: 'folder.gguf',
    });
    await expect(openBaseModel(join(directory, 'none.gguf'))).rejects.toMatchObject({ code: 'base-model/not-found' });
  });

  it('refuses a tensor it would ignore', async () => {
    const path = await written({ more: [{ name: 'blk.0.attn_q.bias', dimensions: [16n] }] });
    await expect(openGguf(path)).rejects.toThrow(/blk.0.attn_q.bias is none that a llama model has/);
  });

  it('refuses a damaged file with nothing but an error of the catalogue', { timeout: 60_000 }, async () => {
    const path = await aTinyLlama();
    const bytes = new Uint8Array(await readFile(path));
    const headerBytes = 3600;
    const attempt = async (damaged: Uint8Array): Promise<void> => {
      await writeFile(path, damaged);
      try {
        const model = await openGguf(path, { ropeTypes });
        for (const [name, shape] of expectedTensors(model.config)) await model.tensor(name, shape);
      } catch (error) {
        if (!(error instanceof FedloraError) || error.code === 'internal/unexpected') throw error;
      }
    };
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length - 1), (length) => attempt(bytes.slice(0, length))),
      { numRuns: 150 },
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(headerBytes), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        async (changes) => {
          const damaged = bytes.slice();
          for (const [at, mask] of changes) damaged[at] ^= mask;
          await attempt(damaged);
        },
      ),
      { numRuns: 400 },
    );
  });
});

describe('permuteRows and unpermuteRows', () => {
  it('apply and undo llama.cpp’s permutation of each head', () => {
    // Two heads of four rows: 0 1 2 3 is stored as 0 2 1 3.
    const stored = Float32Array.of(0, 2, 1, 3, 4, 6, 5, 7);
    expect([...unpermuteRows(stored, 2, 8, 1)]).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    // One head of six rows and two columns: 0 1 2 3 4 5 is stored as 0 3 1 4 2 5.
    const wide = Float32Array.of(0, 0.5, 3, 3.5, 1, 1.5, 4, 4.5, 2, 2.5, 5, 5.5);
    expect([...unpermuteRows(wide, 1, 6, 2)]).toEqual([0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5]);
    expect(permuteRows(unpermuteRows(wide, 1, 6, 2), 1, 6, 2)).toEqual(wide);
    expect(permuteRows(Float32Array.of(0, 1, 2, 3, 4, 5, 6, 7), 2, 8, 1)).toEqual(stored);
  });
});

describe('llama3Scaling', () => {
  it('refuses factors that are not Llama 3’s', () => {
    expect(llama3Scaling(Float32Array.of(1, 2, 4, 8), 8, 10_000)).toBeUndefined();
    expect(llama3Scaling(Float32Array.of(1, 1, 1, Number.NaN), 8, 10_000)).toBeUndefined();
  });
});
