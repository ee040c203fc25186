import { describe, expect, it } from 'vitest';
import { initialAdapter, kaimingUniformA, toVector, withVector } from './adapter-init.js';
import { KnownValues } from './onnx/known-model.js';

function seeded(seed: number): (byteLength: number) => Uint8Array {
  const known = new KnownValues(seed);
  return (byteLength) => Uint8Array.from(known.values(byteLength, 128, 128), (value) => Math.floor(value));
}

const modules = [
  { name: 'a', inFeatures: 6, outFeatures: 4 },
  { name: 'b', inFeatures: 3, outFeatures: 5 },
];

describe('kaimingUniformA', () => {
  it('is uniform within 1 / sqrt(in)', () => {
    const A = kaimingUniformA(50, 100, seeded(1));
    expect(Math.max(...A)).toBeLessThanOrEqual(0.1);
    expect(Math.max(...A)).toBeGreaterThan(0.099);
    expect(Math.min(...A)).toBeLessThan(-0.099);
    const variance = A.reduce((sum, value) => sum + value * value, 0) / A.length;
    expect(variance).toBeCloseTo(0.1 ** 2 / 3, 4);
  });
});

describe('toVector and withVector', () => {
  it('leave A and B alone where R is trained', () => {
    const adapter = initialAdapter(modules, 2, 'frozen', seeded(4));
    expect(toVector(adapter, 'R')).toEqual(new Float32Array(8));
    const changed = withVector(adapter, modules, 2, 'R', Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8));
    expect(changed.modules[1]).toEqual({ ...adapter.modules[1], R: Float32Array.of(5, 6, 7, 8) });
  });

  it.each(['A', 'B', 'both'] as const)('put back what they took out: %s', (trained) => {
    const adapter = initialAdapter(modules, 2, 'kaiming', seeded(4));
    const vector = toVector(adapter, trained);
    expect(withVector(adapter, modules, 2, trained, vector)).toEqual(adapter);
    const changed = withVector(
      adapter,
      modules,
      2,
      trained,
      vector.map((value) => value + 1),
    );
    expect(changed.modules[1].A[0]).toBe(Math.fround(adapter.modules[1].A[0] + (trained === 'B' ? 0 : 1)));
    expect(changed.modules[1].B[0]).toBe(trained === 'A' ? 0 : 1);
  });

  it('lay modules out one after the other, A before B', () => {
    const adapter = initialAdapter(modules, 2, 'orthonormal', seeded(5));
    const vector = toVector(adapter, 'both');
    expect(vector.length).toBe(12 + 8 + 6 + 10);
    expect([...vector.subarray(20, 26)]).toEqual([...adapter.modules[1].A]);
  });
});
