import { publicRandom } from '@fedlora/protocol/node';
import { describe, expect, it } from 'vitest';
import { aManifest } from '../../../test/support/a-manifest.js';
import { checkedFrozenFactors, frozenFactors, frozenFactorsOfRun, orthonormalRows } from './frozen-factors.js';

const parts = { publicRandom, pause: async () => undefined };

/** Entries of a Gram matrix of f32 values of length 1: a rounding each. */
const F32_UNIT = 1e-6;

const modules = [
  { name: 'a', inFeatures: 6, outFeatures: 4 },
  { name: 'b', inFeatures: 3, outFeatures: 5 },
];

/** Inner products of the rows of [rows, columns], less the unit matrix: the largest. */
function distanceFromUnit(values: Float32Array, rows: number, columns: number): number {
  let largest = 0;
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < rows; j++) {
      let dot = i === j ? -1 : 0;
      for (let k = 0; k < columns; k++) dot += values[i * columns + k] * values[j * columns + k];
      largest = Math.max(largest, Math.abs(dot));
    }
  }
  return largest;
}

describe('orthonormalRows', () => {
  it.each([
    [1, 1],
    [3, 3],
    [8, 352],
    [64, 64],
  ])('makes %i rows of %i values, at right angles and of length 1', (rows, columns) => {
    const values = orthonormalRows(rows, columns, publicRandom('rows'));
    expect(distanceFromUnit(values, rows, columns)).toBeLessThan(F32_UNIT);
  });

  it('favours no direction: the mean square of every coordinate is 1 / columns', () => {
    const random = publicRandom('directions');
    const squares = new Float64Array(4);
    const draws = 20_000;
    for (let i = 0; i < draws; i++) orthonormalRows(1, 4, random).forEach((value, k) => (squares[k] += value ** 2));
    // The standard deviation of such a mean is 0.24 / sqrt(20000) = 0.0017; five of them.
    for (const square of squares) expect(Math.abs(square / draws - 0.25)).toBeLessThan(0.0085);
  });

  it('refuses more rows than a space has directions', () => {
    expect(() => orthonormalRows(4, 3, publicRandom('rows'))).toThrow(RangeError);
  });
});

describe('frozenFactors', () => {
  it('have A with orthonormal rows, B with orthonormal columns, and R at zero', () => {
    const factors = frozenFactors(modules, 3, publicRandom('factors'));
    modules.forEach(({ inFeatures, outFeatures }, i) => {
      const { A, B, R } = factors.modules[i];
      expect(distanceFromUnit(A, 3, inFeatures)).toBeLessThan(F32_UNIT);
      const columns = Float32Array.from(B, (_, at) => B[(at % outFeatures) * 3 + Math.floor(at / outFeatures)]);
      expect(distanceFromUnit(columns, 3, outFeatures)).toBeLessThan(F32_UNIT);
      expect(R).toEqual(new Float32Array(9));
    });
  });

  it('of a run are those of its id, drawn module by module, with a pause after each', async () => {
    let pauses = 0;
    const pause = async (): Promise<void> => void pauses++;
    const { adapter } = await frozenFactorsOfRun('run-1', { modules, r: 2 }, { publicRandom, pause });
    expect(adapter).toEqual(frozenFactors(modules, 2, publicRandom('fedlora/frozen-factors/v1\nrun-1')));
    expect(pauses).toBe(modules.length);
  });

  // A second implementation in Python, from SPEC §12.2, gave the same digest.
  it('of a run are what they were when this was written, on every machine: clients compare the digest', async () => {
    const { digest } = await frozenFactorsOfRun('run-1', { modules, r: 2 }, parts);
    expect(digest).toBe('2bb57907293e6b5683bd773096cd60d100f1c2a6a69539b9a4e47745acde9339');
    for (const [runId, terms] of [
      ['run-2', { modules, r: 2 }],
      ['run-1', { modules: modules.toReversed(), r: 2 }],
      ['run-1', { modules, r: 3 }],
    ] as const) {
      expect((await frozenFactorsOfRun(runId, terms, parts)).digest).not.toBe(digest);
    }
  });
});

describe('checkedFrozenFactors', () => {
  it('are those of the terms, or refused', async () => {
    const { runId, adapter: layout } = aManifest();
    const { adapter, digest } = await frozenFactorsOfRun(runId, layout, parts);
    const terms = { runId, adapter: { ...layout, frozenDigest: digest } };
    expect(await checkedFrozenFactors(terms, parts)).toEqual(adapter);
    const other = { ...terms, adapter: { ...layout, frozenDigest: 'e'.repeat(64) } };
    await expect(checkedFrozenFactors(other, parts)).rejects.toMatchObject({ code: 'adapter/frozen-mismatch' });
  });
});
