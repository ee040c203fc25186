import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { decodeFloats, readSafetensors, writeSafetensors, type SafetensorsContent } from '@fedlora/shared';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { fedlora } from '../../../test/support/command-line.js';
import { addUpdate } from '../engine/weights/add-update.js';
import { openSafetensorsFolder } from '../engine/weights/safetensors-file.js';
import { mergeIntoBase } from './merge-into-base.js';

const fixtures = resolve(import.meta.dirname, '../../../test/fixtures/merge');
const adapter = join(fixtures, 'adapters/one');
/** PEFT adds in f32; values are of size 1. */
const F32_SUM = 1e-6;
/** PEFT rounds adapter, product and sum to bf16, each to half of 2^-8 relative; values and changes are below 2. */
const BF16_SUM = 2 ** -6;
const Q = 'model.layers.0.self_attn.q_proj.weight';

let folder: string;
let target: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fedlora-into-base-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));
beforeEach(async () => {
  target = join(await mkdtemp(join(folder, 'case-')), 'merged');
});

const into = (base: string, from = adapter) => mergeIntoBase({ folder: from, base, card: '# Card\n', target });
const expected = async (name: string): Promise<SafetensorsContent> =>
  readSafetensors(await readFile(join(fixtures, name)));

async function largestDifference(from: string, recorded: SafetensorsContent): Promise<number> {
  const merged = await openSafetensorsFolder(from);
  expect([...merged.names()].sort()).toEqual([...recorded.header.tensors.keys()].sort());
  let largest = 0;
  for (const { name, dtype } of recorded.header.tensors.values()) {
    expect(merged.entry(name)?.dtype).toBe(dtype);
    const wanted = decodeFloats(recorded.bytesOf(name) ?? new Uint8Array(), dtype);
    (await merged.floats(name)).forEach((value, i) => (largest = Math.max(largest, Math.abs(value - wanted[i]))));
  }
  return largest;
}

