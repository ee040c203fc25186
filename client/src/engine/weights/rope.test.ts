import { describe, expect, it } from 'vitest';
import { ropeFrequencies } from './rope.js';

/** Relative; a few f64 operations. */
const F64_FEW_OPERATIONS = 1e-14;

describe('ropeFrequencies', () => {
  it('falls from 1 by a constant ratio', () => {
    const [first, second, third] = ropeFrequencies({ head_dim: 8, rope_theta: 10_000 });
    expect(first).toBe(1);
    expect(second).toBeCloseTo(0.1, 14);
    expect(third).toBeCloseTo(0.01, 14);
  });

  it('divides all frequencies by a linear factor', () => {
    const scaled = ropeFrequencies({ head_dim: 8, rope_theta: 500, rope_scaling: { rope_type: 'linear', factor: 4 } });
    ropeFrequencies({ head_dim: 8, rope_theta: 500 }).forEach((value, i) => expect(scaled[i]).toBe(value / 4));
  });

  it('keeps fast turns, slows slow ones and blends between, as Llama 3.2 1B asks', () => {
    const rope_scaling = {
      rope_type: 'llama3',
      factor: 32,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 8192,
    } as const;
    const plain = ropeFrequencies({ head_dim: 64, rope_theta: 500_000 });
    const scaled = ropeFrequencies({ head_dim: 64, rope_theta: 500_000, rope_scaling });
    const ratios = [...scaled].map((value, i) => value / plain[i]);
    expect(ratios[0]).toBe(1);
    expect(Math.abs(ratios[31] * 32 - 1)).toBeLessThan(F64_FEW_OPERATIONS);
    for (let i = 1; i < 32; i++) expect(ratios[i]).toBeLessThanOrEqual(ratios[i - 1]);
    // Pair 16 turns 8192 * 500000^(-1/2) / 2 pi = 1.8438 times: blend (1.8438 - 1) / 3.
    const turns = (8192 * 500_000 ** -0.5) / (2 * Math.PI);
    const blend = (turns - 1) / 3;
    expect(ratios[16]).toBeCloseTo((1 - blend) / 32 + blend, 14);
  });
});
