import { describe, expect, it } from 'vitest';
import { AdamW8bit, dynamicMap } from './adamw-8bit.js';
import { AdamW, type Optimizer } from './optimizer.js';

describe('dynamicMap', () => {
  it('has the 256 values of bitsandbytes with a sign', () => {
    const map = dynamicMap(true);
    expect(map).toHaveLength(256);
    expect(new Set(map).size).toBe(256);
    // create_dynamic_map(signed=True): its ends, and around zero.
    expect([map[0], map[1], map[254], map[255]].map((value) => value.toFixed(7))).toEqual([
      '-0.9929687',
      '-0.9789063',
      '0.9929687',
      '1.0000000',
    ]);
    expect(map[127]).toBe(0);
    expect(map[128] / 5.5e-7).toBeCloseTo(1, 5);
    expect(map[126] / -5.5e-7).toBeCloseTo(1, 5);
  });

  it('has the 256 values of bitsandbytes without', () => {
    const map = dynamicMap(false);
    expect(map).toHaveLength(256);
    expect(new Set(map).size).toBe(256);
    expect([map[0], map[255]]).toEqual([0, 1]);
    expect(map[1] / 3.25e-7).toBeCloseTo(1, 5);
    expect(map[254]).toBeCloseTo(1 - 0.9 / 256, 6);
  });
});

/** Parameters of very different curvature, and gradients of a quadratic with noise that depends on the step alone. */
function descend(
  optimizer: Optimizer,
  length: number,
  steps: number,
): { start: number; end: number; at: Float32Array } {
  const at = Float32Array.from({ length }, (_, i) => Math.sin(i));
  const curvature = (i: number): number => 10 ** (-2 * ((i * 37) % 100) * 0.01);
  const loss = (): number => at.reduce((sum, value, i) => sum + (curvature(i) * (value - 0.3) ** 2) / 2, 0);
  const start = loss();
  const gradient = new Float32Array(length);
  for (let step = 0; step < steps; step++) {
    for (let i = 0; i < length; i++)
      gradient[i] = curvature(i) * (at[i] - 0.3 + 0.2 * Math.sin(12.9898 * i + 78.233 * step));
    optimizer.step(at, gradient, 0.02);
  }
  return { start, end: loss(), at };
}

describe('AdamW8bit', () => {
  const length = 1000; // the last block is not full

  it('goes where AdamW with exact moments goes', () => {
    const exact = descend(new AdamW(length, { weightDecay: 0.01 }), length, 150);
    const coded = descend(new AdamW8bit(length, { weightDecay: 0.01 }), length, 150);
    expect(exact.end).toBeLessThan(0.2 * exact.start);
    expect(Math.abs(coded.end - exact.end)).toBeLessThan(0.02 * exact.start);
    const apart = Math.sqrt(coded.at.reduce((sum, value, i) => sum + (value - exact.at[i]) ** 2, 0) / length);
    expect(apart).toBeLessThan(0.03);
    expect(apart).toBeGreaterThan(0); // it is another computation
  });

  it('makes the same first step, before which there is nothing to round', () => {
    const steps = [new AdamW(length), new AdamW8bit(length)].map((optimizer) => descend(optimizer, length, 1).at);
    expect(steps[1]).toEqual(steps[0]);
  });

  it('holds a quarter of what moments in f32 take', () => {
    const f32Bytes = 2 * 4 * length;
    expect(new AdamW8bit(length).stateBytes / f32Bytes).toBeLessThan(0.26);
  });

  it('takes no leap where a second moment is tiny beside the largest of its block', () => {
    const optimizer = new AdamW8bit(2);
    const at = new Float32Array(2);
    for (let step = 0; step < 20; step++) {
      const before = at[1];
      optimizer.step(at, Float32Array.of(1, step === 0 ? 1e-4 : 1e-9), 0.01);
      expect(Math.abs(at[1] - before)).toBeLessThan(0.02);
    }
  });

  it('leaves parameters without gradient where they are', () => {
    const optimizer = new AdamW8bit(300);
    const at = new Float32Array(300).fill(2);
    for (let step = 0; step < 3; step++) optimizer.step(at, new Float32Array(300), 0.1);
    expect(at).toEqual(new Float32Array(300).fill(2));
  });
});
