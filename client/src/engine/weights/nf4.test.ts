import { readSafetensors, decodeFloats, type SafetensorsContent } from '@fedlora/shared';
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  dequantizeAbsmax,
  dequantizeNf4,
  dynamicMap,
  nf4Codebook,
  NF4_BLOCK,
  quantizeAbsmax,
  quantizeNf4,
} from './nf4.js';

const shared = resolve(import.meta.dirname, '../../../../../shared');
const QUANT_STATE = '.quant_state.bitsandbytes__nf4';

/** bitsandbytes' decision tree, spelt out: the definition that the table must equal. */
function treeCode(x: number): number {
  const over = (threshold: number): boolean => x > Math.fround(threshold);
  if (over(0.03979014977812767)) {
    if (over(0.3893125355243683)) {
      if (over(0.6427869200706482)) return over(0.8614784181118011) ? 15 : 14;
      return over(0.5016634166240692) ? 13 : 12;
    }
    if (over(0.2035212516784668)) return over(0.2920137718319893) ? 11 : 10;
    return over(0.1202552504837513) ? 9 : 8;
  }
  if (over(-0.33967943489551544)) {
    if (over(-0.13791173323988914)) return over(-0.045525018125772476) ? 7 : 6;
    return over(-0.23460740596055984) ? 5 : 4;
  }
  if (over(-0.6106329262256622)) return over(-0.4599952697753906) ? 3 : 2;
  return over(-0.8480964004993439) ? 1 : 0;
}

/** Seeded values in (-1, 1), roughly normal. */
function someValues(count: number, seed: number): Float32Array {
  let state = seed;
  const next = (): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  return Float32Array.from({ length: count }, () => (next() + next() + next() + next() - 2) / 2);
}

const codeAt = (codes: Uint8Array, i: number): number => (i % 2 === 0 ? codes[i >> 1] >> 4 : codes[i >> 1] & 15);

describe.skipIf(!existsSync(shared))('NF4 on ../shared/fixtures/stories260K-nf4', () => {
  const open = (path: string): SafetensorsContent => readSafetensors(readFileSync(resolve(shared, path)));
  const floats = (file: SafetensorsContent, name: string): Float32Array =>
    decodeFloats(file.bytesOf(name)!, file.header.tensors.get(name)!.dtype);

  it('gives byte for byte the recorded codes, nested absmax and dequantized weights of all 35 layers', () => {
    const stored = open('fixtures/stories260K-nf4/model.safetensors');
    const golden = open('fixtures/stories260K-nf4/dequantized.golden.safetensors');
    const original = open('models/stories260K/hf/model.safetensors');
    let layers = 0;
    for (const name of golden.header.tensors.keys()) {
      layers++;
      const values = floats(original, name);
      const { codes, absmax } = quantizeNf4(values);
      expect(codes, name).toEqual(stored.bytesOf(name));

      const state = JSON.parse(Buffer.from(stored.bytesOf(name + QUANT_STATE)!).toString()) as {
        nested_offset: number;
      };
      const ulp = 2 ** (Math.floor(Math.log2(state.nested_offset)) - 23);
      expect(Math.abs(quantizeAbsmax(absmax).offset - state.nested_offset)).toBeLessThanOrEqual(ulp);
      const nested = quantizeAbsmax(absmax, state.nested_offset);
      expect(nested.codes, name).toEqual(stored.bytesOf(`${name}.absmax`));
      expect(nested.absmax, name).toEqual(floats(stored, `${name}.nested_absmax`));

      const back = dequantizeNf4({ codes, absmax: dequantizeAbsmax(nested) }, values.length);
      expect(back, name).toEqual(floats(golden, name));
      expect(dynamicMap).toEqual(floats(stored, `${name}.nested_quant_map`));
      expect(nf4Codebook).toEqual(floats(stored, `${name}.quant_map`));
    }
    expect(layers).toBe(35);
  });
});

