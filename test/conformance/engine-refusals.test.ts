import { decodeFloats, readSafetensors, writeSafetensors, type TensorToWrite } from '@fedlora/shared';
import { readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Batch, Engine } from '../../client/src/engine/engine.js';
import { createOnnxEngine } from '../../client/src/engine/onnx/engine.js';
import { createTfjsEngine } from '../../client/src/engine/tfjs/engine.js';
import { openBaseModel } from '../../client/src/engine/weights/hugging-face.js';
import { fixtureFolder, fixtures, modelOf, toBatch, withFactorR } from './engine-fixtures.js';

const fixture = fixtures['qwen2'];
const { base, adapter } = modelOf(fixture);
const options = { base, lora: fixture.lora, quantization: 'none' } as const;
const open: Engine[] = [];
afterAll(() => Promise.all(open.map((engine) => engine.close())));

const engines: [string, () => Promise<Engine>][] = [
  ['onnx', () => createOnnxEngine({ ...options, threads: 1 })],
  ['tfjs', () => createTfjsEngine({ ...options, backend: 'wasm' })],
];

describe.each(engines)('%s refuses', (_, create) => {
  const anEngine = async (): Promise<Engine> => {
    const engine = await create();
    open.push(engine);
    engine.setAdapter(adapter);
    return engine;
  };
  const batch = toBatch(fixture.batch);
  const clipping = { trained: 'both', l2Bound: 1 } as const;

  it('a token id that the base model does not have, by its row', async () => {
    const engine = await anEngine();
    for (const wrong of [engine.vocabularySize, -1]) {
      const ids = batch.ids.with(batch.length + 2, wrong);
      const refusal = { code: 'tokenizer/mismatch', message: expect.stringMatching(`Row 1 .* ${wrong}; .* 40`) };
      await expect(engine.gradients({ ...batch, ids }, clipping)).rejects.toMatchObject(refusal);
      await expect(engine.evaluate({ ...batch, ids })).rejects.toMatchObject(refusal);
      await expect(engine.logits({ ...batch, ids }, Int32Array.of(1, 1, 1))).rejects.toMatchObject(refusal);
    }
  });

  it('a row that is longer than the base model takes, by its number and the limit', async () => {
    const engine = await anEngine();
    const ids = new Int32Array(2 * 70).fill(1, 70, 70 + 66);
    const long = { examples: 2, length: 70, ids, answerMask: new Uint8Array(2 * 70) };
    const refusal = { code: 'data/too-long', message: expect.stringMatching(/Row 1 .* 66 tokens; .* 64/) };
    await expect(engine.gradients(long, clipping)).rejects.toMatchObject(refusal);
    await expect(engine.evaluate(long)).rejects.toMatchObject(refusal);
    await expect(engine.evaluate({ ...long, ids: new Int32Array(2 * 70) })).rejects.toThrow(/padded to 70/);
  });

  it('to train R of an adapter that has none, and A or B of one whose A and B are frozen around R', async () => {
    const engine = await anEngine();
    const refusal = { code: 'internal/unexpected', message: expect.stringContaining('factors R') };
    await expect(engine.gradients(batch, { trained: 'R', l2Bound: 1 })).rejects.toMatchObject(refusal);
    engine.setAdapter(withFactorR(fixture, adapter));
    expect(engine.adapter()).toEqual(withFactorR(fixture, adapter));
    for (const trained of ['A', 'B', 'both'] as const)
      await expect(engine.gradients(batch, { trained, l2Bound: 1 })).rejects.toMatchObject(refusal);
    engine.setAdapter(adapter);
    expect(engine.adapter()).toEqual(adapter);
  });

  it('an adapter that has R in some modules only, or of another size', async () => {
    const engine = await anEngine();
    const { modules } = withFactorR(fixture, adapter);
    const refusal = expect.objectContaining({ code: 'adapter/wrong-shape' });
    expect(() => engine.setAdapter({ modules: modules.with(1, adapter.modules[1]) })).toThrow(refusal);
    const short = modules.map((module) => ({ ...module, R: module.R!.slice(1) }));
    expect(() => engine.setAdapter({ modules: short })).toThrow(refusal);
  });

  it.each([
    ['ids that are too few', { ids: batch.ids.slice(1) }],
    ['a mask that is too long', { answerMask: new Uint8Array(batch.answerMask.length + 1) }],
  ])('%s', async (_name, change: Partial<Batch>) => {
    const engine = await anEngine();
    await expect(engine.evaluate({ ...batch, ...change })).rejects.toMatchObject({ code: 'internal/unexpected' });
  });

  it('true lengths that no row has', async () => {
    const engine = await anEngine();
    for (const lengths of [
      [1, 1],
      [1, 0, 1],
      [1, 1, batch.length + 1],
    ]) {
      await expect(engine.logits(batch, Int32Array.from(lengths))).rejects.toMatchObject({
        code: 'internal/unexpected',
      });
    }
  });

  it('a bound to clip to that is no length', async () => {
    const engine = await anEngine();
    for (const l2Bound of [NaN, -1, Infinity]) {
      await expect(engine.gradients(batch, { trained: 'A', l2Bound })).rejects.toMatchObject({
        code: 'privacy/invalid-parameter',
      });
    }
  });

  it('an adapter of another layout, by the module, and keeps the one it has', async () => {
    const engine = await anEngine();
    const { modules } = adapter;
    const refusal = (message: RegExp) =>
      expect.objectContaining({ code: 'adapter/wrong-shape', message: expect.stringMatching(message) });
    expect(() => engine.setAdapter({ modules: modules.slice(1) })).toThrow(refusal(/13 modules; .* 14/));
    const swapped = modules.map(({ A, B }, i) => (i === 1 ? { A: B.slice(1), B: A } : { A, B }));
    expect(() => engine.setAdapter({ modules: swapped })).toThrow(refusal(/layers\.0\.self_attn\.k_proj have 47/));
    expect(engine.adapter()).toEqual(adapter);
  });

  it('to give gradients of an adapter that has diverged', async () => {
    const engine = await anEngine();
    engine.setAdapter({ modules: adapter.modules.map(({ A, B }) => ({ A, B: B.map(() => Infinity) })) });
    for (const l2Bound of [1, null]) {
      await expect(engine.gradients(batch, { trained: 'both', l2Bound })).rejects.toMatchObject({
        code: 'engine/diverged',
      });
    }
  });

  it('to compute once it is closed', async () => {
    const engine = await create();
    await engine.close();
    await expect(engine.evaluate(batch)).rejects.toMatchObject({ code: 'internal/unexpected' });
  });
});

