import { decodeFloats, readSafetensors, writeSafetensors, type TensorToWrite } from '@fedlora/shared';
import { existsSync, readFileSync } from 'node:fs';
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { quantizeNf4 } from './nf4.js';
import { baseModelDigest, expectedTensors, openBaseModel, parseModelConfig } from './hugging-face.js';

const shared = resolve(import.meta.dirname, '../../../../../shared');

const tinyConfig = {
  model_type: 'llama',
  hidden_size: 4,
  intermediate_size: 6,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  vocab_size: 5,
  max_position_embeddings: 16,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
};

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fedlora-base-'));
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

const json = (name: string, value: unknown): Promise<void> => writeFile(join(directory, name), JSON.stringify(value));

function tinyTensors(config: object = tinyConfig): TensorToWrite[] {
  let next = 0;
  return [...expectedTensors(parseModelConfig(JSON.stringify(config)))].map(([name, shape]) => {
    const length = shape.reduce((a, b) => a * b, 1);
    return { name, shape, values: Float32Array.from({ length }, () => (next += 0.25)) };
  });
}

/** Writes a complete tiny model, with these tensors. */
async function aModel(tensors = tinyTensors(), config: object = tinyConfig): Promise<void> {
  await json('config.json', config);
  await json('tokenizer.json', {});
  await writeFile(join(directory, 'model.safetensors'), writeSafetensors(tensors));
}

