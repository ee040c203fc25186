import { seededRandom } from '@fedlora/protocol/node';
import type { LoraAdapter } from '@fedlora/shared';
import { describe, expect, it } from 'vitest';
import { differences } from './difference.js';

const INPUTS = 5;
const OUTPUTS = 7;

/** An adapter of modules of these names, with random factors. */
function anAdapter(seed: string, names: readonly string[], r: number, loraAlpha: number): LoraAdapter {
  const random = seededRandom(seed);
  const values = (length: number): Float32Array => Float32Array.from(random(length), (byte) => byte / 128 - 1);
  const modules = names.map((name) => ({ name, inFeatures: INPUTS, outFeatures: OUTPUTS }));
  return {
    config: {
      base_model_name_or_path: 'tiny',
      revision: null,
      r,
      lora_alpha: loraAlpha,
      use_rslora: false,
      target_modules: [...names],
    },
    modules,
    tensors: { modules: names.map(() => ({ A: values(r * INPUTS), B: values(OUTPUTS * r) })) },
  };
}

/** (alpha / r) B A of a module, in full. */
function inFull({ config, tensors }: LoraAdapter, module: number): number[] {
  const { r, lora_alpha: loraAlpha } = config;
  const { A, B } = tensors.modules[module];
  return Array.from({ length: OUTPUTS * INPUTS }, (_, at) => {
    const [o, i] = [Math.floor(at / INPUTS), at % INPUTS];
    let sum = 0;
    for (let k = 0; k < r; k++) sum += B[o * r + k] * A[k * INPUTS + i];
    return (loraAlpha / r) * sum;
  });
}

const norm = (values: readonly number[]): number => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));

describe('differences', () => {
  it('are the norms of the full matrices, for adapters of different rank and scale', async () => {
    const left = anAdapter('left', ['q', 'v'], 3, 6);
    const right = anAdapter('right', ['q', 'v'], 2, 16);
    const found = await differences(left, right);
    expect(found.map(({ name }) => name)).toEqual(['q', 'v']);
    found.forEach((one, module) => {
      const [ofLeft, ofRight] = [inFull(left, module), inFull(right, module)];
      expect(one.left).toBeCloseTo(norm(ofLeft), 6);
      expect(one.right).toBeCloseTo(norm(ofRight), 6);
      expect(one.difference).toBeCloseTo(norm(ofLeft.map((value, i) => value - ofRight[i])), 6);
    });
  });

  it('take a module that only one adapts as zero in the other', async () => {
    const [q, v] = await differences(anAdapter('left', ['q'], 2, 4), anAdapter('right', ['v'], 2, 4));
    expect(q).toMatchObject({ name: 'q', right: 0, difference: q.left });
    expect(v).toMatchObject({ name: 'v', left: 0, difference: v.right });
  });

  it('are nothing between an adapter and itself', async () => {
    const one = anAdapter('left', ['q'], 3, 6);
    const [{ left, difference }] = await differences(one, one);
    expect(difference / left).toBeLessThan(1e-7);
  });
});