describe('a damaged folder is refused before anything is computed', () => {
  const tiny = join(fixtureFolder, 'tiny');
  const norm = 'model.layers.1.input_layernorm.weight';
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fedlora-damaged-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  const intact = (): TensorToWrite[] => {
    const { header, bytesOf } = readSafetensors(readFileSync(join(tiny, 'model.safetensors')));
    return [...header.tensors].map(([name, { shape, dtype }]) => ({
      name,
      shape,
      values: decodeFloats(bytesOf(name)!, dtype),
    }));
  };

  async function write(tensors: TensorToWrite[], config: object = {}): Promise<void> {
    const stated = JSON.parse(await readFile(join(tiny, 'config.json'), 'utf8')) as object;
    await writeFile(join(folder, 'config.json'), JSON.stringify({ ...stated, ...config }));
    await writeFile(join(folder, 'tokenizer.json'), '{}');
    await writeFile(join(folder, 'model.safetensors'), writeSafetensors(tensors));
  }

  it.each([
    [
      'an architecture that nobody computes',
      intact(),
      { model_type: 'mamba' },
      'base-model/unsupported',
      /mamba.*llama/,
    ],
    [
      'a missing tensor',
      intact().filter(({ name }) => name !== norm),
      {},
      'base-model/invalid',
      /layers\.1\.input_layernorm\.weight is missing.*\[32\]/,
    ],
    [
      'a tensor of another shape',
      intact(),
      { intermediate_size: 40 },
      'base-model/invalid',
      /gate_proj\.weight is \[48, 32\], but config.json calls for \[40, 32\]/,
    ],
    ['a tensor that no such model has', intact(), { num_hidden_layers: 2 }, 'base-model/unsupported', /layers\.2\./],
  ])('%s', async (_, tensors, config, code, message) => {
    await write(tensors, config);
    await expect(openBaseModel(folder)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });

  it.each([
    [norm, 'nf4'],
    ['model.layers.2.mlp.up_proj.weight', 'nf4'],
    ['model.layers.2.mlp.up_proj.weight', 'none'],
    ['model.embed_tokens.weight', 'none'],
  ] as const)('a value of %s that is not a number, by both engines, quantization %s', async (name, quantization) => {
    const tensors = intact();
    tensors.find((tensor) => tensor.name === name)!.values[7] = NaN;
    await write(tensors);
    const damaged = await openBaseModel(folder);
    const refusal = { code: 'base-model/not-finite', message: expect.stringMatching(`${name} holds NaN at index 7`) };
    const lora = fixtures['tiny'].lora;
    await expect(createOnnxEngine({ base: damaged, lora, quantization, selfTest: false })).rejects.toMatchObject(
      refusal,
    );
    const tfjs = createTfjsEngine({ base: damaged, lora, quantization, backend: 'wasm' });
    await expect(tfjs).rejects.toMatchObject(refusal);
  });
});