describe('mergeIntoBase', () => {
  it('gives what PEFT gives, in the same shards, with every file that a server needs', async () => {
    const base = join(fixtures, 'base');
    expect(await into(base)).toBeGreaterThan(8000);
    expect(await largestDifference(target, await expected('with-adapter.safetensors'))).toBeLessThan(F32_SUM);
    expect((await readdir(target)).sort()).toEqual(['README.md', ...(await readdir(base))].sort());
    expect(await readFile(join(target, 'README.md'), 'utf8')).toBe('# Card\n');
  });

  it('keeps bf16, and a layer that the adapter leaves alone as it is', async () => {
    const base = join(fixtures, 'base-bf16');
    await into(base);
    expect(await largestDifference(target, await expected('with-adapter-bf16.safetensors'))).toBeLessThan(BF16_SUM);
    const [before, after] = [await openSafetensorsFolder(base), await openSafetensorsFolder(target)];
    const untouched = 'model.layers.0.mlp.up_proj.weight';
    expect(await after.bytes(untouched)).toEqual(await before.bytes(untouched));
    expect(await after.bytes(Q)).not.toEqual(await before.bytes(Q));
  });

  it('takes nothing of the base folder but what belongs to a model', async () => {
    const base = join(folder, 'cluttered');
    await cp(join(fixtures, 'base-bf16'), base, { recursive: true });
    for (const name of ['pytorch_model.bin', '.env', 'LICENSE', 'merges.txt', 'README.md'])
      await writeFile(join(base, name), 'x');
    await into(base);
    expect((await readdir(target)).sort()).toEqual(
      ['LICENSE', 'README.md', 'config.json', 'generation_config.json', 'merges.txt', 'model.safetensors'].sort(),
    );
  });

  async function changed(
    change: (tensors: { name: string; shape: readonly number[]; values: Float32Array }[]) => object[],
  ): Promise<string> {
    const base = await mkdtemp(join(folder, 'base-'));
    const content = await expected('with-adapter.safetensors');
    const tensors = [...content.header.tensors.values()].map(({ name, shape, dtype }) => ({
      name,
      shape,
      values: decodeFloats(content.bytesOf(name) ?? new Uint8Array(), dtype),
    }));
    await writeFile(join(base, 'model.safetensors'), writeSafetensors(change(tensors) as typeof tensors));
    return base;
  }

  it('leaves nothing behind where a layer is missing or of another shape', async () => {
    const without = await changed((tensors) => tensors.filter(({ name }) => name !== Q));
    await expect(into(without)).rejects.toMatchObject({ code: 'adapter/not-mergeable' });
    const narrow = await changed((tensors) =>
      tensors.map((tensor) => (tensor.name === Q ? { ...tensor, shape: [32, 8] } : tensor)),
    );
    await expect(into(narrow)).rejects.toMatchObject({ code: 'adapter/wrong-shape' });
    expect(await readdir(join(target, '..'))).toEqual([]);
  });

  it('leaves nothing behind where weights break off in the middle', async () => {
    const infinite = await changed((tensors) =>
      tensors.map((tensor) => (tensor.name === Q ? { ...tensor, values: tensor.values.fill(Infinity) } : tensor)),
    );
    await expect(into(infinite)).rejects.toMatchObject({ code: 'adapter/not-finite' });
    expect(await readdir(join(target, '..'))).toEqual([]);
  });

  it('overwrites nothing', async () => {
    await into(join(fixtures, 'base'));
    await expect(into(join(fixtures, 'base-bf16'))).rejects.toMatchObject({ code: 'config/invalid' });
  });

  it('is a command, which takes what nobody signed only when it is told to', async () => {
    const args = ['adapter', 'merge-into-base', adapter, '--base', join(fixtures, 'base'), '--out', target];
    const refused = await fedlora([...args, '--key', 'ab'.repeat(32)]);
    expect([refused.code, refused.error]).toEqual([21, expect.stringContaining('[adapter/not-authentic]')]);
    const { code, out } = await fedlora([...args, '--unsigned']);
    expect([code, out]).toEqual([0, expect.stringContaining('with the adapter in them')]);
    expect(await readFile(join(target, 'README.md'), 'utf8')).toContain('Nothing is known of the privacy');
  });
});

describe('addUpdate', () => {
  it('gives the same whatever pieces a tensor comes in', () => {
    const layer = {
      name: 'w',
      inFeatures: 3,
      outFeatures: 4,
      r: 2,
      scaling: 1.5,
      A: Float32Array.from({ length: 6 }, (_, i) => Math.sin(i + 1)),
      B: Float32Array.from({ length: 8 }, (_, i) => Math.cos(i + 1)),
    };
    const W = new Uint8Array(Float32Array.from({ length: 12 }, (_, i) => i / 7).buffer);
    const whole = addUpdate(W, 'F32', 0, layer);
    const product = 1.5 * (layer.B[6] * layer.A[2] + layer.B[7] * layer.A[5]);
    expect(decodeFloats(whole, 'F32')[11]).toBeCloseTo(11 / 7 + product, 6);
    for (let cut = 1; cut < 12; cut++) {
      const pieces = [
        addUpdate(W.subarray(0, 4 * cut), 'F32', 0, layer),
        addUpdate(W.subarray(4 * cut), 'F32', cut, layer),
      ];
      expect(Buffer.concat(pieces)).toEqual(Buffer.from(whole));
    }
  });

  it('refuses a sum that f16 cannot hold', () => {
    const layer = {
      name: 'w',
      inFeatures: 1,
      outFeatures: 1,
      r: 1,
      scaling: 1,
      A: Float32Array.of(300),
      B: Float32Array.of(300),
    };
    expect(() => addUpdate(new Uint8Array(2), 'F16', 0, layer)).toThrow(
      expect.objectContaining({ code: 'adapter/not-finite' }),
    );
  });
});
