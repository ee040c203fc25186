import type { AdaptedModule, Manifest } from '@fedlora/protocol';
import { seededRandom } from '@fedlora/protocol/node';
import { describe, expect, it } from 'vitest';
import { firstAdapter } from './first-adapter.js';
import { rebase } from './rebase.js';
import { aManifest } from '../../../test/support/a-manifest.js';

const F32_PRODUCT = 1e-6; // absolute: products of entries below 1, accumulated over r terms in f32 values

/** Two modules of different shapes. */
function withRank(r: number): Manifest {
  const modules = [
    { name: 'a', inFeatures: 24, outFeatures: 10 },
    { name: 'b', inFeatures: 9, outFeatures: 17 },
  ];
  return aManifest({ adapter: { ...aManifest().adapter, r, modules } });
}

const random = seededRandom(7);
const gaussianish = (length: number): Float32Array =>
  Float32Array.from({ length }, () => random(4).reduce((sum, byte) => sum + byte / 255 - 0.5, 0));

function product(B: Float32Array, A: Float32Array, out: number, r: number, n: number): number[] {
  const result: number[] = [];
  for (let row = 0; row < out; row += 1) {
    for (let column = 0; column < n; column += 1) {
      let sum = 0;
      for (let k = 0; k < r; k += 1) sum += B[row * r + k] * A[k * n + column];
      result.push(sum);
    }
  }
  return result;
}

function largestDifference(a: readonly number[], b: readonly number[]): number {
  return a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - b[i])), 0);
}

const manifest = withRank(4);
const first = await firstAdapter(manifest);

describe('rebase', () => {
  const modules: readonly AdaptedModule[] = manifest.adapter.modules;
  const r = 4;
  const adapter = {
    modules: first.modules.map(({ A }, i) => ({ A, B: gaussianish(modules[i].outFeatures * r) })),
  };
  const length = adapter.modules.reduce((sum, module) => sum + module.B.length, 0);
  const moments = { step: 5, first: gaussianish(length), second: gaussianish(length).map(Math.abs) };
  const rebased = rebase(modules, r, adapter, moments);

  it('keeps the product B A of every module', () => {
    modules.forEach(({ inFeatures, outFeatures }, i) => {
      const before = product(adapter.modules[i].B, adapter.modules[i].A, outFeatures, r, inFeatures);
      const after = product(rebased.adapter.modules[i].B, rebased.adapter.modules[i].A, outFeatures, r, inFeatures);
      expect(largestDifference(before, after)).toBeLessThan(F32_PRODUCT);
    });
  });

  it('keeps the rows of A orthonormal and makes the columns of B orthogonal, largest first', () => {
    modules.forEach(({ inFeatures, outFeatures }, i) => {
      const { A, B } = rebased.adapter.modules[i];
      const columnNorms: number[] = [];
      for (let p = 0; p < r; p += 1) {
        for (let q = 0; q < r; q += 1) {
          let rows = 0;
          for (let k = 0; k < inFeatures; k += 1) rows += A[p * inFeatures + k] * A[q * inFeatures + k];
          expect(rows).toBeCloseTo(p === q ? 1 : 0, 5);
          let columns = 0;
          for (let k = 0; k < outFeatures; k += 1) columns += B[k * r + p] * B[k * r + q];
          if (p === q) columnNorms.push(columns);
          else expect(columns).toBeCloseTo(0, 4);
        }
      }
      expect(columnNorms).toEqual([...columnNorms].sort((a, b) => b - a));
    });
  });

  it('rotates the first moment as it rotates B, and keeps the second positive', () => {
    // The gradient of B' is that of B times W; so moments equal to B must come out equal to B'.
    const asMoments = Float32Array.from(adapter.modules.flatMap((module) => [...module.B]));
    const { moments: rotated } = rebase(modules, r, adapter, { ...moments, first: asMoments });
    expect(
      largestDifference(
        [...(rotated?.first ?? [])],
        rebased.adapter.modules.flatMap((module) => [...module.B]),
      ),
    ).toBe(0);
    expect(rebased.moments?.second.every((value) => value >= 0)).toBe(true);
    expect(rebased.moments?.step).toBe(5);
  });

  it('leaves an adapter whose B is zero as it is', () => {
    expect(rebase(modules, r, first, undefined).adapter.modules[0].A).toEqual(first.modules[0].A);
  });
});

describe('firstAdapter', () => {
  it('is the same for the same run id and another for another', async () => {
    expect(await firstAdapter(manifest)).toEqual(first);
    expect(await firstAdapter({ ...manifest, runId: 'run-other' })).not.toEqual(first);
  });

  it.each(['alternate', 'fedavg'] as const)('of %s has A as PEFT starts it, and B at zero', async (rule) => {
    const { modules } = await firstAdapter({ ...manifest, adapter: { ...manifest.adapter, rule } });
    const bound = 1 / Math.sqrt(24);
    const largest = Math.max(...modules[0].A.map(Math.abs));
    expect(largest).toBeLessThanOrEqual(bound);
    expect(largest).toBeGreaterThan(0.9 * bound); // 96 values: 0.9^96 would be a chance of 4e-5
    expect(modules[0].B).toEqual(new Float32Array(40));
  });

  it('of fed-sb is refused where the terms name other frozen factors', async () => {
    const lie = {
      ...manifest,
      adapter: { ...manifest.adapter, rule: 'fed-sb', frozenDigest: 'e'.repeat(64) },
    } as const;
    await expect(firstAdapter(lie)).rejects.toMatchObject({ code: 'adapter/frozen-mismatch' });
  });
});
