import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { convertWeights, weightDtypes } from './convert.js';
import { decodeFloats, readSafetensors, writeSafetensors } from './safetensors.js';

const aFile = (values: readonly number[]): Uint8Array =>
  writeSafetensors([{ name: 'a', shape: [values.length], values: Float32Array.from(values) }]);
const valuesOf = (file: Uint8Array): number[] => {
  const content = readSafetensors(file);
  const entry = content.header.tensors.get('a');
  return [...decodeFloats(content.bytesOf('a') ?? new Uint8Array(), entry?.dtype ?? 'F32')];
};

describe('convertWeights', () => {
  it.each([
    ['f32', 4, 0],
    ['f16', 2, 2 ** -11],
    ['bf16', 2, 2 ** -8],
  ] as const)(
    'writes %s in %i bytes a value, rounded by no more than half a unit of the last place',
    (dtype, bytes, most) => {
      const file = aFile(Array.from({ length: 1000 }, (_, i) => Math.sin(i)));
      const converted = convertWeights(file, dtype, { from: 'x' });
      const { header } = readSafetensors(converted.bytes);
      expect(converted.bytes.length - header.dataStart).toBe(1000 * bytes);
      expect(Object.fromEntries(header.metadata)).toEqual({ format: 'pt', from: 'x' });
      expect(converted.largestChange).toBeLessThanOrEqual(most);
      if (most > 0) expect(converted.largestChange).toBeGreaterThan(most / 10);
    },
  );

  it('changes nothing that is converted already', () => {
    fc.assert(
      fc.property(
        fc.array(fc.float({ min: -1000, max: 1000, noNaN: true }), { minLength: 1 }),
        fc.constantFrom(...weightDtypes),
        (values, dtype) => {
          const once = convertWeights(aFile(values), dtype, {});
          const twice = convertWeights(once.bytes, dtype, {});
          expect(twice.bytes).toEqual(once.bytes);
          expect(twice.largestChange).toBe(0);
          expect(valuesOf(convertWeights(once.bytes, 'f32', {}).bytes)).toEqual(valuesOf(once.bytes));
        },
      ),
    );
  });

  it('refuses what f16 cannot hold, and not what bf16 can', () => {
    expect(() => convertWeights(aFile([1, 70_000]), 'f16', {})).toThrow('a has a value that f16 cannot hold');
    expect(convertWeights(aFile([1, 70_000]), 'bf16', {}).largestChange).toBeGreaterThan(0);
  });
});
