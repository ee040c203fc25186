import { readSafetensors, type SafetensorsContent } from '@fedlora/shared';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeBitsAndBytes } from './bitsandbytes.js';
import { expectedTensors, openBaseModel } from './hugging-face.js';
import { linearWeightNames, quantizedLinear } from './nf4-store.js';
import { dequantizeAbsmax, dequantizeNf4, quantizeAbsmax, quantizeNf4 } from './nf4.js';

const shared = resolve(import.meta.dirname, '../../../../../shared');
const fixtures = resolve(import.meta.dirname, '../../../../test/fixtures/gguf');
const ropeTypes = ['llama3'] as const;

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fedlora-bnb-'));
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

const written = (): SafetensorsContent => readSafetensors(readFileSync(join(directory, 'out/model.safetensors')));

describe('writeBitsAndBytes', () => {
  it.each(['llama', 'qwen2', 'qwen3', 'llama/model.gguf'])('writes what openBaseModel reads back: %s', async (name) => {
    const base = await openBaseModel(join(fixtures, name), { ropeTypes });
    await writeBitsAndBytes(base, join(directory, 'out'));
    const back = await openBaseModel(join(directory, 'out'), { ropeTypes });
    expect(back.config).toEqual(base.config);
    const linear = linearWeightNames(base.config);
    const { tensors } = await quantizedLinear(back);
    for (const [tensor, shape] of expectedTensors(base.config)) {
      const original = await base.tensor(tensor, shape);
      if (!linear.includes(tensor)) {
        expect(await back.tensor(tensor, shape), tensor).toEqual(original);
        continue;
      }
      const { codes, absmax } = quantizeNf4(original);
      const doubled = dequantizeAbsmax(quantizeAbsmax(absmax));
      expect(tensors.get(tensor), tensor).toEqual({ codes, absmax: doubled, shape });
      const expected = dequantizeNf4({ codes, absmax: doubled }, original.length);
      expect(await back.tensor(tensor, shape), tensor).toEqual(expected);
    }
  });

  it('keeps absmax as it is without double quantization, and everything else in the format asked for', async () => {
    const base = await openBaseModel(join(fixtures, 'qwen3'));
    await writeBitsAndBytes(base, join(directory, 'out'), { doubleQuantization: false, dtype: 'BF16' });
    const { header } = written();
    expect(header.tensors.get('model.norm.weight')?.dtype).toBe('BF16');
    const name = 'model.layers.1.mlp.down_proj.weight';
    expect(header.tensors.get(`${name}.absmax`)).toMatchObject({ dtype: 'F32', shape: [6] });
    expect(header.tensors.has(`${name}.nested_absmax`)).toBe(false);
    const { tensors } = await quantizedLinear(await openBaseModel(join(directory, 'out')));
    expect(tensors).toEqual((await quantizedLinear(base)).tensors);
  });

  it('brings the tokenizer, and keeps the ids that begin and end texts', async () => {
    const base = await openBaseModel(join(fixtures, 'qwen2'));
    await writeBitsAndBytes(base, join(directory, 'out'));
    expect((await readdir(join(directory, 'out'))).sort()).toEqual([
      'config.json',
      'model.safetensors',
      'tokenizer.json',
    ]);
    const config = JSON.parse(await readFile(join(directory, 'out/config.json'), 'utf8'));
    expect(config).toMatchObject({ bos_token_id: 1, eos_token_id: 2, architectures: ['Qwen2ForCausalLM'] });
  });

  it('writes over nothing', async () => {
    const base = await openBaseModel(join(fixtures, 'qwen2'));
    await writeBitsAndBytes(base, join(directory, 'out'));
    const again = writeBitsAndBytes(base, join(directory, 'out'));
    await expect(again).rejects.toMatchObject({ code: 'base-model/exists' });
  });

  it.skipIf(!existsSync(shared))('gives the recorded checkpoint: names, order, shapes, and bytes', async () => {
    await writeBitsAndBytes(await openBaseModel(join(shared, 'models/stories260K/hf')), join(directory, 'out'));
    const ours = written();
    const theirs = readSafetensors(readFileSync(join(shared, 'fixtures/stories260K-nf4/model.safetensors')));
    expect([...ours.header.tensors.keys()]).toEqual([...theirs.header.tensors.keys()]);
    let sameOffsets = 0;
    for (const name of linearWeightNames((await openBaseModel(join(directory, 'out'))).config)) {
      const state = `${name}.quant_state.bitsandbytes__nf4`;
      const [our, their] = [ours, theirs].map((file) => Buffer.from(file.bytesOf(state)!).toString());
      const isSame = our === their;
      if (isSame) sameOffsets++;
      // torch sums the mean of absmax in an order of its own: then its last bit, and what follows from it, may differ.
      else expect(our.replace(/[\d.]+}$/, ''), name).toBe(their.replace(/[\d.]+}$/, ''));
      for (const suffix of ['', '.quant_map', '.nested_quant_map', ...(isSame ? ['.absmax', '.nested_absmax'] : [])]) {
        expect(ours.header.tensors.get(name + suffix)?.shape).toEqual(theirs.header.tensors.get(name + suffix)?.shape);
        expect(ours.bytesOf(name + suffix), name + suffix).toEqual(theirs.bytesOf(name + suffix));
      }
    }
    expect(sameOffsets).toBe(25); // of 35
    const config = JSON.parse(await readFile(join(directory, 'out/config.json'), 'utf8'));
    const recorded = JSON.parse(await readFile(join(shared, 'fixtures/stories260K-nf4/config.json'), 'utf8'));
    expect(config).toMatchObject({ ...recorded, rope_scaling: null });
  });
});