describe('openBaseModel', () => {
  it('reads a tensor and checks its shape', async () => {
    await aModel();
    const model = await openBaseModel(directory);
    expect(model.config).toMatchObject({ head_dim: 2, rope_theta: 10_000, num_key_value_heads: 1 });
    const embedding = await model.tensor('model.embed_tokens.weight', [5, 4]);
    expect([embedding[0], embedding[19]]).toEqual([0.25, 5]);
    await expect(model.tensor('model.embed_tokens.weight', [4, 5])).rejects.toMatchObject({
      code: 'base-model/invalid',
    });
    await expect(model.tensor('model.nothing', [1])).rejects.toMatchObject({ code: 'base-model/invalid' });
    expect(model.has('lm_head.weight')).toBe(false);
    expect(model.digest).toMatch(/^[0-9a-f]{64}$/);
  });

  it('reads bf16 and f16 weights', async () => {
    for (const dtype of ['BF16', 'F16'] as const) {
      await aModel();
      await writeFile(join(directory, 'model.safetensors'), writeSafetensors(tinyTensors(), { dtype }));
      const values = await (await openBaseModel(directory)).tensor('model.embed_tokens.weight', [5, 4]);
      expect(values[2]).toBe(0.75);
    }
  });

  it('gives matrices of 16 bits as they are stored, and others not', async () => {
    for (const dtype of ['BF16', 'F16'] as const) {
      await aModel();
      await writeFile(join(directory, 'model.safetensors'), writeSafetensors(tinyTensors(), { dtype }));
      const model = await openBaseModel(directory);
      const table = (await model.halves?.('model.embed_tokens.weight', [5, 4]))!;
      const values = await model.tensor('model.embed_tokens.weight', [5, 4]);
      expect(table).toMatchObject({ format: dtype, width: 4, sizeBytes: 40 });
      expect(table.gather(Int32Array.of(3, 0))).toEqual(
        Float32Array.of(...values.subarray(12, 16), ...values.subarray(0, 4)),
      );
      const widened = new Float32Array(8);
      table.widenInto(widened, 1, 3);
      expect(widened).toEqual(values.subarray(4, 12));
      await expect(model.halves?.('model.embed_tokens.weight', [4, 5])).rejects.toMatchObject({
        code: 'base-model/invalid',
      });

      const poisoned = tinyTensors();
      poisoned[0].values[6] = dtype === 'F16' ? Infinity : NaN;
      await writeFile(join(directory, 'model.safetensors'), writeSafetensors(poisoned, { dtype }));
      const bad = await openBaseModel(directory);
      await expect(bad.halves?.(poisoned[0].name, [5, 4])).rejects.toMatchObject({
        code: 'base-model/not-finite',
        details: { tensor: poisoned[0].name, index: 6 },
      });
    }
    await aModel();
    expect(await (await openBaseModel(directory)).halves?.('model.embed_tokens.weight', [5, 4])).toBeUndefined();
  });

  it('reads shards, and refuses an index that leads out of the folder', async () => {
    await aModel();
    await rm(join(directory, 'model.safetensors'));
    const tensors = tinyTensors();
    const shards = [tensors.slice(0, 7), tensors.slice(7)];
    const weight_map: Record<string, string> = {};
    for (const [i, shard] of shards.entries()) {
      await writeFile(join(directory, `model-${i}.safetensors`), writeSafetensors(shard));
      for (const { name } of shard) weight_map[name] = `model-${i}.safetensors`;
    }
    await json('model.safetensors.index.json', { metadata: {}, weight_map });
    const model = await openBaseModel(directory);
    const last = tensors.at(-1)!;
    expect(await model.tensor(last.name, last.shape)).toEqual(last.values);

    await json('model.safetensors.index.json', { weight_map: { ...weight_map, [last.name]: 'model-0.safetensors' } });
    await expect(openBaseModel(directory)).rejects.toThrow(/index does not place there/);
    for (const name of [
      '../model-1.safetensors',
      '/etc/passwd',
      'C:x.safetensors',
      '.safetensors',
      'a/b.safetensors',
      3,
    ]) {
      await json('model.safetensors.index.json', { weight_map: { ...weight_map, [last.name]: name } });
      await expect(openBaseModel(directory)).rejects.toThrow(/no file name of a shard/);
    }
  });

  it('refuses a missing tensor, a wrong shape and a tensor it would ignore', async () => {
    await aModel(tinyTensors().slice(1));
    await expect(openBaseModel(directory)).rejects.toThrow(/embed_tokens.weight is missing/);
    await aModel(tinyTensors(), { ...tinyConfig, vocab_size: 6 });
    await expect(openBaseModel(directory)).rejects.toThrow(/is \[5, 4\], but config.json calls for \[6, 4\]/);
    const bias = { name: 'model.layers.0.self_attn.q_proj.bias', shape: [4], values: new Float32Array(4) };
    await aModel([...tinyTensors(), bias]);
    await expect(openBaseModel(directory)).rejects.toMatchObject({ code: 'base-model/unsupported' });
  });

  it('accepts a tied head that is stored twice, and stored rotary angles', async () => {
    await aModel([
      ...tinyTensors(),
      { name: 'lm_head.weight', shape: [5, 4], values: new Float32Array(20) },
      { name: 'model.layers.0.self_attn.rotary_emb.inv_freq', shape: [1], values: new Float32Array(1) },
    ]);
    await openBaseModel(directory);
  });

  it('calls for biases in Qwen2, head norms in Qwen3 and a head where it is not tied', async () => {
    const qwen2 = { ...tinyConfig, model_type: 'qwen2', sliding_window: 4 };
    expect(tinyTensors(qwen2).map(({ name }) => name)).toContain('model.layers.1.self_attn.v_proj.bias');
    const qwen3 = { ...tinyConfig, model_type: 'qwen3', head_dim: 8, tie_word_embeddings: false };
    const tensors = new Map(tinyTensors(qwen3).map(({ name, shape }) => [name, shape]));
    expect(tensors.get('model.layers.0.self_attn.q_norm.weight')).toEqual([8]);
    expect(tensors.get('model.layers.0.self_attn.q_proj.weight')).toEqual([16, 4]);
    expect(tensors.get('lm_head.weight')).toEqual([5, 4]);
    const gemma3 = { ...tinyConfig, model_type: 'gemma3_text', head_dim: 8 };
    expect(tinyTensors(gemma3).map(({ name }) => name)).toEqual(
      expect.arrayContaining([
        'model.layers.1.pre_feedforward_layernorm.weight',
        'model.layers.1.post_feedforward_layernorm.weight',
        'model.layers.1.self_attn.k_norm.weight',
      ]),
    );
    await aModel(tinyTensors(qwen2), qwen2);
    expect((await openBaseModel(directory)).config.max_position_embeddings).toBe(16);
  });

  it('says what is missing, with the way out', async () => {
    await expect(openBaseModel(directory)).rejects.toMatchObject({ code: 'base-model/not-found' });
    await json('config.json', tinyConfig);
    await expect(openBaseModel(directory)).rejects.toThrow(/pickled/);
  });

  it('notices a file that changed after it was opened', async () => {
    await aModel();
    const model = await openBaseModel(directory);
    await aModel(
      tinyTensors().map((tensor) => ({ ...tensor, name: tensor.name })),
      tinyConfig,
    );
    await writeFile(join(directory, 'model.safetensors'), new Uint8Array(10));
    await expect(model.tensor('model.norm.weight', [4])).rejects.toMatchObject({ code: 'base-model/changed' });
  });

  it('names the file in the error of a broken one', async () => {
    await aModel();
    await writeFile(join(directory, 'model.safetensors'), 'version https://git-lfs.github.com/spec/v1\n');
    await expect(openBaseModel(directory)).rejects.toMatchObject({
      code: 'safetensors/git-lfs-pointer',
      where: 'model.safetensors',
    });
  });
});