describe('quantizeNf4', () => {
  it('decides as the comparison tree does, at every threshold and one float to either side', () => {
    const bits = new Uint32Array(1);
    const value = new Float32Array(bits.buffer);
    const probes: number[] = [];
    for (let code = 0; code < 15; code++) {
      value[0] = (nf4Codebook[code] + nf4Codebook[code + 1]) / 2;
      bits[0] -= 300;
      for (let k = 0; k < 600; k++, bits[0]++) probes.push(value[0]);
    }
    for (let i = -4096; i <= 4096; i++) probes.push(Math.fround(i / 4096));
    for (const probe of probes) {
      const { codes } = quantizeNf4(Float32Array.of(1, probe));
      if (codeAt(codes, 1) !== treeCode(probe)) expect(codeAt(codes, 1), String(probe)).toBe(treeCode(probe));
    }
  });

  it('gives the same bytes again for what it gave before', () => {
    for (const count of [1, 63, 64, 65, 1000, 4096]) {
      const first = quantizeNf4(someValues(count, count));
      const second = quantizeNf4(dequantizeNf4(first, count));
      expect(second).toEqual(first);
    }
  });

  it('is idempotent for absmax of every size that f32 has', () => {
    for (let exponent = -149; exponent <= 127; exponent++) {
      const scaled = someValues(128, exponent + 500).map((value) => value * 2 ** exponent);
      const first = quantizeNf4(scaled);
      const back = dequantizeNf4(first, 128);
      expect(quantizeNf4(back).absmax).toEqual(first.absmax);
      // Subnormal products round so coarsely that codes may merge below 2^-120.
      if (exponent > -120) expect(quantizeNf4(back).codes).toEqual(first.codes);
    }
  });

  it('keeps a block of zeros at zero, also after double quantization', () => {
    const values = new Float32Array(3 * NF4_BLOCK);
    values.fill(0.5, 0, NF4_BLOCK);
    const { codes, absmax } = quantizeNf4(values);
    expect(absmax[1]).toBe(0);
    const back = dequantizeNf4({ codes, absmax: dequantizeAbsmax(quantizeAbsmax(absmax)) }, values.length);
    expect(back.subarray(NF4_BLOCK).every((value) => value === 0)).toBe(true);
  });

  it('packs the first of two values into the high nibble', () => {
    expect([...quantizeNf4(Float32Array.of(1, -1)).codes]).toEqual([0xf0]);
    expect([...quantizeNf4(Float32Array.of(-1, 1, -1)).codes]).toEqual([0x0f, 0x07]);
  });

  it('packs blocks of odd size as it packs even ones', () => {
    const values = someValues(21, 3);
    const { codes, absmax } = quantizeNf4(values, 7);
    values.forEach((value, i) => {
      const relative = Math.fround(value * Math.fround(1 / absmax[Math.floor(i / 7)]));
      expect(codeAt(codes, i)).toBe(treeCode(relative));
    });
  });

  it.each([Number.NaN, Infinity, -Infinity])('refuses %d', (bad) => {
    const values = new Float32Array(200);
    values[130] = bad;
    expect(() => quantizeNf4(values)).toThrow(
      expect.objectContaining({ code: 'base-model/not-finite', details: { block: 2 } }),
    );
  });
});

describe('quantizeAbsmax', () => {
  it('is never further from an absmax than half the widest step', () => {
    const absmax = someValues(1000, 9).map((value) => Math.abs(value) + 0.1);
    const nested = quantizeAbsmax(absmax);
    const back = dequantizeAbsmax(nested);
    const WIDEST_STEP = 0.0141; // the map's steps between 0.1 and 1
    back.forEach((value, i) => {
      expect(Math.abs(value - absmax[i])).toBeLessThanOrEqual((WIDEST_STEP / 2) * nested.absmax[Math.floor(i / 256)]);
    });
  });

  it('returns equal absmax values unchanged', () => {
    const absmax = new Float32Array(300).fill(0.25);
    expect(dequantizeAbsmax(quantizeAbsmax(absmax))).toEqual(absmax);
  });
});