describe('parseModelConfig', () => {
  const parse = (change: object, options = {}) =>
    parseModelConfig(JSON.stringify({ ...tinyConfig, ...change }), options);

  it.each([
    [
      { model_type: 'gpt2' },
      /"gpt2" is not supported; supported are llama, mistral, qwen2, qwen3, gemma2, gemma3_text/,
    ],
    [{ hidden_act: 'gelu' }, /hidden_act "gelu"/],
    [{ attention_bias: true }, /attention_bias true/],
    [{ mlp_bias: true }, /mlp_bias true/],
    [{ model_type: 'gemma3' }, /gemma3" reads images.*gemma3_text/],
    [{ model_type: 'gemma2', hidden_activation: 'silu' }, /hidden_activation "silu".*gelu_pytorch_tanh/],
    [{ model_type: 'gemma2', use_bidirectional_attention: true }, /use_bidirectional_attention/],
    [{ model_type: 'gemma2', layer_types: ['full_attention', 'chunked_attention'] }, /"chunked_attention" for block 1/],
    [{ model_type: 'gemma3_text', attn_logit_softcapping: 50 }, /attn_logit_softcapping 50/],
    [{ rope_scaling: { rope_type: 'dynamic', factor: 4 } }, /rope_scaling "dynamic"/],
    [{ partial_rotary_factor: 0.5 }, /partial_rotary_factor/],
    [{ rope_scaling: { rope_type: 'yarn', factor: 4 } }, /rope_scaling "yarn" is not supported; default is/],
    [{ rope_scaling: { rope_type: 'llama3', factor: 8 } }, /"llama3"/],
    [{ rope_parameters: { rope_type: 'longrope' } }, /"longrope"/],
    [{ quantization_config: { quant_method: 'gptq' } }, /"gptq"/],
  ])('refuses %o and says what is supported', (change, reason) => {
    expect(() => parse(change)).toThrow(reason);
    expect(() => parse(change)).toThrow(expect.objectContaining({ code: 'base-model/unsupported' }));
  });

  it.each([
    [{ hidden_size: 5 }],
    [{ num_key_value_heads: 3 }],
    [{ vocab_size: '5' }],
    [{ num_hidden_layers: 1e9 }],
    [{ head_dim: 3 }],
    [{ rms_norm_eps: 0 }],
    [{ rope_theta: -1 }],
    [{ tie_word_embeddings: 'yes' }],
    [{ model_type: 'mistral', sliding_window: 0 }],
    [{ model_type: 'qwen2', use_sliding_window: 'yes' }],
    [{ model_type: 'gemma2', sliding_window: null }],
    [{ model_type: 'gemma2', layer_types: ['full_attention'] }],
    [{ model_type: 'gemma2', final_logit_softcapping: 0 }],
    [{ model_type: 'gemma2', query_pre_attn_scalar: null }],
    [{ model_type: 'gemma3_text', rope_local_base_freq: 0 }],
  ])('refuses %o as contradictory', (change) => {
    expect(() => parse(change)).toThrow(expect.objectContaining({ code: 'base-model/invalid' }));
  });

  it('reads the kinds of rope_scaling that the caller computes', () => {
    const scaling = { factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 };
    const ropeTypes = ['linear', 'llama3'] as const;
    expect(parse({ rope_scaling: { ...scaling, rope_type: 'llama3' } }, { ropeTypes }).rope_scaling).toEqual({
      ...scaling,
      rope_type: 'llama3',
    });
    expect(parse({ rope_scaling: { type: 'linear', factor: 2 } }, { ropeTypes }).rope_scaling).toEqual({
      rope_type: 'linear',
      factor: 2,
    });
    expect(parse({ rope_parameters: { rope_type: 'default', rope_theta: 7 } }).rope_theta).toBe(7);
  });

  const [sliding, full] = ['sliding_attention', 'full_attention'];

  it('reads windows: of all blocks for Mistral, of the upper ones for Qwen where it uses them', () => {
    const mistral = parse({ model_type: 'mistral', sliding_window: 8 });
    expect(mistral).toMatchObject({ max_position_embeddings: 16, sliding_window: 8, layer_types: [sliding, sliding] });
    expect(parse({ model_type: 'mistral' }).sliding_window).toBe(4096);
    expect(parse({ model_type: 'mistral', sliding_window: null })).not.toHaveProperty('layer_types');
    const qwen = { model_type: 'qwen2', use_sliding_window: true, sliding_window: 8, max_window_layers: 1 };
    expect(parse(qwen)).toMatchObject({ sliding_window: 8, layer_types: [full, sliding] });
    expect(parse({ ...qwen, layer_types: [sliding, full] }).layer_types).toEqual([sliding, full]);
    expect(parse({ ...qwen, max_window_layers: 2 })).not.toHaveProperty('sliding_window');
    expect(parse({ ...qwen, use_sliding_window: false })).not.toHaveProperty('sliding_window');
  });

  it('reads Gemma 2 with what transformers takes where the file says nothing', () => {
    const { tie_word_embeddings: _, ...file } = tinyConfig;
    const config = parseModelConfig(JSON.stringify({ ...file, model_type: 'gemma2', hidden_act: 'gelu_pytorch_tanh' }));
    expect(config).toMatchObject({
      head_dim: 256,
      tie_word_embeddings: true,
      sliding_window: 4096,
      layer_types: [sliding, full],
      query_pre_attn_scalar: 256,
      attn_logit_softcapping: 50,
      final_logit_softcapping: 30,
      embedding_scale: 2,
    });
    const uncapped = parse({ model_type: 'gemma2', attn_logit_softcapping: null, final_logit_softcapping: null });
    expect(uncapped).not.toHaveProperty('attn_logit_softcapping');
    expect(uncapped).not.toHaveProperty('final_logit_softcapping');
  });

  it('rounds Gemma’s embedding scale to the format of the checkpoint', () => {
    const scale = (change: object): number | undefined =>
      parse({ model_type: 'gemma2', hidden_size: 3072, ...change }).embedding_scale;
    expect(scale({ torch_dtype: 'bfloat16' })).toBe(55.5);
    expect(scale({ dtype: 'bfloat16', torch_dtype: 'float32' })).toBe(55.5);
    expect(scale({ torch_dtype: 'float16' })).toBe(55.4375);
    expect(scale({})).toBe(Math.fround(Math.sqrt(3072)));
  });

  it('reads the two rotary bases of Gemma 3, as transformers 4 writes them and as transformers 5 does', () => {
    const gemma3 = { model_type: 'gemma3_text', head_dim: 2, sliding_window: 4, attn_logit_softcapping: null };
    const wanted = {
      rope_theta: 500,
      rope_scaling: { rope_type: 'linear', factor: 8 },
      rope_local_base_freq: 70,
      layer_types: [sliding, full],
    };
    const ropeTypes = ['linear'];
    const scaling = { rope_type: 'linear', factor: 8 };
    const flat = { rope_theta: 500, rope_scaling: scaling, rope_local_base_freq: 70, sliding_window_pattern: 2 };
    expect(parse({ ...gemma3, ...flat }, { ropeTypes })).toMatchObject(wanted);
    const rope_parameters = {
      full_attention: { rope_theta: 500, ...scaling },
      sliding_attention: { rope_theta: 70, rope_type: 'default' },
    };
    const nested = { layer_types: [sliding, full], rope_parameters };
    expect(parse({ ...gemma3, ...nested }, { ropeTypes })).toMatchObject(wanted);
    const stretched = { ...rope_parameters, sliding_attention: scaling };
    expect(() => parse({ ...gemma3, ...nested, rope_parameters: stretched }, { ropeTypes })).toThrow(
      /sliding_attention "linear" is not supported/,
    );
    expect(parse({ model_type: 'gemma3_text' })).toMatchObject({ rope_theta: 1e6, rope_local_base_freq: 1e4 });
  });
});

describe('baseModelDigest', () => {
  it('changes with weights, config and tokenizer, and with nothing else', async () => {
    await aModel();
    const digest = await baseModelDigest(directory);
    await writeFile(join(directory, 'README.md'), 'new');
    expect(await baseModelDigest(directory)).toBe(digest);
    const seen = new Set([digest]);
    for (const [name, text] of [
      ['config.json', '{ }'],
      ['tokenizer.json', '{ }'],
      ['model.safetensors', 'x'],
    ] as const) {
      await writeFile(join(directory, name), text);
      seen.add(await baseModelDigest(directory));
    }
    expect(seen.size).toBe(4);
  });

  it('is the recorded value for recorded files, so that it never changes by accident', async () => {
    for (const name of ['config.json', 'tokenizer.json', 'model.safetensors'])
      await writeFile(join(directory, name), name);
    expect(await baseModelDigest(directory)).toBe('423a7742515b9e5dfc830f9f76ef48eff1299335043f77285318c30b03793567');
  });

  it('asks for the tokenizer, which decides what the weights mean', async () => {
    await aModel();
    await rm(join(directory, 'tokenizer.json'));
    await expect(baseModelDigest(directory)).rejects.toMatchObject({ code: 'base-model/not-found' });
  });
});

describe.skipIf(!existsSync(shared))('openBaseModel on ../shared', () => {
  it('opens both small models', async () => {
    const demo = await openBaseModel(join(shared, 'models/demo-base'));
    expect(await demo.tensor('model.layers.3.mlp.down_proj.weight', [128, 352])).toHaveLength(128 * 352);
    const stories = await openBaseModel(join(shared, 'models/stories260K/hf'));
    expect(stories.config).toMatchObject({ num_attention_heads: 8, num_key_value_heads: 4, tie_word_embeddings: true });
  });

  it('reads a bitsandbytes NF4 checkpoint with double quantization as it was recorded, without losing a code', async () => {
    for (const name of ['model.safetensors', 'config.json']) {
      await copyFile(join(shared, 'fixtures/stories260K-nf4', name), join(directory, name));
    }
    await json('tokenizer.json', {});
    const model = await openBaseModel(directory);
    const stored = readSafetensors(readFileSync(join(shared, 'fixtures/stories260K-nf4/model.safetensors')));
    const golden = readSafetensors(
      readFileSync(join(shared, 'fixtures/stories260K-nf4/dequantized.golden.safetensors')),
    );
    for (const [name, { shape, dtype }] of golden.header.tensors) {
      const values = await model.tensor(name, shape);
      expect(values).toEqual(decodeFloats(golden.bytesOf(name)!, dtype));
      expect(quantizeNf4(values).codes).toEqual(stored.bytesOf(name));
    }
  });
});
